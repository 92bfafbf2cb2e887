"""What a comparison can see: the noise it meets, the seeds it needs, what selection adds.

All of it can be said before a training, or from the two first ones.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import integrate, special

from search.analysis.comparison import (
    Comparison,
    Difference,
    critical_value,
    pooled_variance,
)

POWER = 0.8
"""How often a difference of the size that is called resolvable would be seen."""

_DRAWS, _SIMULATED = 4000, 60


def resolvable_difference(
    noise: float, seeds: int, comparisons: int, alpha: float = 0.05
) -> float:
    """The smallest difference that would be seen eight times in ten.

    Args:
        noise: Float, standard deviation of a training's score within its seed.
        seeds: Integer, at least 2.
        comparisons: Integer, arms beside the control.
        alpha: Float, the error that may be made.

    Returns:
        A float in the units of `noise`.
    """
    return noise * _resolvable(seeds, comparisons, alpha)


@functools.lru_cache(maxsize=1024)
def _resolvable(seeds: int, comparisons: int, alpha: float) -> float:
    """The same for a noise of 1: simulated, since the larger of two variances has no formula.

    A difference is seen where it is larger than the half width of its interval and what noise
    takes from it; its quantile at `POWER` is the answer.
    """
    critical = critical_value(alpha, comparisons, float(comparisons * (seeds - 1)))
    if seeds > _SIMULATED:  # there the two variances are nearly the same
        return (critical + float(special.ndtri(POWER))) * math.sqrt(2 / seeds)
    random = np.random.default_rng(0)
    scores = random.normal(size=(_DRAWS, comparisons + 1, seeds))
    pooled = 2 * pooled_variance(scores)
    pair = scores[:, 1] - scores[:, 0]
    half = critical * np.sqrt(np.maximum(pooled, pair.var(1, ddof=1)) / seeds)
    return float(np.quantile(half - pair.mean(1), POWER))


def seeds_needed(
    noise: float, difference: float, comparisons: int, alpha: float = 0.05, most: int = 10_000
) -> int | None:
    """The fewest seeds with which a difference would be seen eight times in ten.

    Args:
        noise: Float, standard deviation of a training's score within its seed.
        difference: Float, in the units of `noise`.
        comparisons: Integer, arms beside the control.
        alpha: Float, the error that may be made.
        most: Integer, the largest answer.

    Returns:
        An integer, or `None` if `most` are not enough.
    """
    low, high = 1, 2
    while resolvable_difference(noise, high, comparisons, alpha) > abs(difference):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while high - low > 1:
        middle = (low + high) // 2
        enough = resolvable_difference(noise, middle, comparisons, alpha) <= abs(difference)
        low, high = (low, middle) if enough else (middle, high)
    return high


def chance_to_settle(
    comparison: Comparison, found: Difference, seeds: int, alpha: float, margin: float
) -> float:
    """How likely a later look is to say more of an arm than that nothing can be told.

    What is known so far is all that is assumed: the difference to come is drawn around the
    one that was found, as far from it as its noise allows.

    Args:
        comparison: The `Comparison` so far.
        found: The arm's `Difference` in it.
        seeds: Integer, seeds in all at the later look.
        alpha: Float, the error that that look may make.
        margin: Float, the smallest difference that matters.

    Returns:
        A float from 0 to 1.
    """
    share = comparison.seeds / seeds
    over_seeds = found.standard_error**2 - found.of_images
    spread = math.sqrt(max(over_seeds, 0.0) * (1 - share))
    arms = len(comparison.differences)
    half = critical_value(alpha, arms, float(arms * (seeds - 1))) * math.sqrt(
        max(over_seeds, 0.0) * share + found.of_images
    )

    def within(bound: float) -> float:
        """The chance that the difference then lies within a bound."""
        if not spread:
            return float(abs(found.mean) <= bound)
        ends = ((bound - found.mean) / spread, (-bound - found.mean) / spread)
        return float(special.ndtr(ends[0]) - special.ndtr(ends[1])) if bound > 0 else 0.0

    return 1 - within(half) + within(min(margin - half, half))


def expected_best(trials: int) -> float:
    """How far the best of equal trials lies above their mean, in standard deviations.

    It is what selection alone adds to the score of a search's best trial.
    """
    if trials < 2:
        return 0.0

    def density(x: float) -> float:
        return float(
            x
            * trials
            * special.ndtr(x) ** (trials - 1)
            * math.exp(-x * x / 2)
            / math.sqrt(2 * math.pi)
        )

    return float(integrate.quad(density, -8, 12, limit=200)[0])
