"""ResNeXt: bottlenecks whose 3x3 convolution is grouped.

Xie, Girshick, Dollar, Tu, He: "Aggregated Residual Transformations for Deep Neural
Networks", CVPR 2017. Two layouts, told apart by the depth: that for CIFAR, three stages of
(depth - 2) / 9 blocks (29: ResNeXt-29), and those for ImageNet, four stages (50 and 101).
Stage s gives 256 * 2^(s-1) channels; its grouped convolution has cardinality * width times
2^(s-1). ResNeXt-29 8x64d is the default; ResNeXt-50 32x4d is
`{depth: 50, cardinality: 32, width: 4, stem: imagenet}`.

Differences from kobiso/CBAM-keras, which builds the CIFAR network with outputs four times
as wide (89.7 M parameters against the paper's 34.4 M), leaky ReLUs, and a classifier
without bias; the ImageNet networks agree but for the classifier's biases. Differences from
the paper: batch norm's momentum and epsilon are those of `blocks.batch_norm`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import layers

from hypermodels.backbones.block_pattern import BlockPattern, after, before
from hypermodels.backbones.blocks import (
    STEM,
    WIDTH,
    activated,
    batch_norm,
    classifier,
    conv,
    depth_knob,
    imagenet_stem,
    repeats,
    small_stem,
    widened,
    widened_in,
)
from hypermodels.backbones.family import (
    RESIDUAL_PLACEMENTS,
    RESIZE,
    Family,
    register_family,
)
from hypermodels.knobs import Knob, Value

IMAGENET = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
"""The blocks of each stage of the networks for ImageNet."""
STEP = 9
"""Layers that each further block of every stage adds to the network for CIFAR."""
STEM_WIDTH = 64
FIRST_WIDTH = 256
"""Channels that the first stage gives; each further stage doubles them."""

DEPTH = depth_knob(STEP, 29, (29,), others=tuple(IMAGENET))
CARDINALITY = Knob(
    "cardinality",
    "integer",
    8,
    "groups of resnext's 3x3 convolutions: 8 as published for depth 29, 32 for 50 and 101",
    minimum=1,
    maximum=256,
)
GROUP_WIDTH = Knob(
    "width",
    "integer",
    64,
    "channels a group in resnext's first stage: 64 as published for depth 29, 4 for 50 and 101",
    minimum=1,
    maximum=256,
)


def blocks_per_stage(settings: Mapping[str, Value]) -> tuple[int, ...]:
    return IMAGENET.get(int(settings["depth"]), (repeats(settings, STEP),) * 3)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    cardinality = int(settings["cardinality"])
    stem = imagenet_stem if settings["stem"] == "imagenet" else small_stem
    x = stem(inputs, widened(STEM_WIDTH, settings))
    for stage, blocks in enumerate(blocks_per_stage(settings), 1):
        group = int(settings["width"]) * 2 ** (stage - 1)
        width = widened(FIRST_WIDTH * 2 ** (stage - 1), settings)
        for block in range(1, blocks + 1):
            name = f"s{stage}b{block}"
            grouped = cardinality * widened_in(group, settings, block)
            strides = 2 if stage > 1 and block == 1 else 1
            y = activated(conv(grouped, 1, name=f"{name}_conv1")(x), name, 1)
            y = conv(grouped, 3, name=f"{name}_conv2", strides=strides, groups=cardinality)(y)
            y = activated(y, name, 2)
            y = batch_norm(f"{name}_bn3")(conv(width, 1, name=f"{name}_conv3")(y))
            if block == 1:
                x = conv(width, 1, name=f"{name}_shortcut", strides=strides)(x)
                x = batch_norm(f"{name}_shortcut_bn")(x)
            x = layers.Add(name=f"{name}_add")([x, y])
            x = layers.ReLU(name=f"{name}_out")(x)
    return classifier(x, classes)


PATTERN = BlockPattern(
    r"(s(?P<stage>\d+)b\d+)_add",
    {
        "residual": after("{}_bn3"),  # the standard place of the SE and CBAM papers
        "pre": before("{}_conv1"),
        "post": after("{}_out"),
        "identity": before("{}_add"),
    },
)

RESNEXT = register_family(
    Family(
        name="resnext",
        knobs=(DEPTH, CARDINALITY, GROUP_WIDTH, WIDTH, STEM, RESIZE),
        body=body,
        sites=PATTERN.sites,
        placements=RESIDUAL_PLACEMENTS,
        summary="ResNeXt: grouped bottlenecks; 9n+2 layers for CIFAR, 50 or 101 for ImageNet",
        stages=lambda settings: len(blocks_per_stage(settings)),
    )
)
