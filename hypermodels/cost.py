"""Parameters and multiply-adds of any configuration, without training it.

The backbone is built once for each of its settings and counted from its graph; attention
is added by each mechanism's formulas at the sites it would take. So a search refuses what
is over its limits before a network is built for a trial.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.attention import AttentionLayer, mechanism
from hypermodels.attention.contract import MapShape
from hypermodels.backbones import BackboneError, Site, Tap
from hypermodels.configuration import Configuration, digest
from hypermodels.knobs import Value
from hypermodels.network import ImageSpec, build_backbone, placements, taken_out
from hypermodels.placement import tap_shape
from hypermodels.recipe import recipe_identity


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
class _Backbone:
    cost: Cost
    sites: tuple[Site, ...]
    shapes: Mapping[Tap, tuple[int, int, int]]
    own: Mapping[Tap, Cost]


class CostModel:
    """Counts configurations on images of one kind; each backbone is built once.

    Args:
        image: The `ImageSpec`.
    """

    def __init__(self, image: ImageSpec) -> None:
        self._image = image
        self._backbones: dict[str, _Backbone] = {}

    def cost(self, configuration: Configuration) -> Cost:
        """Parameters and multiply-adds of the whole network.

        Raises:
            BackboneError: If the backbone does not fit the images.
        """
        backbone = self._backbone(configuration.backbone)
        total = backbone.cost
        for tap in taken_out(configuration, backbone.sites):
            total = total - backbone.own[tap]
        layer = mechanism(str(configuration.attention["type"])).layer
        if layer is None:
            return total
        settings = configuration.attention_layer_settings
        for place in placements(configuration, backbone.sites):
            shape = backbone.shapes[place.tap]
            total = total + Cost(layer.parameters(shape, settings), layer.macs(shape, settings))
        return total

    def identity(self, configuration: Configuration) -> str:
        """A hash that is equal for configurations that build and train the same network.

        Two settings that differ in name alone are one: a ratio that gives the same hidden
        units everywhere, `stages: [1, 2, 3]` of three, `se` that pools as `channel` does.
        """
        layer = mechanism(str(configuration.attention["type"])).layer
        sites: list[Any] = []
        if layer is not None:
            settings = configuration.attention_layer_settings
            backbone = self._backbone(configuration.backbone)
            sites = [
                [
                    place.tap.layer,
                    place.tap.side,
                    place.tap.index,
                    layer.identity(backbone.shapes[place.tap], settings),
                ]
                for place in placements(configuration, backbone.sites)
            ]
        return digest(
            {
                "backbone": dict(configuration.backbone),
                "layer": layer.__name__ if layer is not None and sites else None,
                "sites": sites,
                "recipe": recipe_identity(configuration.recipe),
            }
        )

    def infeasible(self, configuration: Configuration) -> str | None:
        """Why a configuration cannot be built sensibly, or `None` if it can."""
        attention = configuration.attention
        try:
            backbone = self._backbone(configuration.backbone)
        except BackboneError as error:
            return str(error).rstrip(".")
        layer = mechanism(str(attention["type"])).layer
        if layer is None:
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
        shapes = [
            backbone.shapes[place.tap] for place in placements(configuration, backbone.sites)
        ]
        if not shapes:
            return "attention.stages and attention.blocks select no block"
        return _unfit(layer, shapes, configuration.attention_layer_settings)

    def _backbone(self, settings: Mapping[str, Value]) -> _Backbone:
        key = digest(dict(settings))
        if key not in self._backbones:
            built = build_backbone(settings, self._image)
            taps = {tap for site in built.sites for tap in site.ports.values()}
            self._backbones[key] = _Backbone(
                cost_of(built.model),
                built.sites,
                {tap: tap_shape(built.model, tap) for tap in taps},
                {
                    site.own: cost_of_gate(built.model, site.own)
                    for site in built.sites
                    if site.own
                },
            )
        return self._backbones[key]


def _unfit(
    layer: type[AttentionLayer], shapes: list[MapShape], settings: Mapping[str, Value]
) -> str | None:
    """Why the layer fits none of some maps, or `None` if it fits one of them."""
    if not all(layer.misfit(shape, settings) for shape in shapes):
        return None
    height, width, _ = max(shapes, key=lambda shape: min(shape[:2]))
    largest = (height, width, max(shape[2] for shape in shapes))
    reason = layer.misfit(largest, settings)
    if reason is not None:
        return reason
    maps = ", ".join("x".join(map(str, shape)) for shape in dict.fromkeys(shapes))
    given = ", ".join(f"{name} {value}" for name, value in settings.items())
    return (
        f"every chosen block is too small or has too few channels for one of the attention's "
        f"settings (maps {maps}; {given})"
    )


def cost_of(model: keras.Model) -> Cost:
    """Counts a built functional model layer by layer, attention layers included."""
    return Cost(model.count_params(), sum(layer_macs(layer) for layer in model.layers))


def cost_of_gate(model: keras.Model, gate: Tap) -> Cost:
    """What a network's own gate weighs: all layers that serve nothing else.

    Args:
        model: The built backbone.
        gate: Where the gate is multiplied in; its input that is not the gate's stays.
    """
    needed: set[str] = set()
    waiting = list(model.outputs)
    while waiting:
        operation, node, _ = waiting.pop()._keras_history
        if operation.name in needed:
            continue
        needed.add(operation.name)
        tensors = operation._inbound_nodes[node].input_tensors
        waiting += [tensors[gate.index]] if operation.name == gate.layer else tensors
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
