"""Whether verdicts keep their promise: false claims, coverage, power and trainings saved.

    python -m benchmarks.verdicts [--experiments 1000]

Each experiment is a confirmation, simulated down to the single test image: five arms and the
plain network trained over seeds, a finite test set drawn anew, looks at 5, 8 and 12 seeds. How
a search chose the arms is left out: a confirmation reads none of its scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.analysis.comparison import compare
from search.analysis.image_noise import variance_of_images
from search.analysis.looks import ALPHA, LOOKS, spent_error

ARMS = 5
NOISE = 0.004
"""Standard deviation of an accuracy over seeds, that of 500 steps on a few thousand images."""


@dataclass(frozen=True, kw_only=True)
class World:
    """What the simulated trainings are like.

    Args:
        name: String.
        effect: Float, how much better the first arm is, in `NOISE`; the others are equal.
        spread: Floats, the noise of the plain network and of the arms, in `NOISE`.
        heavy: Boolean, whether the noise is Student's with 3 degrees, not normal.
        image_effect: Float, standard deviation over images of what an arm changes in them.
        images: Integer, test images.
    """

    name: str
    effect: float = 0.0
    spread: Sequence[float] = (1.0,) * (ARMS + 1)
    heavy: bool = False
    image_effect: float = 0.0
    images: int = 400


WORLDS = (
    World(name="no effect"),
    World(name="no effect, noise 1 to 2", spread=(1, 1, 1.5, 2, 1, 1)),
    World(name="no effect, plain noisier", spread=(1.5, 1, 1, 1, 1, 1)),
    World(name="no effect, heavy tails", heavy=True),
    World(name="no effect, images matter", image_effect=0.08),
    World(name="one sd", effect=1.0),
    World(name="two sd", effect=2.0),
    World(name="three sd", effect=3.0),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of the experiments of a world.

    Args:
        claims: Float, share of experiments that claimed a difference of any arm.
        false_claims: Float, share that claimed one that is not there, or of the wrong sign.
        coverage: Float, share in which the intervals at the last look, each with the error of
            that look alone, held all true differences.
        nominal: Float, what `coverage` should be at least.
        found: Float, share that claimed the first arm's difference.
        trainings: Float, seeds used on average.
    """

    claims: float
    false_claims: float
    coverage: float
    nominal: float
    found: float
    trainings: float


def simulate(
    world: World, experiments: int, looks: Sequence[int] = LOOKS, seed: int = 0
) -> Result:
    """Runs the experiments of a world.

    Args:
        world: The `World`.
        experiments: Integer.
        looks: Integers, seeds at each look.
        seed: Integer.

    Returns:
        A `Result`.
    """
    random = np.random.default_rng([seed, *world.name.encode()])
    truth = np.zeros(ARMS)
    truth[0] = world.effect * NOISE
    claims = wrong = covered = found = used = 0
    for _ in range(experiments):
        scores, images = _trainings(world, looks[-1], random)
        names = [f"arm{i}" for i in range(1, ARMS + 1)]
        for seeds, error in zip(looks, spent_error(looks), strict=True):
            extra = None
            if images is not None:
                extra = {
                    name: variance_of_images(images[i + 1, :seeds], images[0, :seeds])
                    for i, name in enumerate(names)
                }
            table = dict(zip(["plain", *names], scores[:, :seeds], strict=True))
            result = compare(table, "plain", alpha=error, image_variance=extra)
            low = np.array([each.low for each in result.differences])
            high = np.array([each.high for each in result.differences])
            claimed = (low > 0) | (high < 0)
            used += seeds - (looks[looks.index(seeds) - 1] if seeds != looks[0] else 0)
            if claimed.any() or seeds == looks[-1]:
                claims += bool(claimed.any())
                wrong += bool((claimed & (np.sign(low + high) != np.sign(truth))).any())
                found += bool(low[0] > 0)
                break
        covered += bool(((low <= truth) & (truth <= high)).all())
    return Result(
        claims=claims / experiments,
        false_claims=wrong / experiments,
        coverage=covered / experiments,
        nominal=1 - ALPHA,
        found=found / experiments,
        trainings=used / experiments,
    )


def _trainings(
    world: World, seeds: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """Scores `(arms, seeds)`, and single answers `(arms, seeds, images)` where these matter."""
    shape = (ARMS + 1, seeds)
    noise = random.standard_t(3, shape) / np.sqrt(3) if world.heavy else random.normal(size=shape)
    common = random.normal(size=seeds)  # what a seed does to all arms
    scores = 0.6 + NOISE * (noise * np.array(world.spread)[:, None] + common)
    scores[1] += world.effect * NOISE
    if not world.image_effect:
        return scores, None
    difficulty = random.beta(1.2, 0.8, world.images)
    change = random.normal(0, world.image_effect, (ARMS, world.images))
    rates = np.clip(np.vstack([difficulty, difficulty + change]), 0, 1)
    answers = random.random((ARMS + 1, seeds, world.images)) < rates[:, None]
    return answers.mean(2), answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=1000)
    count = parser.parse_args().experiments
    print(f"{count:,} experiments each, {ARMS} arms, looks at {LOOKS}, error {ALPHA:g}")
    print(
        f"{'world':28}{'looks':>8}{'claims':>8}{'false':>8}{'covered':>9}{'found':>8}{'seeds':>7}"
    )
    for world in WORLDS:
        for looks in (LOOKS, LOOKS[:1], LOOKS[-1:]):
            got = simulate(world, count, looks)
            plan = "/".join(map(str, looks))
            print(
                f"{world.name:28}{plan:>8}{got.claims:8.3f}{got.false_claims:8.3f}"
                f"{got.coverage:9.3f}{got.found:8.3f}{got.trainings:7.2f}"
            )


if __name__ == "__main__":
    main()
