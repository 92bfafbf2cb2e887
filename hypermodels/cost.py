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
from hypermodels.backbones import PORTS, Tap, family
from hypermodels.configuration import Configuration, digest
from hypermodels.knobs import Value
from hypermodels.network import ImageSpec, backbone_model, placements
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


@dataclass(frozen=True)
class _Backbone:
    cost: Cost
    shapes: Mapping[Tap, tuple[int, int, int]]


class CostModel:
    """Counts configurations on images of one kind; each backbone is built once.

    Args:
        image: The `ImageSpec`.
    """

    def __init__(self, image: ImageSpec) -> None:
        self._image = image
        self._backbones: dict[str, _Backbone] = {}

    def cost(self, configuration: Configuration) -> Cost:
        """Parameters and multiply-adds of the whole network."""
        backbone = self._backbone(configuration.backbone)
        layer = mechanism(str(configuration.attention["type"])).layer
        if layer is None:
            return backbone.cost
        settings = configuration.attention_layer_settings
        shapes = [backbone.shapes[tap] for _, tap in placements(configuration)]
        return Cost(
            backbone.cost.parameters + sum(layer.parameters(shape, settings) for shape in shapes),
            backbone.cost.macs + sum(layer.macs(shape, settings) for shape in shapes),
        )

    def identity(self, configuration: Configuration) -> str:
        """A hash that is equal for configurations that build and train the same network.

        Two settings that differ in name alone are one: a ratio that gives the same hidden
        units everywhere, `stages: [1, 2, 3]` of three, `se` that pools as `channel` does.
        """
        layer = mechanism(str(configuration.attention["type"])).layer
        sites: list[Any] = []
        if layer is not None:
            settings = configuration.attention_layer_settings
            shapes = self._backbone(configuration.backbone).shapes
            sites = [
                [tap.layer, tap.side, tap.index, layer.identity(shapes[tap], settings)]
                for _, tap in placements(configuration)
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
        stages = family(str(configuration.backbone["family"])).stages
        wanted = str(attention.get("stages", "all"))
        if wanted[0].isdigit():
            beyond = [number for number in wanted.split(",") if int(number) > stages]
            if beyond:
                return (
                    f"attention.stages names stage {', '.join(beyond)}, "
                    f"but the backbone has {stages} stages"
                )
        layer = mechanism(str(attention["type"])).layer
        if layer is None:
            return None
        shapes = [
            self._backbone(configuration.backbone).shapes[tap]
            for _, tap in placements(configuration)
        ]
        if not shapes:
            return "attention.stages and attention.blocks select no block"
        return _unfit(layer, shapes, configuration.attention_layer_settings)

    def _backbone(self, settings: Mapping[str, Value]) -> _Backbone:
        key = digest(dict(settings))
        if key not in self._backbones:
            model = backbone_model(settings, self._image)
            sites = family(str(settings["family"])).sites(settings)
            taps = {site.ports[port] for site in sites for port in PORTS if port in site.ports}
            self._backbones[key] = _Backbone(
                cost_of(model), {tap: tap_shape(model, tap) for tap in taps}
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


def layer_macs(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one built layer for one image; zero for layers without any."""
    if isinstance(layer, AttentionLayer):
        shape = layer.input.shape
        return layer.macs((shape[1], shape[2], shape[3]), layer.get_config())
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
        # Every output position of a kernel's channel costs one pass over the kernel.
        _, height, width, _ = layer.output.shape
        return int(math.prod(layer.kernel.shape) * height * width)
    if isinstance(layer, keras.layers.Dense):
        positions = math.prod(layer.output.shape[1:-1])
        return int(math.prod(layer.kernel.shape) * positions)
    return 0
