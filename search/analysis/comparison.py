"""Arms against a control over shared seeds: differences, noise, p-values and intervals.

The trainings are a block design: every arm is trained with the same seeds, so that what a
seed does to all arms alike cancels. The noise that is left is pooled over the arms, which at
five seeds is worth more than half as many seeds again (Dunnett's comparison).
But an arm, or the control, may be noisier than the rest, and pooling would claim too much of
it: the noise of a difference is the pooled one or that of its own pairs, whichever is larger.
Without that, a control twice as noisy made 10 false claims in 100; see `benchmarks/verdicts.py`.

Reference:
    - [A Multiple Comparison Procedure for Comparing Several Treatments with a
      Control](https://doi.org/10.1080/01621459.1955.10501294)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(64)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_QUANTILES = (np.arange(400) + 0.5) / 400


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An arm against the control.

    Args:
        arm: String, the arm's name.
        mean: Float, mean difference, positive where the arm is better.
        standard_error: Float, over seeds and, where scores of single images were given,
            over images like these.
        of_images: Float, what the images contribute to its square; more seeds do not lessen it.
        p: Float, adjusted for all comparisons of the family.
        low: Float, the lower end of the simultaneous interval.
        high: Float, its upper end.
        paired: Float, Holm's adjusted p of the paired t-test, a second opinion.
        sign_flip: Float or `None`, the exact p of flipped signs, from six seeds on.
    """

    arm: str
    mean: float
    standard_error: float
    of_images: float
    p: float
    low: float
    high: float
    paired: float
    sign_flip: float | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All arms against one control.

    Args:
        control: String, the control's name.
        seeds: Integer, shared seeds.
        alpha: Float, the error that this comparison may make.
        noise: Float, standard deviation of one training's score, within its seed.
        degrees: Float, degrees of freedom of `noise`.
        differences: Tuple of `Difference`, in the order of the arms.
    """

    control: str
    seeds: int
    alpha: float
    noise: float
    degrees: float
    differences: tuple[Difference, ...]

    def of(self, arm: str) -> Difference:
        """The difference of an arm."""
        return next(each for each in self.differences if each.arm == arm)


def compare(
    scores: Mapping[str, np.ndarray],
    control: str,
    *,
    alpha: float = 0.05,
    image_variance: Mapping[str, float] | None = None,
) -> Comparison:
    """Compares every arm with the control.

    Args:
        scores: Arrays `(seeds,)` by arm, larger is better; seed `s` is the same in all.
        control: String, the arm that the others are compared with.
        alpha: Float in `(0, 1)`, the family's error.
        image_variance: Floats by arm, what drawing other test images adds to the variance of
            the arm's mean difference; see `variance_of_images`. With it, the claim is about
            new images, without it about these.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: If there is one seed, no arm beside the control, or arms have different
            numbers of seeds.
    """
    arms = [arm for arm in scores if arm != control]
    table = np.array([scores[control], *(scores[arm] for arm in arms)], dtype="float64")
    count, seeds = len(arms), table.shape[1]
    if seeds < 2 or not arms:
        raise ValueError(
            f"A comparison takes at least two seeds and an arm beside the control, got "
            f"{seeds} seeds and the arms {arms}."
        )
    degrees = float(count * (seeds - 1))
    variance = float(pooled_variance(table))
    if variance < 1e-24:  # rounding of scores that are equal in every seed
        variance = 0.0
    pairs = table[1:] - table[0]
    paired = holm([_paired_p(pair) for pair in pairs])
    differences = []
    for arm, pair, second in zip(arms, pairs, paired, strict=True):
        own = float(pair.var(ddof=1)) if np.ptp(pair) > 1e-12 else 0.0
        over_seeds = max(2 * variance, own) / seeds
        of_images = (image_variance or {}).get(arm, 0.0)
        noise = _Noise.of(over_seeds, degrees, of_images, count)
        mean = float(pair.mean())
        half = noise.half_width(alpha)
        differences.append(
            Difference(
                arm=arm,
                mean=mean,
                standard_error=math.sqrt(noise.variance),
                of_images=of_images,
                p=noise.p(mean),
                low=mean - half,
                high=mean + half,
                paired=second,
                sign_flip=_sign_flip_p(pair),
            )
        )
    return Comparison(
        control=control,
        seeds=seeds,
        alpha=alpha,
        noise=math.sqrt(variance),
        degrees=degrees,
        differences=tuple(differences),
    )


@dataclass(frozen=True)
class _Noise:
    """The variance of a mean difference, its degrees of freedom, and how many are judged."""

    variance: float
    degrees: float
    comparisons: int

    @classmethod
    def of(cls, seeds: float, degrees: float, images: float, comparisons: int) -> _Noise:
        """The sum of what seeds and images contribute; images have very many degrees."""
        total = seeds + images
        satterthwaite = degrees * (total / seeds) ** 2 if seeds else 1e6
        return cls(total, round(min(satterthwaite, 1e6), 1), comparisons)

    def p(self, mean: float) -> float:
        if not self.variance:
            return 1.0
        return adjusted_p(mean / math.sqrt(self.variance), self.comparisons, self.degrees)

    def half_width(self, alpha: float) -> float:
        if not self.variance:  # scores that never vary say nothing of how they would
            return float("inf")
        return critical_value(alpha, self.comparisons, self.degrees) * math.sqrt(self.variance)


def pooled_variance(scores: np.ndarray) -> np.ndarray:
    """The variance of a score within its seed: that of a block design, pooled over the arms.

    Args:
        scores: Array `(..., arms, seeds)`.

    Returns:
        An array `(...)`.
    """
    arms, seeds = scores.shape[-2:]
    residuals = scores - scores.mean(-1, keepdims=True) - scores.mean(-2, keepdims=True)
    residuals += scores.mean((-2, -1), keepdims=True)
    return np.asarray((residuals**2).sum((-2, -1)) / ((arms - 1) * (seeds - 1)))


def adjusted_p(t: float, comparisons: int, degrees: float) -> float:
    """Dunnett's two-sided p of one of several comparisons with one control.

    Args:
        t: Float, the difference in units of its standard error.
        comparisons: Integer, arms that are compared with the control.
        degrees: Float, degrees of freedom of the pooled noise.

    Returns:
        A float: the chance that any of the comparisons is as far from 0 without a difference.
    """
    return float(max(0.0, min(1.0, 1.0 - _inside(abs(t), comparisons, degrees))))


@functools.lru_cache(maxsize=4096)
def critical_value(alpha: float, comparisons: int, degrees: float) -> float:
    """The |t| that `comparisons` equal arms exceed with the chance `alpha`."""
    return float(
        optimize.brentq(
            lambda t: 1.0 - _inside(t, comparisons, degrees) - alpha, 0.0, 1e4, xtol=1e-9
        )
    )


def holm(p_values: list[float]) -> list[float]:
    """Holm's adjustment of p-values, in their order."""
    order = np.argsort(p_values, kind="stable")
    found, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        found[index] = largest
    return found


def _inside(t: float, comparisons: int, degrees: float) -> float:
    """The chance that all comparisons stay within `t` standard errors.

    Differences from one control are correlated by one half: given the control's own
    deviation `z` and the noise that was measured, they are independent.
    """
    noise = np.sqrt(special.chdtri(degrees, 1 - _QUANTILES) / degrees)
    reach = np.sqrt(2) * t * noise[:, None]
    each = special.ndtr(_NODES + reach) - special.ndtr(_NODES - reach)
    return float((each**comparisons @ _WEIGHTS).mean())


def _paired_p(pair: np.ndarray) -> float:
    if np.ptp(pair) < 1e-12:
        return 1.0 if abs(pair.mean()) < 1e-12 else 0.0
    return float(stats.ttest_1samp(pair, 0.0).pvalue)


def _sign_flip_p(pair: np.ndarray) -> float | None:
    """The exact p of flipped signs; with five seeds it could not get below 0.0625."""
    if not 6 <= len(pair) <= 16:
        return None
    signs = 1 - 2 * ((np.arange(2 ** len(pair))[:, None] >> np.arange(len(pair))) & 1)
    means = np.abs(signs @ pair)
    return float((means >= means[0] - 1e-12).mean())
