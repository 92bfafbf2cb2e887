"""The interface of an algorithm."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set
from typing import Protocol

from search.algorithms.trials import Outcomes, RungSize, TrialSpec


class Algorithm(Protocol):
    """Decides which trials a search has, from how trials have ended so far.

    Its methods are pure: the answer depends on the outcomes alone, neither on the order in
    which trials finished, nor on the number of workers, nor on what was asked before. So a
    search that was killed, or goes on with other workers, decides as an untouched one.

    Attributes:
        maximize: Whether a greater score is better.
    """

    @property
    def maximize(self) -> bool: ...

    def trials(self, outcomes: Outcomes) -> Sequence[TrialSpec]:
        """Every trial that exists, in the order in which they should be run.

        More outcomes only ever add trials; they never change or remove one.
        """

    def rungs(self) -> Sequence[RungSize]:
        """How many trials each rung has, bracket by bracket, for the display."""

    def resumable(self, outcomes: Outcomes) -> set[str]:
        """The lineages whose training may still go on; the checkpoints of others can go."""

    def remaining_epochs(self, outcomes: Outcomes, trained: Mapping[str, int]) -> int:
        """Epochs that are left to train, as far as can be told.

        Args:
            outcomes: How trials ended.
            trained: Mapping from lineage to the epochs it has been trained.
        """

    def decisions(self, outcomes: Outcomes) -> Decisions:
        """Its answers as outcomes come one by one."""


class Decisions(Protocol):
    """An algorithm's answers, kept up to date outcome by outcome.

    They are those of the algorithm's own methods for all outcomes so far. An algorithm that
    has no faster way gives `recomputed.RecomputedDecisions`.
    """

    def end(self, trial_id: str, score: float | None) -> None:
        """Takes a trial's outcome into account."""

    def trials(self) -> Sequence[TrialSpec]:
        """Every trial that exists."""

    def spec(self, trial_id: str) -> TrialSpec | None:
        """The trial of that name, if it exists."""

    def next_trial(self, running: Collection[TrialSpec]) -> TrialSpec | None:
        """The trial that an idle worker gets, or `None` if all that exist run or have ended.

        Args:
            running: The trials being trained. One whose lineage is being trained by another
                waits for it.
        """

    def all_failed(self) -> Sequence[TrialSpec]:
        """The first trials, if every one of them has failed; else nothing."""

    def resumable(self) -> Set[str]:
        """The lineages whose training may still go on."""

    def remaining_epochs(self, trained: Mapping[str, int]) -> int:
        """Epochs that are left to train."""
