"""Verdicts: what is said, when nothing is said, and how many seeds would tell."""

from __future__ import annotations

import numpy as np
import pytest

from search.analysis.comparison import compare
from search.analysis.resolution import (
    chance_to_settle,
    expected_best,
    resolvable_difference,
    seeds_needed,
)
from search.analysis.verdict import Answer, overall, verdict_of


def arms(effects: dict[str, float], seeds: int = 8, noise: float = 0.2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    scores = {"none": random.normal(90, noise, seeds)}
    return scores | {
        name: random.normal(90 + effect, noise, seeds) for name, effect in effects.items()
    }


def test_four_answers() -> None:
    found = compare(arms({"cbam": 2.0, "se": -2.0, "eca": 0.0}), "none")
    assert verdict_of(found, "cbam", 0.5).answer is Answer.HELPS
    assert verdict_of(found, "se", 0.5).answer is Answer.HURTS
    same = verdict_of(found, "eca", 0.5)
    assert same.answer is Answer.SAME
    assert same.bound is not None and abs(same.difference.mean) < same.bound <= 0.5
    unknown = verdict_of(found, "eca", 0.05)
    assert unknown.answer is Answer.UNKNOWN
    assert unknown.more_seeds is not None and unknown.more_seeds > 10


def test_no_verdict_claims_what_its_interval_holds() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        scores = {name: random.normal(90, 1, 5) for name in ("none", "se", "cbam")}
        found = compare(scores, "none")
        for arm in ("se", "cbam"):
            verdict = verdict_of(found, arm, 0.5)
            inside = verdict.difference.low <= 0 <= verdict.difference.high
            assert inside == (verdict.answer in (Answer.SAME, Answer.UNKNOWN))


def test_overall_needs_both_baselines_beaten() -> None:
    found = compare(arms({"cbam": 2.0, "se": 0.0}), "none")
    verdicts = [verdict_of(found, arm, 0.5) for arm in ("cbam", "se")]
    assert overall(verdicts).arm == "cbam"
    twin = compare(arms({"cbam": 0.25}), "none")
    explained = [verdict_of(twin, "cbam", 0.01)]
    assert overall(verdicts, explained) is explained[0]
    assert explained[0].answer is Answer.UNKNOWN


def test_overall_cannot_tell_while_one_arm_is_open() -> None:
    scores = arms({"cbam": 0.0, "se": 0.0})
    scores["se"] = scores["none"] + np.array([3, -3, 2, -2, 1, -1, 3, -3.0])
    found = compare(scores, "none")
    verdicts = [verdict_of(found, arm, 0.5) for arm in ("cbam", "se")]
    assert overall(verdicts).answer is Answer.UNKNOWN


def test_scores_that_never_vary_are_no_verdict() -> None:
    found = compare({"none": np.full(5, 90.0), "se": np.full(5, 91.0)}, "none")
    verdict = verdict_of(found, "se", 0.5)
    assert verdict.answer is Answer.UNKNOWN and verdict.more_seeds is None


@pytest.mark.parametrize(("seeds", "arms_"), [(5, 5), (5, 1), (12, 4)])
def test_a_resolvable_difference_is_seen_eight_times_in_ten(seeds: int, arms_: int) -> None:
    random = np.random.default_rng(1)
    effect = resolvable_difference(1.0, seeds, arms_)
    seen = 0
    for _ in range(800):
        scores = {f"a{i}": random.normal(size=seeds) for i in range(arms_ + 1)}
        scores["a1"] = scores["a1"] + effect
        seen += compare(scores, "a0").of("a1").low > 0
    assert seen / 800 == pytest.approx(0.8, abs=0.045)


def test_seeds_needed_resolve_what_was_asked() -> None:
    needed = seeds_needed(0.2, 0.3, 4)
    assert needed is not None
    assert resolvable_difference(0.2, needed, 4) <= 0.3
    assert resolvable_difference(0.2, needed - 1, 4) > 0.3
    assert seeds_needed(1.0, 1e-4, 4) is None


def test_the_chance_to_settle_is_how_often_the_last_look_settles() -> None:
    """Over effects of every size, as likely as not to be any."""
    random = np.random.default_rng(5)
    chances, settled = [], []
    for _ in range(600):
        effect = random.uniform(-4, 4)
        scores = {"none": random.normal(90, 1, 12), "se": random.normal(90, 1, 12)}
        scores["eca"] = random.normal(90, 1, 12)
        scores["se"] = scores["se"] + effect
        first = compare({name: each[:5] for name, each in scores.items()}, "none", alpha=0.027)
        if verdict_of(first, "se", 1.5).answer is not Answer.UNKNOWN:
            continue
        chances.append(chance_to_settle(first, first.of("se"), 12, 0.012, 1.5))
        last = compare(scores, "none", alpha=0.012)
        settled.append(verdict_of(last, "se", 1.5).answer is not Answer.UNKNOWN)
    assert len(chances) > 200
    assert np.mean(chances) == pytest.approx(np.mean(settled), abs=0.08)
    order = np.argsort(chances)
    lower, upper = np.array(settled)[order[:80]], np.array(settled)[order[-80:]]
    assert upper.mean() > lower.mean() + 0.2


def test_no_seeds_settle_what_the_images_leave_open() -> None:
    right = np.random.default_rng(0).normal(0.9, 0.001, (2, 5))
    scores = {"none": right[0], "se": right[1]}
    found = compare(scores, "none", image_variance={"se": 0.02**2})
    assert verdict_of(found, "se", 0.005).answer is Answer.UNKNOWN
    assert chance_to_settle(found, found.of("se"), 12, 0.012, 0.005) < 0.01


def test_what_selection_adds_is_the_expected_maximum() -> None:
    assert [round(expected_best(count), 2) for count in (1, 5, 10, 20)] == [0, 1.16, 1.54, 1.87]
