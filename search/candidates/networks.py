"""The networks of a space: what a draw of its tuned knobs builds, and whether that is feasible.

A search of many trials draws the same network with many recipes. Each network is looked at
once, and so is each draw, since numbers that are rounded come again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hypermodels.errors import BackboneError
from hypermodels.knobs import FloatRange, Value
from hypermodels.networks.cost import CostModel, signature_of
from hypermodels.networks.counting import Cost
from hypermodels.settings.configuration import Configuration, combinations
from hypermodels.settings.recipe import recipe_section
from search.errors import SpaceError
from search.space.definition import tuned_sections
from search.space.space import Space

Draw = tuple[Value, ...]
"""A value of every tuned knob, active or not, in the order of the space."""

_MOST_NETWORKS = 4096
_MOST_DRAWS = 500_000


@dataclass(frozen=True)
class Look:
    """What a draw builds.

    Args:
        signature: String, equal for draws that build and train the same network, or `None`.
        refused: String, why the search refuses it, or `None`.
    """

    signature: str | None
    refused: str | None


@dataclass(frozen=True)
class _Network:
    backbone: Mapping[str, Value]
    attention: Mapping[str, Value]
    insertions: list[list[Any]]
    refused: str | None


class Networks:
    """Looks at draws of a space.

    Args:
        space: The `Space`.
        costs: The `CostModel` of its images.
    """

    def __init__(self, space: Space, costs: CostModel) -> None:
        self._space, self._costs = space, costs
        self.domains = {name: domain for name, (_, _, domain) in space.tuned().items()}
        self._names = tuple(self.domains)
        self._of_network = tuple(
            index for index, name in enumerate(self._names) if not name.startswith("recipe.")
        )
        self._recipe = recipe_section()
        self._networks: dict[Draw, _Network] = {}
        self._looks: dict[Draw, Look] = {}

    def sample(self, random: np.random.Generator) -> Draw:
        """Draws a value of every tuned knob."""
        # One number for every tuned knob, active or not, so that the value of one knob
        # never shifts the draws of the next.
        return tuple(domain.sample(float(random.random())) for domain in self.domains.values())

    def look(self, draw: Draw) -> Look:
        """What a draw builds, and whether the search takes it."""
        found = self._looks.get(draw)
        if found is None:
            if len(self._looks) >= _MOST_DRAWS:
                self._looks.clear()
            network = self._network(draw)
            signature = None
            if network.refused is None:
                signature = signature_of(self.configuration(draw), network.insertions)
            found = self._looks[draw] = Look(signature, network.refused)
        return found

    def configuration(self, draw: Draw) -> Configuration:
        """The configuration of a draw."""
        network = self._network(draw)
        values = dict(zip(self._names, draw, strict=True))
        settings = self._space.settings.get("recipe", {})
        return Configuration(
            network.backbone, network.attention, self._recipe.resolve(settings, values)
        )

    def _network(self, draw: Draw) -> _Network:
        key = tuple(draw[index] for index in self._of_network)
        found = self._networks.get(key)
        if found is None:
            if len(self._networks) >= _MOST_NETWORKS:
                self._networks.clear()
            made = self._space.configuration(dict(zip(self._names, draw, strict=True)))
            refused = self.infeasible(made)
            insertions = [] if refused else self._costs.attention_signature(made)
            found = _Network(made.backbone, made.attention, insertions, refused)
            self._networks[key] = found
        return found

    def infeasible(self, configuration: Configuration) -> str | None:
        """Why the search refuses a configuration, or `None` if it may become a trial."""
        reason = self._costs.infeasible(configuration)
        if reason is not None:
            return reason
        cost = self._costs.cost(configuration)
        for name, limit in self._limits().items():
            if getattr(cost, name) > limit:
                return _over(name, limit)
        return None

    def check_limits(self) -> None:
        """Makes sure that not every backbone of the space is over a limit by itself.

        Raises:
            SpaceError: If none can keep a limit, whatever attention it gets.
        """
        least = self._least() if self._limits() else None
        for name, limit in self._limits().items():
            if least is not None and getattr(least, name) > limit:
                what = "parameters" if name == "parameters" else "multiply-adds"
                raise SpaceError(
                    f"{self._space.source}: no configuration of this space can be built: "
                    f"{_over(name, limit)}. Its smallest backbone alone has "
                    f"{getattr(least, name):,} {what}."
                )

    def _limits(self) -> dict[str, int]:
        constraints = self._space.constraints
        limits = {"parameters": constraints.max_parameters, "macs": constraints.max_macs}
        return {name: limit for name, limit in limits.items() if limit}

    def _least(self) -> Cost | None:
        """The least parameters and multiply-adds of any backbone, if that can be told."""
        section = tuned_sections()["backbone"]
        settings = self._space.settings["backbone"]
        if any(isinstance(domain, FloatRange) for _, domain in section.tuned(settings)):
            return None  # of a range of numbers, only its middle would be looked at
        costs = []
        for number, backbone in enumerate(combinations(section, settings)):
            if number == _MOST_BACKBONES:
                return None
            try:
                costs.append(self._costs.least(backbone))
            except BackboneError:
                continue
        if not costs:
            return None
        return Cost(min(cost.parameters for cost in costs), min(cost.macs for cost in costs))


_MOST_BACKBONES = 64
"""Backbones that are built to find the smallest; each takes a tenth of a second or more."""


def _over(name: str, limit: int) -> str:
    return f"more than constraints.max_{name} ({limit:,})"
