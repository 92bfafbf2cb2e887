"""The parts of this package's own families: layers, stems, heads, depths.

Every layer has a name: initial weights are drawn from the seed and the layer's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers

from hypermodels.errors import BackboneError
from hypermodels.knobs import Knob, KnobError, Value

STEM = Knob(
    "stem",
    "choice",
    "small",
    "first layers: small for images such as CIFAR's, imagenet as published for 224x224 or more",
    choices=("small", "imagenet"),
)


WIDTH = Knob(
    "width_multiplier",
    "number",
    1.0,
    "factor on the channels of every layer; 1 is the published width",
    minimum=0.05,
    maximum=16,
    absent_unless_set=True,
)


def widened(channels: int, settings: Mapping[str, Value]) -> int:
    """A number of channels times the width multiplier, at least 1."""
    return max(1, round(channels * _width(settings)))


def widened_in(channels: int, settings: Mapping[str, Value], number: int) -> int:
    """The channels of one of several equal layers, so that all have the right number together.

    Layers that need not be equally wide differ by one channel, so that a network can have
    nearly any number of parameters.

    Args:
        channels: Integer, the published number.
        settings: The section `backbone`.
        number: Integer, which of the layers, from 1.
    """
    width = channels * _width(settings)
    return max(1, round(width * number) - round(width * (number - 1)))


def _width(settings: Mapping[str, Value]) -> float:
    return float(settings.get(WIDTH.name, WIDTH.default))


def conv(
    filters: int, size: int, *, name: str, strides: int = 1, groups: int = 1, bias: bool = False
) -> layers.Conv2D:
    """A He-initialized convolution with same padding; batch norm makes a bias superfluous."""
    return layers.Conv2D(
        filters,
        size,
        strides,
        padding="same",
        groups=groups,
        use_bias=bias,
        kernel_initializer="he_normal",
        name=name,
    )


def batch_norm(name: str) -> layers.BatchNormalization:
    """Batch norm whose running statistics are usable after one short epoch.

    With Keras's momentum of 0.99 they are three quarters their initial values after 25
    steps, and the validation scores of a first rung are noise; 0.9 is PyTorch's value.
    """
    return layers.BatchNormalization(momentum=0.9, name=name)


def activated(x: Any, name: str, number: int | str = "") -> Any:
    """Batch norm and ReLU: the layers `<name>_bn<number>` and `<name>_relu<number>`."""
    return layers.ReLU(name=f"{name}_relu{number}")(batch_norm(f"{name}_bn{number}")(x))


def small_stem(inputs: Any, filters: int, *, bias: bool = False) -> Any:
    """The first layers for small images: a 3x3 convolution."""
    return activated(conv(filters, 3, name="stem_conv", bias=bias)(inputs), "stem")


def imagenet_stem(inputs: Any, filters: int) -> Any:
    """The first layers for large images: a 7x7 convolution and a pooling, each halving."""
    x = activated(conv(filters, 7, name="stem_conv", strides=2)(inputs), "stem")
    return layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)


def require_side(inputs: Any, least: int, settings: Mapping[str, Value]) -> None:
    """Refuses images on which a map of the network would be empty.

    Args:
        inputs: Tensor `(batch, height, width, channels)` that the network takes.
        least: Integer, the least height and width.
        settings: The section `backbone`, for the message.

    Raises:
        BackboneError: If the images are smaller.
    """
    height, width = int(inputs.shape[1]), int(inputs.shape[2])
    if min(height, width) < least:
        stem = settings.get("stem")
        small = " or `stem: small`" if stem == "imagenet" else ""
        raise BackboneError(
            f"{settings['family']} with `stem: {stem}` takes images of at least "
            f"{least}x{least}. Received: {height}x{width}. Use `resize: {least}`{small}."
        )


def classifier(features: Any, classes: int) -> Any:
    """Global average pooling and a softmax layer; scores in float32 under any policy."""
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    return keras.layers.Dense(
        classes, "softmax", kernel_initializer="he_normal", dtype="float32", name=HEAD
    )(pooled)


HEAD = "classes"
"""The layer that `classifier` gives the scores with."""


def depth_knob(
    blocks_per_step: int,
    default: int,
    published: tuple[int, ...],
    *,
    others: tuple[int, ...] = (),
) -> Knob:
    """A depth that is `blocks_per_step * n + 2` for a whole `n` of at least 1.

    Args:
        blocks_per_step: Integer, weighted layers added when `n` grows by one.
        default: Integer, the default depth.
        published: The depths that papers and the seed code list.
        others: Depths of networks of another layout, which are valid too.

    Returns:
        A `Knob` that refuses other depths and names the valid ones beside them.
    """

    def check(depth: int) -> None:
        if depth in others:
            return
        steps, rest = divmod(depth - 2, blocks_per_step)
        if steps < 1:
            raise KnobError(
                f"depth {depth} is below {blocks_per_step + 2}, the least of {blocks_per_step}n+2"
            )
        if rest:
            below = depth - rest
            raise KnobError(
                f"depth {depth} fits no network of {blocks_per_step}n+2 layers; valid depths "
                f"near it are {below} and {below + blocks_per_step}"
            )

    listed = ", ".join(str(depth) for depth in published)
    beside = f"; or {', '.join(str(depth) for depth in others)}" if others else ""
    return Knob(
        "depth",
        "integer",
        default,
        f"number of weighted layers, {blocks_per_step}n+2: {listed}{beside}",
        minimum=1,
        maximum=2000,
        check=check,
    )


def repeats(settings: Mapping[str, Value], blocks_per_step: int) -> int:
    """The `n` of a depth of `blocks_per_step * n + 2`: the blocks of each stage."""
    return (int(settings["depth"]) - 2) // blocks_per_step
