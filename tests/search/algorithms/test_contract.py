"""What every algorithm keeps, whatever it decides: tried in simulated searches."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.algorithms.base import Algorithm
from search.algorithms.hyperband import Hyperband
from search.algorithms.recomputed import RecomputedDecisions
from search.algorithms.simulator import (
    Simulated,
    Unlimited,
    random_scores,
    random_seconds,
    simulate,
)
from search.algorithms.trials import Outcomes, TrialSpec

ALGORITHMS: dict[str, Callable[[int, bool], Algorithm]] = {
    "hyperband": lambda epochs, maximize: Hyperband((epochs, epochs), 3, Unlimited(), maximize)
}
"""A new algorithm is added here and has to pass all of it."""

AN_ID = re.compile(r"\d{4,9}[a-z]?(-\d{1,3})?", re.ASCII)

algorithms = pytest.mark.parametrize("name", ALGORITHMS)
searches = settings(max_examples=15, deadline=None)
failing = st.sampled_from([0.0, 0.2, 0.7])


def search(
    algorithm: Algorithm,
    seed: int = 0,
    failing: float = 0.0,
    workers: int = 1,
    order: int = 0,
    deaths: int = 0,
    watch: Callable[[Sequence[TrialSpec], Outcomes], None] | None = None,
) -> Simulated:
    """A search whose workers straggle, and die on every trial's first attempts."""
    return simulate(
        algorithm,
        random_scores(seed, failing),
        workers=workers,
        seconds=random_seconds(order, straggling=0.2),
        dies=lambda trial, attempt: attempt < deaths,
        watch=watch,
    )


@algorithms
@searches
@given(st.integers(1, 30), st.booleans(), st.integers(0, 99), failing)
def test_more_outcomes_only_add_trials(
    name: str, epochs: int, maximize: bool, seed: int, failing: float
) -> None:
    known: dict[str, TrialSpec] = {}

    def watch(trials: Sequence[TrialSpec], outcomes: Outcomes) -> None:
        nonlocal known
        found = {trial.trial_id: trial for trial in trials}
        assert len(found) == len(trials), "two trials have one id"
        assert known.items() <= found.items(), "a trial changed or went away"
        known = found

    search(ALGORITHMS[name](epochs, maximize), seed, failing, workers=3, watch=watch)


@algorithms
@searches
@given(st.integers(1, 30), st.integers(0, 99), failing, st.integers(2, 9), st.integers(0, 3))
def test_workers_stragglers_and_deaths_change_nothing(
    name: str, epochs: int, seed: int, failing: float, workers: int, deaths: int
) -> None:
    alone = search(ALGORITHMS[name](epochs, True), seed, failing)
    many = search(ALGORITHMS[name](epochs, True), seed, failing, workers, order=7, deaths=deaths)
    assert many.trials == alone.trials
    assert many.outcomes == alone.outcomes


@algorithms
@searches
@given(st.integers(1, 30), st.integers(0, 99), failing)
def test_what_was_asked_before_does_not_matter(
    name: str, epochs: int, seed: int, failing: float
) -> None:
    asked: list[Outcomes] = []
    algorithm = ALGORITHMS[name](epochs, False)
    search(algorithm, seed, failing, watch=lambda trials, outcomes: asked.append(dict(outcomes)))
    for outcomes in [*asked[::5], *reversed(asked[::3]), {}]:
        fresh = ALGORITHMS[name](epochs, False)
        trained = dict.fromkeys((trial.lineage for trial in fresh.trials(outcomes)), 1)
        assert algorithm.trials(outcomes) == fresh.trials(outcomes)
        assert algorithm.resumable(outcomes) == fresh.resumable(outcomes)
        assert algorithm.remaining_epochs(outcomes, trained) == fresh.remaining_epochs(
            outcomes, trained
        )


@algorithms
@searches
@given(st.integers(1, 30), st.integers(0, 99), failing)
def test_trials_are_well_formed(name: str, epochs: int, seed: int, failing: float) -> None:
    found = search(ALGORITHMS[name](epochs, True), seed, failing, workers=2)
    known: dict[str, TrialSpec] = {}
    for trial in found.trials:
        assert AN_ID.fullmatch(trial.trial_id), "ids are names of files and folders"
        assert AN_ID.fullmatch(trial.lineage) and "-" not in trial.lineage
        assert 1 <= trial.epochs <= trial.full_epochs
        if trial.parent is not None:
            parent = known[trial.parent]
            assert (parent.lineage, parent.candidate) == (trial.lineage, trial.candidate)
            assert parent.epochs < trial.epochs
            assert found.outcomes[parent.trial_id] is not None, "a failed trial goes on"
        known[trial.trial_id] = trial


