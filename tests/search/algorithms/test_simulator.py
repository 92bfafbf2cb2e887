"""The simulator: what its clock, its workers and their deaths add up to."""

from __future__ import annotations

import pytest

from search.algorithms.hyperband import Hyperband
from search.algorithms.simulator import Unlimited, random_scores, random_seconds, simulate
from search.algorithms.trials import TrialSpec

HYPERBAND = Hyperband((9,), 3, Unlimited())
"""17 first trials and 5 promotions: 9 + 3*2 + 6, 5*3 + 6, 3*9 epochs."""

EPOCHS = 9 + 6 + 6 + 15 + 6 + 27


def test_one_worker_needs_the_sum_of_all_epochs() -> None:
    found = simulate(HYPERBAND, random_scores(0))
    assert found.wall == EPOCHS and found.used == 1.0
    assert len(found.attempts) == len(found.trials) == 22
    starts = [attempt.started for attempt in found.attempts]
    assert starts[1:] == [attempt.ended for attempt in found.attempts][:-1]


@pytest.mark.parametrize("workers", [2, 5, 100])
def test_workers_share_the_work_and_never_overlap(workers: int) -> None:
    found = simulate(HYPERBAND, random_scores(0), workers=workers)
    assert EPOCHS / workers <= found.wall <= EPOCHS
    assert found.used == pytest.approx(EPOCHS / (found.wall * workers))
    ends: dict[int, float] = {}
    for attempt in sorted(found.attempts, key=lambda attempt: attempt.started):
        assert ends.get(attempt.worker, 0.0) <= attempt.started
        ends[attempt.worker] = attempt.ended
    assert len(ends) <= workers


def test_a_worker_that_dies_costs_time_and_nothing_else() -> None:
    untouched = simulate(HYPERBAND, random_scores(0))
    dying = simulate(HYPERBAND, random_scores(0), dies=lambda trial, attempt: attempt == 0)
    assert dying.outcomes == untouched.outcomes
    assert dying.wall == 1.5 * EPOCHS
    assert sum(attempt.died for attempt in dying.attempts) == 22


def test_a_straggler_delays_what_waits_for_it_and_nothing_more() -> None:
    def seconds(trial: TrialSpec, epochs: int) -> float:
        return 1000.0 if trial.trial_id == "0000" else float(epochs)

    found = simulate(HYPERBAND, random_scores(0), workers=2, seconds=seconds)
    late = [attempt.trial for attempt in found.attempts if attempt.ended >= 1000.0]
    assert {trial.bracket for trial in late} == {2}
    assert found.first_at(9) is not None and found.first_at(9) < 1000.0  # type: ignore[operator]
    assert found.first_at(10) is None


def test_a_search_in_which_nothing_works_ends_with_its_first_trials() -> None:
    hopeless = simulate(HYPERBAND, lambda trial: None)
    assert len(hopeless.outcomes) == 8
    everything = simulate(HYPERBAND, lambda trial: None, hopeless_ends=False)
    assert len(everything.outcomes) == 17 * 8


def test_times_and_scores_are_drawn_from_their_seeds() -> None:
    def drawn(seed: int) -> tuple[float, dict[str, float | None]]:
        times = random_seconds(seed, straggling=0.3, start=1.0)
        found = simulate(HYPERBAND, random_scores(seed, 0.2), workers=3, seconds=times)
        return found.wall, found.outcomes

    assert drawn(1) == drawn(1) != drawn(2)
