"""DenseNet: every layer of a block takes the outputs of all layers before it.

Huang, Liu, van der Maaten, Weinberger: "Densely Connected Convolutional Networks", CVPR
2017. Two layouts, told apart by the depth: those for ImageNet, four blocks (121, 161, 169,
201, 264), and that for CIFAR, three equal blocks of (depth - 4) / 6 layers with bottlenecks
and half the channels passed on between blocks (DenseNet-BC), or of (depth - 4) / 3 layers
without either (`bottleneck: false`). DenseNet-121 is `{depth: 121, growth_rate: 32, stem:
imagenet}`, DenseNet-161 grows by 48, DenseNet-BC-100 and DenseNet-40 by 12.

One builder for all, although `keras.applications` has 121, 169 and 201: it fixes the growth
rate at 32, the stem at 64 filters and the blocks at four, so neither 161 nor any CIFAR
network comes out of it. The layers are the same, and so are the totals.

The first convolution has twice the growth rate's filters, as in the paper's ImageNet and BC
networks and in kobiso/CBAM-keras throughout (1,078,018 parameters for DenseNet-40); the
paper's CIFAR networks without bottlenecks have 16 (`wide_stem: false`; 1.0 M). The paper's
dropout for training without augmentation is left out.

Attention goes after a block's last concatenation and after the pooling of the transition
that follows it (`post+transition`, as in the Keras ports), after one of the two alone, or
on the new channels of every layer (`layer`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from hypermodels.backbones.blocks import (
    STEM,
    WIDTH,
    activated,
    classifier,
    conv,
    imagenet_stem,
    require_side,
    widened,
    widened_in,
)
from hypermodels.backbones.family import RESIZE, Family, Site, register_family
from hypermodels.errors import BackboneError
from hypermodels.graph.taps import Tap
from hypermodels.knobs import Knob, KnobError, Value

IMAGENET = {
    121: (6, 12, 24, 16),
    161: (6, 12, 36, 24),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
}
"""The layers of each block of the networks for ImageNet."""


def _check_depth(depth: int) -> None:
    if depth not in IMAGENET and (depth < 7 or (depth - 4) % 3):
        near = depth - (depth - 4) % 3
        raise KnobError(
            f"depth {depth} fits no DenseNet; it is one of {', '.join(map(str, IMAGENET))}, "
            f"6n+4 with bottlenecks, or 3n+4 without; near it are {max(near, 7)} and "
            f"{max(near, 7) + 3}"
        )


KNOBS = (
    Knob(
        "depth",
        "integer",
        40,
        "number of weighted layers: 40 or 100 for CIFAR (6n+4, 3n+4 without bottlenecks); "
        "121, 161, 169, 201, 264 for ImageNet",
        minimum=1,
        maximum=2000,
        check=_check_depth,
    ),
    Knob(
        "growth_rate",
        "integer",
        12,
        "channels that each layer of densenet adds: 12 as published for CIFAR, 48 for 161, "
        "else 32",
        minimum=1,
        maximum=256,
    ),
    Knob(
        "bottleneck",
        "boolean",
        True,
        "whether densenet's layers have a 1x1 convolution first and transitions halve the "
        "channels (DenseNet-BC)",
    ),
    Knob(
        "wide_stem",
        "boolean",
        True,
        "whether densenet's first convolution has twice the growth rate's filters; else 16",
    ),
    WIDTH,
    STEM,
    RESIZE,
)


def layers_per_block(settings: Mapping[str, Value]) -> tuple[int, ...]:
    """How many layers each block has.

    Raises:
        BackboneError: If the depth and the bottlenecks do not go together.
    """
    depth = int(settings["depth"])
    if depth in IMAGENET:
        if not settings["bottleneck"]:
            raise BackboneError(
                f"a DenseNet of depth {depth} has bottlenecks. Received: `bottleneck: "
                "false`. Leave it out, or choose a depth of 3n+4 such as 40."
            )
        return IMAGENET[depth]
    step = 6 if settings["bottleneck"] else 3
    if depth < step + 4 or (depth - 4) % step:
        below = max(depth - (depth - 4) % step, step + 4)
        raise BackboneError(
            f"with `bottleneck: {str(settings['bottleneck']).lower()}` a DenseNet has "
            f"{step}n+4 layers. Received: `depth: {depth}`. Use {below} or {below + step}."
        )
    return ((depth - 4) // step,) * 3


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    blocks = layers_per_block(settings)
    imagenet = settings["stem"] == "imagenet"
    least = 2 ** (len(blocks) - 1)  # transitions halve the side and round down
    require_side(inputs, 4 * least - 3 if imagenet else least, settings)
    growth_rate, bottleneck = int(settings["growth_rate"]), bool(settings["bottleneck"])
    filters = widened(2 * growth_rate if settings["wide_stem"] else 16, settings)
    # The small stem is a bare convolution, as in the paper: layers activate what they take.
    bare = conv(filters, 3, name="stem_conv")
    x = imagenet_stem(inputs, filters) if imagenet else bare(inputs)
    for stage, count in enumerate(blocks, 1):
        for layer in range(1, count + 1):
            name = f"s{stage}b{layer}"
            growth = widened_in(growth_rate, settings, sum(blocks[: stage - 1]) + layer)
            y = x
            if bottleneck:
                y = activated(y, f"{name}_bottleneck")
                y = conv(4 * growth, 1, name=f"{name}_bottleneck")(y)
            y = conv(growth, 3, name=f"{name}_growth")(activated(y, f"{name}_growth"))
            x = layers.Concatenate(name=f"{name}_concat")([x, y])
        if stage < len(blocks):
            name = f"s{stage}_transition"
            filters = x.shape[-1] // 2 if bottleneck else x.shape[-1]
            x = conv(filters, 1, name=f"{name}_conv")(activated(x, name))
            x = layers.AveragePooling2D(2, name=f"{name}_pool")(x)
    return classifier(activated(x, "head"), classes)


def sites(settings: Mapping[str, Value], model: keras.Model) -> tuple[Site, ...]:
    """One site a layer; those that end a block have more ports than the others."""
    blocks = layers_per_block(settings)
    found = []
    for stage, count in enumerate(blocks, 1):
        for layer in range(1, count + 1):
            name = f"s{stage}b{layer}"
            ports = {"layer": Tap(f"{name}_growth", "output")}
            if layer == count:
                ports["post"] = Tap(f"{name}_concat", "output")
                if stage < len(blocks):
                    ports["transition"] = Tap(f"s{stage}_transition_pool", "output")
            found.append(Site(name, stage, layer, ports))
    return tuple(found)


DENSENET = register_family(
    Family(
        name="densenet",
        knobs=KNOBS,
        body=body,
        sites=sites,
        placements=("post+transition", "post", "transition", "layer"),
        summary="DenseNet: 40 or 100 layers for CIFAR, 121 to 264 for ImageNet",
        stages=lambda settings: len(layers_per_block(settings)),
    )
)
