"""Inception-ResNet v2: forty residual Inception blocks, as `keras.applications` builds it.

Szegedy et al.: "Inception-v4, Inception-ResNet and the Impact of Residual Connections on
Learning", AAAI 2017. Differences from `keras.applications.InceptionResNetV2`: batch
norm's momentum is 0.9 (see `graft.bn_momentum_overrides`); the scaled additions are made of
Keras's own layers `<block>_scale` and `<block>_add` (its class for them is private, and on
the NumPy backend finds its output's shape by computing it, in a minute and gigabytes); an
identity layer `<block>_in` stands where a block's branches begin; and `stem: small` is that
of `inception_v3`, with maps of 8x8, 3x3 and 1x1 for images of 32x32.

The residual port is the output of a block's biased 1x1 convolution, before it is scaled
and added. The last block has no activation: there `post` is the addition itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import keras

from hypermodels.backbones.block_pattern import BlockPattern, after, before
from hypermodels.backbones.blocks import STEM, WIDTH, classifier, widened
from hypermodels.backbones.family import (
    RESIDUAL_PLACEMENTS,
    RESIZE,
    Family,
    register_family,
)
from hypermodels.backbones.inception_v3 import inception_body
from hypermodels.graph.graft import canonical_names
from hypermodels.knobs import Value

BLOCKS = {"block35": 10, "block17": 20, "block8": 10}
"""The blocks of each stage, named after the side of their maps for 299x299."""


def _scaled_addition(block: str, scale: float) -> Callable[[Any], Any]:
    def add(inputs: Any) -> Any:
        shortcut, residual = inputs
        scaled = keras.layers.Rescaling(scale, name=f"{block}_scale")(residual)
        return keras.layers.Add(name=f"{block}_add")([shortcut, scaled])

    return add


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    network = keras.applications.InceptionResNetV2(
        input_shape=(75, 75, inputs.shape[-1]), include_top=False, weights=None
    )
    names = canonical_names(network)
    takers: dict[int, list[keras.layers.Layer]] = defaultdict(list)
    for layer in network.layers:
        for tensor in keras.tree.flatten(layer.input):
            takers[id(tensor)].append(layer)
    replaced: dict[str, Callable[[Any], Any]] = {}
    joined: dict[str, list[str]] = {}
    shortcuts: dict[str, Any] = {}
    for block in (f"{kind}_{n}" for kind, count in BLOCKS.items() for n in range(1, count + 1)):
        (add,) = takers[id(network.get_layer(f"{block}_conv").output)]
        replaced[names[add.name]] = _scaled_addition(block, add.get_config()["scale"])
        shortcuts[f"{block}_conv"] = add.input[0]
        joined[f"{block}_in"] = [
            names[layer.name] for layer in takers[id(add.input[0])] if layer is not add
        ]
    widths = _widths(network, shortcuts, settings)
    features = inception_body(network, inputs, settings, widths, joined=joined, replaced=replaced)
    return classifier(features, classes)


def _widths(
    network: keras.Model, shortcuts: Mapping[str, Any], settings: Mapping[str, Value]
) -> dict[str, int]:
    """The filters of each convolution; one that ends a residual branch has the shortcut's."""
    names = canonical_names(network)
    channels = {id(network.input): int(network.input.shape[-1])}
    widths: dict[str, int] = {}
    for layer in network.layers[1:]:
        taken = [channels[id(tensor)] for tensor in keras.tree.flatten(layer.input)]
        given = sum(taken) if isinstance(layer, keras.layers.Concatenate) else taken[0]
        if layer.name in shortcuts:
            given = widths[names[layer.name]] = channels[id(shortcuts[layer.name])]
        elif isinstance(layer, keras.layers.Conv2D):
            given = widths[names[layer.name]] = widened(layer.filters, settings)
        channels[id(layer.output)] = given
    return widths


PATTERN = BlockPattern(
    rf"((?:{'|'.join(BLOCKS)})_\d+)_conv",
    {
        "residual": after("{}_conv"),
        "pre": after("{}_in"),
        "post": after("{}_ac", "{}_add"),
        "identity": before("{}_add"),
    },
    stages=tuple(stage for stage, count in enumerate(BLOCKS.values(), 1) for _ in range(count)),
)

INCEPTION_RESNET_V2 = register_family(
    Family(
        name="inception_resnet_v2",
        knobs=(WIDTH, STEM, RESIZE),
        body=body,
        sites=PATTERN.sites,
        placements=RESIDUAL_PLACEMENTS,
        summary="Inception-ResNet v2: 40 residual Inception blocks",
        stages=lambda settings: len(BLOCKS),
    )
)
