"""Comparisons with a control: printed tables, invariances, and simulated error and power."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.verdicts import World, simulate
from search.analysis.comparison import adjusted_p, compare, critical_value, holm
from search.analysis.image_noise import noise_floor, variance_of_images
from search.analysis.looks import LOOKS, spent_error


def table(arms: int = 4, seeds: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {f"a{i}": random.normal(size=seeds) for i in range(arms)}


@pytest.mark.parametrize(
    ("t", "comparisons", "degrees"), [(2.68, 3, 12), (2.76, 6, 24), (2.776, 1, 4), (2.38, 2, 20)]
)
def test_critical_values_are_those_of_dunnetts_printed_table(
    t: float, comparisons: int, degrees: int
) -> None:
    assert adjusted_p(t, comparisons, degrees) == pytest.approx(0.05, abs=0.001)
    assert critical_value(0.05, comparisons, degrees) == pytest.approx(t, abs=0.01)


def test_p_is_the_multivariate_t_of_scipy() -> None:
    correlation = np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    both = stats.multivariate_t(shape=correlation, df=12, seed=1)
    inside = both.cdf([2.1] * 3, lower_limit=[-2.1] * 3, maxpts=200_000)
    assert adjusted_p(2.1, 3, 12) == pytest.approx(1 - inside, abs=0.002)


def test_one_arm_is_the_paired_t_test() -> None:
    scores = table(arms=2)
    found = compare(scores, "a0").of("a1")
    expected = stats.ttest_rel(scores["a1"], scores["a0"])
    low, high = expected.confidence_interval(0.95)
    assert found.p == pytest.approx(expected.pvalue, abs=0.001)
    assert found.paired == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((low, high), rel=0.005)


def test_the_noise_is_that_of_a_block_design() -> None:
    scores = table()
    values = np.array(list(scores.values()))
    fitted = values.mean(1, keepdims=True) + values.mean(0) - values.mean()
    assert compare(scores, "a0").noise == pytest.approx(
        np.sqrt(((values - fitted) ** 2).sum() / (3 * 4))
    )


def test_what_a_seed_does_to_all_arms_changes_nothing() -> None:
    scores = table()
    shift = np.array([5.0, -3.0, 0.2, 9.0, 1.0])
    moved = compare({arm: each + shift for arm, each in scores.items()}, "a0")
    for before, after in zip(compare(scores, "a0").differences, moved.differences, strict=True):
        assert after.p == pytest.approx(before.p)
        assert (after.low, after.high) == pytest.approx((before.low, before.high))


def test_scale_order_of_arms_and_order_of_seeds_change_nothing() -> None:
    scores = table()
    order = [3, 0, 4, 1, 2]
    turned = {arm: 10 * scores[arm][order] for arm in ("a3", "a0", "a2", "a1")}
    before, after = compare(scores, "a0"), compare(turned, "a0")
    for arm in ("a1", "a2", "a3"):
        assert after.of(arm).p == pytest.approx(before.of(arm).p)
        assert after.of(arm).low == pytest.approx(10 * before.of(arm).low)


def test_an_interval_leaves_out_zero_where_p_is_below_the_error() -> None:
    for seed in range(40):
        scores = table(seed=seed)
        scores["a1"] = scores["a1"] + 2
        for each in compare(scores, "a0", alpha=0.03).differences:
            assert (each.p < 0.03) == (each.low > 0 or each.high < 0)


def test_scores_that_never_vary_claim_nothing() -> None:
    scores = {"plain": np.full(5, 0.5), "se": np.full(5, 0.6)}
    found = compare(scores, "plain").of("se")
    assert found.p == 1 and found.low == -np.inf and found.high == np.inf


def test_a_noisy_arm_gets_its_own_noise() -> None:
    scores = table(arms=6, seeds=8)
    scores["a1"] = 20 * scores["a1"]
    found = compare(scores, "a0")
    assert found.of("a1").standard_error > 1.5 * found.of("a2").standard_error


def test_one_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two seeds"):
        compare({"plain": np.ones(1), "se": np.ones(1)}, "plain")


def test_flipped_signs_are_asked_from_six_seeds_on() -> None:
    assert compare(table(seeds=5), "a0").of("a1").sign_flip is None
    scores = {"plain": np.zeros(6), "se": np.array([1.0, 2, 3, 4, 5, 6])}
    assert compare(scores, "plain").of("se").sign_flip == pytest.approx(2 / 64)


def test_holm_is_the_printed_example() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_variance_of_images_is_found_and_is_not_invented() -> None:
    random = np.random.default_rng(0)
    rates = random.beta(1.2, 0.8, 2000)
    change = random.normal(0, 0.1, 2000)

    def answers(rate: np.ndarray) -> np.ndarray:
        return random.random((8, 2000)) < np.clip(rate, 0, 1)

    changed = [variance_of_images(answers(rates + change), answers(rates)) for _ in range(20)]
    same = [variance_of_images(answers(rates), answers(rates)) for _ in range(20)]
    expected = np.var(np.clip(rates + change, 0, 1) - rates) / 2000
    assert np.mean(changed) == pytest.approx(expected, rel=0.3)
    assert np.mean(same) < 0.2 * expected


def test_two_trainings_tell_the_noise_between_seeds() -> None:
    random = np.random.default_rng(0)
    rates = random.beta(6, 0.5, 10_000)
    runs = random.random((400, 10_000)) < rates
    truth = runs.mean(1).std()
    assert noise_floor(runs[0], runs[1]) == pytest.approx(truth, rel=0.1)


def test_looks_spend_the_whole_error() -> None:
    assert sum(spent_error(LOOKS)) == pytest.approx(0.05)
    assert spent_error((5,)) == pytest.approx([0.05])


@pytest.mark.parametrize(
    "world",
    [
        World(name="equal"),
        World(name="unequal", spread=(1, 1, 1.5, 2, 1, 1)),
        World(name="plain noisier", spread=(1.5, 1, 1, 1, 1, 1)),
        World(name="heavy", heavy=True),
        World(name="images", image_effect=0.08),
    ],
    ids=lambda world: world.name,
)
def test_false_claims_stay_within_the_error(world: World) -> None:
    found = simulate(world, 200)
    assert found.false_claims <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


def test_looks_save_trainings_where_the_effect_is_large() -> None:
    found = simulate(World(name="two sd", effect=2.0), 150)
    assert found.trainings < 0.7 * LOOKS[-1]
    assert found.found > 0.85
