"""What an algorithm is to the rest of the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from search.algorithms.trials import Outcomes, RungSize, TrialSpec


class Algorithm(Protocol):
    """Decides which trials a search has, from how trials have ended so far.

    Its methods are pure: the answer depends on the outcomes alone, neither on the order in
    which trials finished, nor on the number of workers, nor on what was asked before. So a
    search that was killed, or goes on with other workers, decides as an untouched one.

    Attributes:
        maximise: Whether a greater score is better.
    """

    @property
    def maximise(self) -> bool: ...

    def trials(self, outcomes: Outcomes) -> Sequence[TrialSpec]:
        """Every trial that exists, in the order in which they should be run.

        More outcomes only ever add trials; they never change or remove one.
        """

    def rungs(self) -> Sequence[RungSize]:
        """How many trials each rung is there for, bracket by bracket, for whoever watches."""

    def resumable(self, outcomes: Outcomes) -> set[str]:
        """The lineages whose training may still go on; the checkpoints of others can go."""

    def remaining_epochs(self, outcomes: Outcomes, trained: Mapping[str, int]) -> int:
        """Epochs that are left to train, as far as can be told.

        Args:
            outcomes: How trials ended.
            trained: Mapping from lineage to the epochs it has been trained.
        """
