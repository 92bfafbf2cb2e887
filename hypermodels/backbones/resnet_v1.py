"""ResNet v1 for small images: basic blocks, 6n+2 layers.

He, Zhang, Ren, Sun: "Deep Residual Learning for Image Recognition", CVPR 2016, section
4.2, as the Keras CIFAR-10 example builds it. Differences from the paper, kept so that
parameter totals compare with published Keras figures: convolutions have biases before
batch norm, and the shortcut at a stage change is a biased 1x1 convolution without batch
norm (the paper pads with zeros). The head pools globally, so any image size works.

The depth 164 is a basic-block network of 2.6 M parameters here; the ResNet-164 that
papers report is a bottleneck network of 1.7 M.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import layers

from hypermodels.backbones.block_pattern import BlockPattern, after, before
from hypermodels.backbones.blocks import (
    WIDTH,
    activated,
    batch_norm,
    classifier,
    conv,
    depth_knob,
    repeats,
    small_stem,
    widened,
    widened_in,
)
from hypermodels.backbones.family import RESIDUAL_PLACEMENTS, Family, register_family
from hypermodels.knobs import Value

WIDTHS = (16, 32, 64)
STEP = 6
"""Layers that each further block of every stage adds."""


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    x = small_stem(inputs, widened(WIDTHS[0], settings), bias=True)
    for stage, channels in enumerate(WIDTHS, 1):
        width = widened(channels, settings)
        for block in range(1, repeats(settings, STEP) + 1):
            name = f"s{stage}b{block}"
            changes = stage > 1 and block == 1
            strides = 2 if changes else 1
            inner = widened_in(channels, settings, block)
            y = conv(inner, 3, name=f"{name}_conv1", strides=strides, bias=True)(x)
            y = activated(y, name, 1)
            y = conv(width, 3, name=f"{name}_conv2", bias=True)(y)
            y = batch_norm(f"{name}_bn2")(y)
            if changes:
                x = conv(width, 1, name=f"{name}_shortcut", strides=strides, bias=True)(x)
            x = layers.Add(name=f"{name}_add")([x, y])
            x = layers.ReLU(name=f"{name}_out")(x)
    return classifier(x, classes)


PATTERN = BlockPattern(
    r"(s(?P<stage>\d+)b\d+)_add",
    {
        "residual": after("{}_bn2"),  # the standard place of the SE and CBAM papers
        "pre": before("{}_conv1"),
        "post": after("{}_out"),
        "identity": before("{}_add"),
    },
)

RESNET_V1 = register_family(
    Family(
        name="resnet_v1",
        knobs=(depth_knob(STEP, 20, (20, 32, 44, 56, 110, 164)), WIDTH),
        body=body,
        sites=PATTERN.sites,
        placements=RESIDUAL_PLACEMENTS,
        summary="ResNet v1 for small images: basic blocks, 6n+2 layers",
        stages=lambda settings: len(WIDTHS),
    )
)
