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
from hypermodels.backbones import BackboneError, Site, Tap, family
from hypermodels.configuration import Configuration, digest
from hypermodels.knobs import Value
from hypermodels.network import ImageSpec, build_backbone, placements
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
    sites: tuple[Site, ...]
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
        """Parameters and multiply-adds of the whole network.

        Raises:
            BackboneError: If the backbone does not fit the images.
        """
        backbone = self._backbone(configuration.backbone)
        layer = mechanism(str(configuration.attention["type"])).layer
        if layer is None:
            return backbone.cost
        settings = configuration.attention_layer_settings
        shapes = [
            backbone.shapes[place.tap] for place in placements(configuration, backbone.sites)
        ]
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
        offered = family(str(configuration.backbone["family"])).placements
        if attention["placement"] not in offered:
            return (
                f"attention.placement {attention['placement']} is none of this backbone's: "
                f"{', '.join(offered)}"
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
        ratio = attention.get("reduction_ratio")
        channels = max(shape[2] for shape in shapes)
        if ratio is not None and int(ratio) > channels:
            return (
                f"attention.reduction_ratio {ratio} is above the channels of every chosen "
                f"block (at most {channels})"
            )
        kernel = attention.get("spatial_kernel_size")
        side = max(min(shape[0], shape[1]) for shape in shapes)
        if kernel is not None and int(kernel) > side:
            return (
                f"attention.spatial_kernel_size {kernel} is larger than the map of every "
                f"chosen block (at most {side}x{side})"
            )
        return None

    def _backbone(self, settings: Mapping[str, Value]) -> _Backbone:
        key = digest(dict(settings))
        if key not in self._backbones:
            built = build_backbone(settings, self._image)
            taps = {tap for site in built.sites for tap in site.ports.values()}
            self._backbones[key] = _Backbone(
                cost_of(built.model),
                built.sites,
                {tap: tap_shape(built.model, tap) for tap in taps},
            )
        return self._backbones[key]


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
