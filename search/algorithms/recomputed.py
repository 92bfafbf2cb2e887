"""An algorithm's answers, recomputed from all outcomes each time: the reference."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence, Set

from search.algorithms.base import Algorithm
from search.algorithms.first_trials import all_failed, first_trials
from search.algorithms.handing_out import waiting_trials
from search.algorithms.trials import Outcomes, TrialSpec


class RecomputedDecisions:
    """The `base.Decisions` of any algorithm, by its definition.

    Args:
        algorithm: The `Algorithm`.
        outcomes: How trials ended so far.
    """

    def __init__(self, algorithm: Algorithm, outcomes: Outcomes) -> None:
        self._algorithm = algorithm
        self._outcomes = dict(outcomes)

    def end(self, trial_id: str, score: float | None) -> None:
        self._outcomes[trial_id] = score

    def trials(self) -> Sequence[TrialSpec]:
        return self._algorithm.trials(self._outcomes)

    def spec(self, trial_id: str) -> TrialSpec | None:
        return next((trial for trial in self.trials() if trial.trial_id == trial_id), None)

    def next_trial(self, running: Collection[TrialSpec]) -> TrialSpec | None:
        trials = self.trials()
        allowed = first_trials(trials, self._outcomes) or trials
        return next(waiting_trials(allowed, self._outcomes, running), None)

    def all_failed(self) -> Sequence[TrialSpec]:
        return all_failed(self.trials(), self._outcomes)

    def resumable(self) -> Set[str]:
        return self._algorithm.resumable(self._outcomes)

    def remaining_epochs(self, trained: Mapping[str, int]) -> int:
        return self._algorithm.remaining_epochs(self._outcomes, trained)
