"""Parameters and multiply-adds of any configuration, without training it.

The backbone is built once for each of its settings and counted from its graph; attention
is added by each mechanism's formulas at the sites it would take. So a search refuses what
is over its limits before a network is built for a trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypermodels.attention import AttentionLayer, Mechanism, get_mechanism
from hypermodels.attention.base import BLIND, MapShape
from hypermodels.errors import BackboneError
from hypermodels.image import ImageSpec
from hypermodels.knobs import Value
from hypermodels.networks.counting import Cost
from hypermodels.networks.description import BackboneDescription, Describe, describe_backbone
from hypermodels.networks.insertions import Insertion
from hypermodels.networks.network import insertions, mechanism_at, removed_gates
from hypermodels.settings.configuration import Configuration, digest
from hypermodels.settings.recipe import recipe_signature


class CostModel:
    """Counts configurations on images of one kind; each backbone is described once.

    Args:
        image: The `ImageSpec`.
        describe: Gives the description of a backbone, in place of `describe_backbone`,
            for whoever has one already or builds it elsewhere.
    """

    def __init__(self, image: ImageSpec, describe: Describe = describe_backbone) -> None:
        self._image = image
        self._describe = describe
        self._backbones: dict[str, BackboneDescription] = {}
        self._last: tuple[Configuration | None, list[_Attended]] = None, []

    def cost(self, configuration: Configuration) -> Cost:
        """Parameters and multiply-adds of the whole network.

        Raises:
            BackboneError: If the backbone does not fit the images.
        """
        backbone = self.backbone(configuration.backbone)
        total = backbone.cost
        for tap in removed_gates(configuration, backbone.sites):
            total = total - backbone.own[tap]
        for attended in self._attended(configuration, backbone):
            total = total + attended.cost()
        return total

    def signature(self, configuration: Configuration) -> str:
        """A hash. Configurations that build and train the same network have the same one.

        Settings that differ in name alone share it: a ratio that gives the same hidden
        units everywhere, `stages: [1, 2, 3]` of three, `se` that pools as `channel` does.
        """
        return signature_of(configuration, self.attention_signature(configuration))

    def attention_signature(self, configuration: Configuration) -> list[list[Any]]:
        """Which attention stands where. Settings that insert the same layers have the same one."""
        backbone = self.backbone(configuration.backbone)
        return [each.signature() for each in self._attended(configuration, backbone)]

    def least(self, backbone: Mapping[str, Value]) -> Cost:
        """The cost of a backbone without its own gates: a lower bound for any attention.

        Raises:
            BackboneError: If the backbone does not fit the images.
        """
        built = self.backbone(backbone)
        total = built.cost
        for gate in built.own.values():
            total = total - gate
        return total

    def infeasible(self, configuration: Configuration) -> str | None:
        """The reason why a configuration is infeasible, or `None`."""
        attention = configuration.attention
        try:
            backbone = self.backbone(configuration.backbone)
        except BackboneError as error:
            return str(error).rstrip(".")
        if get_mechanism(str(attention["type"])).layer is None:
            return None
        ports = {port: None for site in backbone.sites for port in site.ports}
        lacking = [port for port in str(attention["placement"]).split("+") if port not in ports]
        if lacking:
            return (
                f"attention.placement {attention['placement']} is none of this backbone's, "
                f"which has {', '.join(ports)}"
            )
        stages = max((site.stage for site in backbone.sites), default=0)
        wanted = str(attention["stages"])
        beyond = [
            number for number in wanted.split(",") if number.isdigit() and int(number) > stages
        ]
        if beyond:
            return (
                f"attention.stages names stage {', '.join(beyond)}, "
                f"but the backbone has {stages} stages"
            )
        attended = self._attended(configuration, backbone)
        if not attended:
            return "attention.stages and attention.blocks select no block"
        return _attention_infeasible(attended)

    def _attended(
        self, configuration: Configuration, backbone: BackboneDescription
    ) -> list[_Attended]:
        """The attention layers of a configuration, none of them built."""
        known, attended = self._last
        if known is not configuration:  # a search asks for several things of each in turn
            attended = self._insert(configuration, backbone)
            self._last = configuration, attended
        return attended

    @staticmethod
    def _insert(configuration: Configuration, backbone: BackboneDescription) -> list[_Attended]:
        return [
            _Attended(
                insertion,
                mechanism_at(configuration, insertion.site),
                backbone.shapes[insertion.tap],
                configuration.attention_in(insertion.site.stage),
            )
            for insertion in insertions(configuration, backbone.sites)
        ]

    def backbone(self, settings: Mapping[str, Value]) -> BackboneDescription:
        """The description of a backbone.

        Raises:
            BackboneError: If it does not fit the images.
        """
        key = digest(dict(settings))
        if key not in self._backbones:
            self._backbones[key] = self._describe(settings, self._image)
        return self._backbones[key]


def signature_of(configuration: Configuration, attention: list[list[Any]]) -> str:
    """The hash of a configuration whose `CostModel.attention_signature` is known."""
    return digest(
        {
            "backbone": dict(configuration.backbone),
            "sites": attention,
            "recipe": recipe_signature(configuration.recipe),
        }
    )


@dataclass(frozen=True)
class _Attended:
    """An attention layer at its site: what it is, on what map, with which settings."""

    insertion: Insertion
    mechanism: Mechanism
    shape: MapShape
    attention: Mapping[str, Value]

    @property
    def layer(self) -> type[AttentionLayer]:
        assert self.mechanism.layer is not None, "insertions are of mechanisms with a layer"
        return self.mechanism.layer

    @property
    def settings(self) -> dict[str, Value]:
        return self.mechanism.settings(self.attention)

    def cost(self) -> Cost:
        return Cost(
            self.layer.parameters(self.shape, self.settings),
            self.layer.macs(self.shape, self.settings),
        )

    def signature(self) -> list[Any]:
        tap = self.insertion.tap
        own = self.layer.signature(self.shape, self.settings)
        blind = [BLIND] if self.attention.get(BLIND) else []
        return [tap.layer, tap.side, tap.index, self.layer.__name__, own, *blind]


def _attention_infeasible(attended: list[_Attended]) -> str | None:
    """Why attention fits none of its maps, or `None` if it fits one of them.

    Stages with settings of their own are looked at one by one.
    """
    kinds: dict[str, list[_Attended]] = {}
    for each in attended:
        kinds.setdefault(digest([each.mechanism.name, each.settings]), []).append(each)
    for group in kinds.values():
        layer, settings = group[0].layer, group[0].settings
        shapes = [each.shape for each in group]
        if not all(layer.infeasible(shape, settings) for shape in shapes):
            continue
        height, width, _ = max(shapes, key=lambda shape: min(shape[:2]))
        largest = (height, width, max(shape[2] for shape in shapes))
        reason = layer.infeasible(largest, settings)
        if reason is not None:
            return reason
        maps = ", ".join("x".join(map(str, shape)) for shape in dict.fromkeys(shapes))
        given = ", ".join(f"{name} {value}" for name, value in settings.items())
        return (
            f"every chosen block is too small or has too few channels for one of the "
            f"attention's settings (maps {maps}; {given})"
        )
    return None
