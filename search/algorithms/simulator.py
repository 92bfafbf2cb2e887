"""Any algorithm against imagined scores and times: whole searches in a moment.

Nothing is trained and no clock is read. Workers take trials as the driver hands them out,
need the time that they are said to need, die when they are said to, and go on where the
training stands.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hypermodels.settings.configuration import Configuration
from search.algorithms.base import Algorithm
from search.algorithms.first_trials import first_trials
from search.algorithms.handing_out import waiting_trials
from search.algorithms.trials import Candidate, Outcomes, TrialSpec

Score = Callable[[TrialSpec], float | None]
"""How a trial ends: its score, or `None` where it fails."""

Choice = Callable[[Sequence[TrialSpec], Mapping[str, int]], TrialSpec]
"""Takes one of the trials that wait, from them and the epochs that lineages are trained."""

Seconds = Callable[[TrialSpec, int], float]
"""How long a trial takes that trains so many epochs."""

MOST = 1_000_000
"""Attempts after which a search that does not end is given up."""


@dataclass(frozen=True)
class Attempt:
    """A trial on a worker, from when to when; `died` where the worker did not finish it."""

    trial: TrialSpec
    worker: int
    started: float
    ended: float
    died: bool = False


@dataclass
class Simulated:
    """A search that was simulated.

    Args:
        workers: Integer, how many there were.
        trials: Every trial that exists at the end, as the algorithm gives them.
        outcomes: How they ended.
        attempts: What workers did, in the order in which they ended.
    """

    workers: int
    trials: list[TrialSpec] = field(default_factory=list)
    outcomes: dict[str, float | None] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def wall(self) -> float:
        """When the last worker ended."""
        return max((attempt.ended for attempt in self.attempts), default=0.0)

    @property
    def used(self) -> float:
        """The share of the workers' time that they worked, dead ends included."""
        busy = sum(attempt.ended - attempt.started for attempt in self.attempts)
        return busy / (self.wall * self.workers) if self.wall else 0.0

    def first_at(self, epochs: int) -> float | None:
        """When the first trial had been trained so many epochs, or `None`."""
        ends = (
            attempt.ended
            for attempt in self.attempts
            if attempt.trial.epochs >= epochs and not attempt.died
        )
        return min(ends, default=None)


def simulate(
    algorithm: Algorithm,
    score: Score,
    *,
    workers: int = 1,
    seconds: Seconds = lambda trial, epochs: float(epochs),
    dies: Callable[[TrialSpec, int], bool] = lambda trial, attempt: False,
    outcomes: Outcomes | None = None,
    hopeless_ends: bool = True,
    choose: Choice | None = None,
    watch: Callable[[Sequence[TrialSpec], Outcomes], None] | None = None,
) -> Simulated:
    """Runs a search to its end.

    Args:
        algorithm: The `Algorithm`.
        score: How trials end.
        workers: Integer, how many trials run at once.
        seconds: How long they take, from what they still have to train.
        dies: Whether a trial's attempt, counted from 0, ends with its worker's death, at
            half of its time; it is handed out again.
        outcomes: How trials ended before, for a search that goes on.
        hopeless_ends: Boolean, whether a search whose first trials all fail ends with them,
            as the driver has it; see `first_trials.py`.
        choose: Takes one of the trials that wait; the first by default.
        watch: Called with the trials and the outcomes before trials are handed out.

    Returns:
        The `Simulated` search.

    Raises:
        RuntimeError: If it does not end.
    """
    found = Simulated(workers, outcomes=dict(outcomes or {}))
    decisions = algorithm.decisions(found.outcomes)
    idle = list(range(workers))
    running: dict[int, Attempt] = {}
    ends: list[tuple[float, int]] = []
    trained: Counter[str] = Counter()
    attempts: Counter[str] = Counter()
    now = 0.0
    for _ in range(MOST):
        if watch is not None:
            watch(decisions.trials(), found.outcomes)
        while idle:
            busy = [attempt.trial for attempt in running.values()]
            if choose is None and hopeless_ends:
                trial = decisions.next_trial(busy)
            else:
                trials = decisions.trials()
                first = first_trials(trials, found.outcomes) if hopeless_ends else None
                waiting = waiting_trials(first or trials, found.outcomes, busy)
                trial = _chosen(waiting, trained, choose)
            if trial is None:
                break
            worker = heapq.heappop(idle)
            length = seconds(trial, max(0, trial.epochs - trained[trial.lineage]))
            died = dies(trial, attempts[trial.trial_id])
            attempts[trial.trial_id] += 1
            end = now + (length / 2 if died else length)
            running[worker] = Attempt(trial, worker, now, end, died)
            heapq.heappush(ends, (end, worker))
        if not ends:
            found.trials = list(decisions.trials())
            return found
        now, worker = heapq.heappop(ends)
        attempt = running.pop(worker)
        heapq.heappush(idle, worker)
        found.attempts.append(attempt)
        if not attempt.died:
            trial = attempt.trial
            found.outcomes[trial.trial_id] = score(trial)
            decisions.end(trial.trial_id, found.outcomes[trial.trial_id])
            trained[trial.lineage] = max(trained[trial.lineage], trial.epochs)
    raise RuntimeError(f"the search has not ended after {MOST:,} attempts")


def _chosen(
    waiting: Iterator[TrialSpec], trained: Mapping[str, int], choose: Choice | None
) -> TrialSpec | None:
    if choose is None:
        return next(waiting, None)
    found = list(waiting)
    return choose(found, trained) if found else None


class Unlimited:
    """Candidates that never run out and never come twice."""

    def initial(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        return [_candidate(f"{iteration}/{bracket}/{number}") for number in range(count)]

    def spares(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        return [_candidate(f"{iteration}/{bracket}/spare {number}") for number in range(count)]


def random_scores(seed: int, failing: float = 0.0, levels: int = 1000) -> Score:
    """Scores that depend on the configuration and the epochs, and say nothing of each other.

    Args:
        seed: Integer.
        failing: Number, the share of trials that fail.
        levels: Integer, how many different scores there are in `[0, 1)`.
    """

    def score(trial: TrialSpec) -> float | None:
        dice = random.Random(f"{seed}/{trial.candidate.signature}/{trial.epochs}")
        return None if dice.random() < failing else dice.randrange(levels) / levels

    return score


def random_seconds(seed: int, straggling: float = 0.0, start: float = 0.0) -> Seconds:
    """Times that differ from trial to trial.

    Args:
        seed: Integer.
        straggling: Number, the share of trials that take ten times as long.
        start: Number, what starting a trial takes.
    """

    def seconds(trial: TrialSpec, epochs: int) -> float:
        dice = random.Random(f"{seed}/{trial.candidate.signature}")
        pace = dice.uniform(1.0, 1.5)
        slow = random.Random(f"{seed}/{trial.trial_id}").random() < straggling
        return start + pace * epochs * (10 if slow else 1)

    return seconds


def _candidate(signature: str) -> Candidate:
    return Candidate(Configuration({}, {}, {}), signature)
