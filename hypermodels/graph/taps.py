"""Tensors of a functional model by the names of its layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import keras

from hypermodels.errors import PlacementError


@dataclass(frozen=True)
class Tap:
    """A tensor of a functional model: a layer's output, or one of its inputs.

    Args:
        layer: String, the layer's name.
        side: `"output"`, `"input"`, or `"instead"`: the layer's input takes the place of
            its output, as where a gate that a network comes with is taken out.
        index: Integer, which of the layer's inputs.
    """

    layer: str
    side: Literal["output", "input", "instead"]
    index: int = 0

    def tensor(self, layer: keras.layers.Layer) -> Any:
        """The tensor that is tapped, given the layer of that name."""
        if self.side == "output":
            return layer.output
        return layer.input[self.index] if isinstance(layer.input, list | tuple) else layer.input


def map_shape(tensor: Any) -> tuple[int, int, int] | None:
    """Height, width and channels of a tensor that is a feature map of known size."""
    shape: tuple[Any, ...] = tuple(getattr(tensor, "shape", ()))
    if len(shape) != 4 or None in shape[1:]:
        return None
    return int(shape[1]), int(shape[2]), int(shape[3])


def tap_shape(model: keras.Model, tap: Tap) -> tuple[int, int, int]:
    """Height, width and channels of the feature map at a tap.

    Args:
        model: Functional `keras.Model`.
        tap: The `Tap`.

    Returns:
        A tuple of three integers.

    Raises:
        PlacementError: If what passes there is not a feature map of known size.
    """
    tensor = tap.tensor(model.get_layer(tap.layer))
    shape = map_shape(tensor)
    if shape is None:
        raise PlacementError(
            f"attention needs a feature map (batch, height, width, channels) of known size. "
            f"Received: {tuple(tensor.shape)} at the {tap.side} of {tap.layer!r}."
        )
    return shape