@algorithms
@searches
@given(st.integers(1, 30), st.integers(0, 99), failing)
def test_a_checkpoint_that_is_dropped_is_never_needed_again(
    name: str, epochs: int, seed: int, failing: float
) -> None:
    algorithm = ALGORITHMS[name](epochs, True)
    dropped: set[str] = set()

    def watch(trials: Sequence[TrialSpec], outcomes: Outcomes) -> None:
        resumable = algorithm.resumable(outcomes)
        waiting = {trial.lineage for trial in trials if trial.trial_id not in outcomes}
        assert waiting <= resumable
        assert not dropped & resumable, "a lineage that was out of the race is in it again"
        dropped.update({trial.lineage for trial in trials} - resumable)

    found = search(algorithm, seed, failing, workers=4, watch=watch)
    if len(found.outcomes) == len(found.trials):
        assert algorithm.resumable(found.outcomes) == set()


@algorithms
@searches
@given(st.integers(1, 30), st.integers(0, 99))
def test_the_epochs_that_are_left_are_those_that_come(name: str, epochs: int, seed: int) -> None:
    """Exactly, where no trial fails and no configuration comes twice."""
    algorithm = ALGORITHMS[name](epochs, True)
    left: list[int] = []

    def watch(trials: Sequence[TrialSpec], outcomes: Outcomes) -> None:
        trained: dict[str, int] = {}
        for trial in trials:
            if trial.trial_id in outcomes:
                trained[trial.lineage] = max(trial.epochs, trained.get(trial.lineage, 0))
        left.append(algorithm.remaining_epochs(outcomes, trained))
        assert left[0] == left[-1] + sum(trained.values())

    search(algorithm, seed, watch=watch)
    assert left[-1] == 0


@algorithms
@searches
@given(st.integers(1, 30), st.integers(0, 99), failing)
def test_no_rung_has_more_finished_trials_than_it_is_there_for(
    name: str, epochs: int, seed: int, failing: float
) -> None:
    algorithm = ALGORITHMS[name](epochs, True)
    found = search(algorithm, seed, failing)
    for rung in algorithm.rungs():
        finished = [
            trial
            for trial in found.trials
            if (trial.full_epochs, trial.bracket, trial.epochs)
            == (rung.full_epochs, rung.bracket, rung.epochs)
            and found.outcomes.get(trial.trial_id) is not None
        ]
        assert len(finished) <= rung.trials
        assert failing or len(finished) == rung.trials


@algorithms
@searches
@given(st.integers(1, 30), st.booleans(), st.integers(0, 99), failing, st.integers(1, 4))
def test_answers_one_by_one_are_those_from_all_outcomes(
    name: str, epochs: int, maximize: bool, seed: int, failing: float, workers: int
) -> None:
    """At every step, however the search came there; and for one that goes on in the middle."""
    algorithm = ALGORITHMS[name](epochs, maximize)
    score = random_scores(seed, failing)
    quick, plain = algorithm.decisions({}), RecomputedDecisions(algorithm, {})
    outcomes: dict[str, float | None] = {}
    running: list[TrialSpec] = []
    order = random.Random(seed)
    while True:
        if order.random() < 0.1:
            quick = algorithm.decisions(outcomes)
        trained = {trial.lineage: trial.epochs for trial in plain.trials()[::3]}
        assert list(quick.trials()) == list(plain.trials())
        assert set(quick.resumable()) == set(plain.resumable())
        assert list(quick.all_failed()) == list(plain.all_failed())
        assert quick.remaining_epochs(trained) == plain.remaining_epochs(trained)
        trial = quick.next_trial(running)
        assert trial == plain.next_trial(running)
        if trial is not None:
            assert quick.spec(trial.trial_id) == plain.spec(trial.trial_id) == trial
            if len(running) < workers:
                running.append(trial)
                continue
        if not running:
            break
        ended = running.pop(order.randrange(len(running)))
        outcomes[ended.trial_id] = score(ended)
        for each in (quick, plain):
            each.end(ended.trial_id, outcomes[ended.trial_id])
    assert quick.spec("9999") is None is plain.spec("9999")
