"""What a comparison can see: the noise it meets, the seeds it needs, what selection adds.

All of it can be said before a training, or from the two first ones.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy import integrate, special

from search.analysis.comparison import critical_value, pooled_variance

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
