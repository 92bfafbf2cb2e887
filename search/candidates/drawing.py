"""Seeded draws from a space, none twice and none infeasible.

A configuration that builds the same network as one already drawn, or breaks a constraint,
is passed over before it becomes a trial.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from hypermodels.knobs import FloatRange
from hypermodels.networks.cost import CostModel
from hypermodels.settings.configuration import Configuration
from search.algorithms.trials import Candidate
from search.candidates.networks import Draw, Look, Networks
from search.data import Progress
from search.space.space import Space, depends_on_tuning

ENUMERABLE = 4096
"""Spaces with at most this many combinations of values are listed in full."""

MAX_MISSES = 2000
"""Draws in a row without a new feasible configuration after which a space counts as used up."""


class Drawing:
    """The configurations of a space as candidates, and why some are refused.

    Args:
        space: The `Space`.
        costs: The `CostModel` of its images.
        progress: Told of every draw.
    """

    def __init__(self, space: Space, costs: CostModel, progress: Progress) -> None:
        self._space = space
        self._costs = costs
        self.networks = Networks(space, costs)
        self._progress = progress
        self._draws_made = self._draws_taken = 0
        self.refused: dict[str, int] = {}
        self.every = self._enumerate()

    def feasible_presets(self) -> list[Candidate]:
        """The presets that can be built, each network once."""
        found: dict[str, Candidate] = {}
        for name in self._space.presets:
            configuration = self._space.preset_configuration(name)
            reason = self.networks.infeasible(configuration)
            if reason is not None:
                self._count_refusal(reason)
                continue
            signature = self._costs.signature(configuration)
            found.setdefault(signature, _candidate(configuration, signature, name))
        return list(found.values())

    def stream(
        self, known: Mapping[str, Candidate], taken: set[str], *purpose: object
    ) -> Iterator[Candidate]:
        """Yields feasible configurations whose network is not in `taken`, and adds them.

        A network that is `known` comes as it was drawn first, under the same name.
        """
        entropy = [self._space.search.seed, *map(_number, purpose)]
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        misses = 0
        for draw in self._draws(random):
            look = self._look(draw)
            if look.signature is None or look.signature in taken:
                misses += 1
                if misses == MAX_MISSES and self.every is None:
                    return
                continue
            taken.add(look.signature)
            misses = 0
            self._draws_taken += 1
            configuration = self.networks.configuration(draw)
            yield known.get(look.signature) or _candidate(configuration, look.signature)

    def _draws(self, random: np.random.Generator) -> Iterator[Draw]:
        if self.every is not None:
            for index in random.permutation(len(self.every)):
                yield self.every[index]
            return
        while True:
            yield self.networks.sample(random)

    def _enumerate(self) -> list[Draw] | None:
        """A draw of every network of the space, or `None` if they are too many to list."""
        domains = self.networks.domains.values()
        if any(isinstance(domain, FloatRange) for domain in domains):
            return None
        lists = [domain.values for domain in domains]  # type: ignore[union-attr]
        if math.prod(len(values) for values in lists) > ENUMERABLE:
            return None
        found: dict[str, Draw] = {}
        for draw in itertools.product(*lists):
            signature = self._look(draw).signature
            if signature is not None:
                found.setdefault(signature, draw)
        return list(found.values())

    def _look(self, draw: Draw) -> Look:
        look = self.networks.look(draw)
        if look.refused is not None:
            self._count_refusal(look.refused)
        self._draws_made += 1
        self._progress(_DRAWING, self._draws_taken, self._draws_made)
        return look

    def _count_refusal(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def nothing_feasible(self) -> str:
        """Why there is no configuration, in a sentence."""
        worst = sorted(self.refused.items(), key=lambda item: -item[1])[:3]
        reasons = "; ".join(reason for reason, _ in worst) or "it has no configuration"
        what = (
            "no configuration of this space can be built"
            if depends_on_tuning(self._space)
            else "the one configuration of this space cannot be built"
        )
        return f"{self._space.source}: {what}: {reasons}."


_DRAWING = "Drawing configurations, of which new ones that can be built"


def _candidate(
    configuration: Configuration, signature: str, preset: str | None = None
) -> Candidate:
    recipe = configuration.recipe
    constant_schedule = recipe["schedule"] == "constant" and recipe["warmup"] == 0
    return Candidate(configuration, signature, preset, constant_schedule)


def _number(part: object) -> int:
    return part if isinstance(part, int) else int.from_bytes(str(part).encode()[:4], "big")
