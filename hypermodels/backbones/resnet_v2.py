"""ResNet v2 for small images: pre-activation bottleneck blocks, 9n+2 layers.

He, Zhang, Ren, Sun: "Identity Mappings in Deep Residual Networks", ECCV 2016, as the
Keras CIFAR-10 example builds it. Differences from the paper, kept so that parameter
totals compare with published Keras figures: the stages are 64, 128 and 256 channels wide
with bottlenecks of 16, 64 and 128 (the paper: 16, 32, 64), so the network is about three
times the size of the one whose accuracy papers quote; the first block has no activation
before its first convolution; every stage's first shortcut is a biased 1x1 convolution of
the block's input before activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras import layers

from hypermodels.backbones.block_pattern import BlockPattern, after, before
from hypermodels.backbones.blocks import (
    WIDTH,
    activated,
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

BOTTLENECKS = (16, 64, 128)
WIDTHS = (64, 128, 256)
STEP = 9
"""Layers that each further block of every stage adds."""


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    x = small_stem(inputs, widened(16, settings), bias=True)
    for stage, (inner, channels) in enumerate(zip(BOTTLENECKS, WIDTHS, strict=True), 1):
        width = widened(channels, settings)
        for block in range(1, repeats(settings, STEP) + 1):
            name = f"s{stage}b{block}"
            strides = 2 if stage > 1 and block == 1 else 1
            bottleneck = widened_in(inner, settings, block)
            y = x if stage == block == 1 else activated(x, name, 1)
            y = conv(bottleneck, 1, name=f"{name}_conv1", strides=strides, bias=True)(y)
            y = activated(y, name, 2)
            y = conv(bottleneck, 3, name=f"{name}_conv2", bias=True)(y)
            y = activated(y, name, 3)
            y = conv(width, 1, name=f"{name}_conv3", bias=True)(y)
            if block == 1:
                x = conv(width, 1, name=f"{name}_shortcut", strides=strides, bias=True)(x)
            x = layers.Add(name=f"{name}_add")([x, y])
    return classifier(activated(x, "head", 1), classes)


PATTERN = BlockPattern(
    r"(s(?P<stage>\d+)b\d+)_add",
    {
        "residual": after("{}_conv3"),
        # The residual branch's input before its activation, which the first block lacks.
        "pre": before("{}_bn1", "{}_conv1"),
        "post": after("{}_add"),
        "identity": before("{}_add"),
    },
)

RESNET_V2 = register_family(
    Family(
        name="resnet_v2",
        knobs=(depth_knob(STEP, 20, (20, 56, 110, 164, 1001)), WIDTH),
        body=body,
        sites=PATTERN.sites,
        placements=RESIDUAL_PLACEMENTS,
        summary="ResNet v2 for small images: pre-activation bottlenecks, 9n+2 layers",
        stages=lambda settings: len(WIDTHS),
    )
)
