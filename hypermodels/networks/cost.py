"""Parameters and multiply-adds of any configuration, without training it.

The backbone is built once for each of its settings and counted from its graph; attention
is added by each mechanism's formulas at the sites it would take. So a search refuses what
is over its limits before a network is built for a trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.attention import AttentionLayer, Mechanism, mechanism
from hypermodels.attention.base import MapShape
from hypermodels.backbones import Site
from hypermodels.errors import BackboneError
from hypermodels.graph.taps import Tap, tap_shape
from hypermodels.graph.walk import Call, upstream
from hypermodels.image import ImageSpec
from hypermodels.knobs import Value
from hypermodels.networks.network import build_backbone, mechanism_at, placements, taken_out
from hypermodels.networks.placing import Placement
from hypermodels.settings.configuration import Configuration, digest
from hypermodels.settings.recipe import recipe_identity


@dataclass(frozen=True)
class Cost:
    """What a network weighs.

    Args:
        parameters: Integer, all weights, batch-norm statistics included
            (`model.count_params()`).
        macs: Integer, multiply-adds of convolutions, dense layers and attention for one
            image.
    """

    parameters: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.parameters - other.parameters, self.macs - other.macs)


@dataclass(frozen=True)
class BackboneDescription:
    """What is known of a backbone without having it at hand.

    Args:
        cost: What it weighs, without attention.
        sites: Where attention can go.
        shapes: Height, width and channels of the map at each tap of the sites.
        own: What each gate of its own weighs.
    """

    cost: Cost
    sites: tuple[Site, ...]
    shapes: Mapping[Tap, MapShape]
    own: Mapping[Tap, Cost]

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values; `from_dict` reads it back."""
        return {
            "cost": [self.cost.parameters, self.cost.macs],
            "sites": [
                {
                    "name": site.name,
                    "stage": site.stage,
                    "block": site.block,
                    "ports": {
                        port: [tap.layer, tap.side, tap.index, *self.shapes[tap]]
                        for port, tap in site.ports.items()
                    },
                    "own": None
                    if site.own is None
                    else [
                        site.own.layer,
                        site.own.index,
                        self.own[site.own].parameters,
                        self.own[site.own].macs,
                    ],
                }
                for site in self.sites
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BackboneDescription:
        """Reads what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        shapes: dict[Tap, MapShape] = {}
        own: dict[Tap, Cost] = {}
        sites = []
        for each in content["sites"]:
            ports = {}
            for port, (layer, side, index, *shape) in each["ports"].items():
                height, width, channels = map(int, shape)
                ports[str(port)] = tap = Tap(str(layer), side, int(index))
                shapes[tap] = (height, width, channels)
            gate = None
            if each["own"] is not None:
                layer, index, parameters, macs = each["own"]
                gate = Tap(str(layer), "instead", int(index))
                own[gate] = Cost(int(parameters), int(macs))
            sites.append(
                Site(str(each["name"]), int(each["stage"]), int(each["block"]), ports, gate)
            )
        parameters, macs = map(int, content["cost"])
        return cls(Cost(parameters, macs), tuple(sites), shapes, own)


Describe = Callable[[Mapping[str, Value], ImageSpec], BackboneDescription]
"""From the resolved section `backbone` and the images to the description."""


def describe_backbone(settings: Mapping[str, Value], image: ImageSpec) -> BackboneDescription:
    """Builds a backbone and counts it.

    Raises:
        BackboneError: If it does not fit the images.
    """
    built = build_backbone(settings, image, blank=True)
    taps = {tap for site in built.sites for tap in site.ports.values()}
    return BackboneDescription(
        cost_of(built.model),
        built.sites,
        {tap: tap_shape(built.model, tap) for tap in taps},
        {site.own: cost_of_gate(built.model, site.own) for site in built.sites if site.own},
    )


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
        for tap in taken_out(configuration, backbone.sites):
            total = total - backbone.own[tap]
        for attended in self._attended(configuration, backbone):
            total = total + attended.cost()
        return total

    def identity(self, configuration: Configuration) -> str:
        """A hash that is equal for configurations that build and train the same network.

        Two settings that differ in name alone are one: a ratio that gives the same hidden
        units everywhere, `stages: [1, 2, 3]` of three, `se` that pools as `channel` does.
        """
        return identity_of(configuration, self.attention_identity(configuration))

    def attention_identity(self, configuration: Configuration) -> list[list[Any]]:
        """What attention stands where: equal for settings that put the same layers in."""
        backbone = self.backbone(configuration.backbone)
        return [each.identity() for each in self._attended(configuration, backbone)]

    def least(self, backbone: Mapping[str, Value]) -> Cost:
        """What a backbone weighs without its own gates: no attention makes it weigh less.

        Raises:
            BackboneError: If the backbone does not fit the images.
        """
        built = self.backbone(backbone)
        total = built.cost
        for gate in built.own.values():
            total = total - gate
        return total

    def infeasible(self, configuration: Configuration) -> str | None:
        """Why a configuration cannot be built sensibly, or `None` if it can."""
        attention = configuration.attention
        try:
            backbone = self.backbone(configuration.backbone)
        except BackboneError as error:
            return str(error).rstrip(".")
        if mechanism(str(attention["type"])).layer is None:
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
        return _unfit(attended)

    def _attended(
        self, configuration: Configuration, backbone: BackboneDescription
    ) -> list[_Attended]:
        """The attention layers of a configuration, none of them built."""
        known, attended = self._last
        if known is not configuration:  # a search asks for several things of each in turn
            attended = self._placed(configuration, backbone)
            self._last = configuration, attended
        return attended

    @staticmethod
    def _placed(configuration: Configuration, backbone: BackboneDescription) -> list[_Attended]:
        return [
            _Attended(
                place,
                mechanism_at(configuration, place.site),
                backbone.shapes[place.tap],
                configuration.attention_in(place.site.stage),
            )
            for place in placements(configuration, backbone.sites)
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


def identity_of(configuration: Configuration, attention: list[list[Any]]) -> str:
    """The hash of a configuration whose `CostModel.attention_identity` is known."""
    return digest(
        {
            "backbone": dict(configuration.backbone),
            "sites": attention,
            "recipe": recipe_identity(configuration.recipe),
        }
    )


@dataclass(frozen=True)
class _Attended:
    """An attention layer at its place: what it is, on what map, with which settings."""

    place: Placement
    mechanism: Mechanism
    shape: MapShape
    attention: Mapping[str, Value]

    @property
    def layer(self) -> type[AttentionLayer]:
        assert self.mechanism.layer is not None, "placements are of mechanisms with a layer"
        return self.mechanism.layer

    @property
    def settings(self) -> dict[str, Value]:
        return self.mechanism.settings(self.attention)

    def cost(self) -> Cost:
        return Cost(
            self.layer.parameters(self.shape, self.settings),
            self.layer.macs(self.shape, self.settings),
        )

    def identity(self) -> list[Any]:
        tap = self.place.tap
        own = self.layer.identity(self.shape, self.settings)
        return [tap.layer, tap.side, tap.index, self.layer.__name__, own]


def _unfit(attended: list[_Attended]) -> str | None:
    """Why attention fits none of its maps, or `None` if it fits one of them.

    Stages with settings of their own are looked at one by one.
    """
    kinds: dict[str, list[_Attended]] = {}
    for each in attended:
        kinds.setdefault(digest([each.mechanism.name, each.settings]), []).append(each)
    for group in kinds.values():
        layer, settings = group[0].layer, group[0].settings
        shapes = [each.shape for each in group]
        if not all(layer.misfit(shape, settings) for shape in shapes):
            continue
        height, width, _ = max(shapes, key=lambda shape: min(shape[:2]))
        largest = (height, width, max(shape[2] for shape in shapes))
        reason = layer.misfit(largest, settings)
        if reason is not None:
            return reason
        maps = ", ".join("x".join(map(str, shape)) for shape in dict.fromkeys(shapes))
        given = ", ".join(f"{name} {value}" for name, value in settings.items())
        return (
            f"every chosen block is too small or has too few channels for one of the "
            f"attention's settings (maps {maps}; {given})"
        )
    return None


def cost_of(model: keras.Model) -> Cost:
    """Counts a built functional model layer by layer, attention layers included."""
    return Cost(model.count_params(), sum(layer_macs(layer) for layer in model.layers))


def cost_of_gate(model: keras.Model, gate: Tap) -> Cost:
    """What a network's own gate weighs: all layers that serve nothing else.

    Args:
        model: The built backbone.
        gate: Where the gate is multiplied in; its input that is not the gate's stays.
    """

    def past_the_gate(call: Call) -> list[Any]:
        return [call.inputs[gate.index]] if call.operation.name == gate.layer else call.inputs

    needed = {call.operation.name for call in upstream(model.outputs, past_the_gate)}
    spare = [layer for layer in model.layers if layer.name not in needed]
    parameters = sum(layer.count_params() for layer in spare)
    return Cost(parameters, sum(layer_macs(layer) for layer in spare))


def layer_macs(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one built layer for one image; zero for layers without any."""
    if isinstance(layer, AttentionLayer):
        shape = layer.input.shape
        return layer.macs((shape[1], shape[2], shape[3]), layer.get_config())
    if isinstance(layer, keras.layers.SeparableConv2D):
        _, height, width, _ = layer.output.shape
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return int(sum(math.prod(each.shape) for each in kernels) * height * width)
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
        # Every output position of a kernel's channel costs one pass over the kernel.
        _, height, width, _ = layer.output.shape
        return int(math.prod(layer.kernel.shape) * height * width)
    if isinstance(layer, keras.layers.Dense):
        positions = math.prod(layer.output.shape[1:-1])
        return int(math.prod(layer.kernel.shape) * positions)
    return 0
