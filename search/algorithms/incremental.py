"""An algorithm's answers in the time of what changed, for algorithms that fall into parts.

A search of ten thousand trials asks some hundred thousand questions. Answered from all
outcomes, each costs the time of the whole search; but an outcome changes the decisions of its
own part alone (of Hyperband: its bracket), so that part is worked out anew and the rest is
kept. The algorithm's own methods stay the definition; `tests/search/algorithms` holds the two
together at every step.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Generic, Protocol, TypeVar

from search.algorithms.first_trials import all_failed, first_trials
from search.algorithms.handing_out import waiting_trials
from search.algorithms.trials import Outcomes, TrialSpec

Part = TypeVar("Part")


class OfParts(Protocol[Part]):
    """An algorithm each part of which decides from the outcomes of its own trials."""

    @property
    def parts(self) -> Sequence[Part]: ...

    def part_of(self, trial_id: str) -> int | None:
        """The index of a trial's part; `None` of a name that is no trial's."""

    def trials_in(self, part: Part, outcomes: Outcomes) -> list[TrialSpec]: ...

    def resumable_in(
        self, part: Part, trials: list[TrialSpec], outcomes: Outcomes
    ) -> set[str]: ...

    def epochs_to_come_in(self, part: Part, trials: list[TrialSpec]) -> int: ...


class IncrementalDecisions(Generic[Part]):
    """The `base.Decisions` of an algorithm of parts.

    Args:
        algorithm: The algorithm.
        outcomes: How trials ended so far.
    """

    def __init__(self, algorithm: OfParts[Part], outcomes: Outcomes) -> None:
        self._algorithm = algorithm
        count = len(algorithm.parts)
        self._own: list[dict[str, float | None]] = [{} for _ in range(count)]
        self._trials: list[list[TrialSpec]] = [[] for _ in range(count)]
        self._open: list[list[TrialSpec]] = [[] for _ in range(count)]
        self._with_open: list[int] = []
        self._resumable: list[set[str]] = [set() for _ in range(count)]
        self._lineages: Counter[str] = Counter()
        self._to_come = [0] * count
        self._specs: dict[str, TrialSpec] = {}
        self._outcomes: dict[str, float | None] = {}
        self._any_finished = False
        for name, score in outcomes.items():
            self._note(name, score)
        for index in range(count):
            self._decide(index)

    def end(self, trial_id: str, score: float | None) -> None:
        """Takes a trial's outcome into account."""
        index = self._note(trial_id, score)
        if index is not None:
            self._decide(index)

    def _note(self, trial_id: str, score: float | None) -> int | None:
        index = self._algorithm.part_of(trial_id)
        self._outcomes[trial_id] = score
        self._any_finished |= score is not None
        if index is not None:
            self._own[index][trial_id] = score
        return index

    def _decide(self, index: int) -> None:
        """Works a part out anew."""
        part, own = self._algorithm.parts[index], self._own[index]
        trials = self._trials[index] = self._algorithm.trials_in(part, own)
        had_open = bool(self._open[index])
        self._open[index] = [trial for trial in trials if trial.trial_id not in own]
        if had_open != bool(self._open[index]):
            if had_open:
                del self._with_open[bisect_left(self._with_open, index)]
            else:
                insort(self._with_open, index)
        self._to_come[index] = self._algorithm.epochs_to_come_in(part, trials)
        self._specs.update((trial.trial_id, trial) for trial in trials)
        before, now = self._resumable[index], self._algorithm.resumable_in(part, trials, own)
        self._resumable[index] = now
        for lineage in now - before:
            self._lineages[lineage] += 1
        for lineage in before - now:
            self._lineages[lineage] -= 1
            if not self._lineages[lineage]:
                del self._lineages[lineage]

    def trials(self) -> list[TrialSpec]:
        """Every trial that exists; see `base.Algorithm`."""
        return list(chain.from_iterable(self._trials))

    def spec(self, trial_id: str) -> TrialSpec | None:
        """The trial of that name, if it exists."""
        return self._specs.get(trial_id)

    def next_trial(self, running: Collection[TrialSpec]) -> TrialSpec | None:
        """The trial that an idle worker gets; see `base.Decisions`."""
        waiting: Iterable[TrialSpec] = self._waiting()
        if not self._any_finished:
            waiting = first_trials(self.trials(), self._outcomes) or waiting
        return next(waiting_trials(waiting, self._outcomes, running), None)

    def _waiting(self) -> Iterator[TrialSpec]:
        return chain.from_iterable(self._open[index] for index in self._with_open)

    def all_failed(self) -> list[TrialSpec]:
        """The first trials, if every one of them has failed; else an empty list."""
        return [] if self._any_finished else all_failed(self.trials(), self._outcomes)

    def resumable(self) -> Set[str]:
        """The lineages whose training may still go on; see `base.Algorithm`."""
        return self._lineages.keys() if self._with_open else frozenset()

    def remaining_epochs(self, trained: Mapping[str, int]) -> int:
        """Epochs that are left to train; see `base.Algorithm`."""
        return sum(self._to_come) + epochs_waiting(self._waiting(), dict(trained))


def epochs_waiting(waiting: Iterable[TrialSpec], reach: dict[str, int]) -> int:
    """Epochs of the trials that have not ended, each lineage's only once.

    Args:
        waiting: Those trials, in their order.
        reach: Mapping from lineage to the epochs it is trained; brought up to date.
    """
    left = 0
    for trial in waiting:
        known = reach.get(trial.lineage, 0)
        left += max(0, trial.epochs - known)
        reach[trial.lineage] = max(trial.epochs, known)
    return left
