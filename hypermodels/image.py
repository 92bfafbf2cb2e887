"""What goes into a network and what comes out: raw images, class scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

NORMALIZE = "normalise"
"""The layer that normalizes. No layer of a person's own network may take its name, so it stays."""


@dataclass(frozen=True)
class ImageSpec:
    """What goes into a network and comes out of it.

    Args:
        shape: Height, width and channels of an image.
        classes: Integer, number of classes.
        mean: Mean of each channel on the scale 0..255, or of all channels if one number.
        std: Standard deviation, likewise.
    """

    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.shape[2]):
                raise ValueError(
                    f"{name} must have one value, or one for each of the {self.shape[2]} "
                    f"channels. Received: {values}"
                )
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0. Received: {self.std}")


@keras.saving.register_keras_serializable(package="cbam_search")
class Resize(keras.layers.Layer):
    """Brings images to one size, bilinearly, and to floats.

    Not `keras.layers.Resizing`: its `call` takes `training=True` for granted, and in a model
    that is called without saying so, as an exported one is, every later batch norm then
    believes that it is training.

    Args:
        side: Integer, height and width of what comes out.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        `(batch_size, side, side, channels)`.
    """

    def __init__(self, side: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.side = side

    def call(self, images: Any) -> Any:
        size = (self.side, self.side)
        resized = keras.ops.image.resize(keras.ops.cast(images, "float32"), size, "bilinear")
        return keras.ops.cast(resized, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.side, self.side, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "side": self.side}


def normalized(images: Any, image: ImageSpec) -> Any:
    """Adds a layer that brings every channel to mean 0 and standard deviation 1.

    Args:
        images: Tensor `(batch, height, width, channels)` on the scale 0..255.
        image: The `ImageSpec` with the statistics.

    Returns:
        A float tensor of the same shape.
    """
    count = max(len(image.mean), len(image.std))
    means, stds = (
        values * count if len(values) == 1 else values for values in (image.mean, image.std)
    )
    scale = [1.0 / std for std in stds]
    offset = [-mean / std for mean, std in zip(means, stds, strict=True)]
    single = count == 1
    return keras.layers.Rescaling(
        scale[0] if single else scale, offset[0] if single else offset, name=NORMALIZE
    )(images)
