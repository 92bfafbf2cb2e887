"""Coordinate attention: gates for rows and columns, each from the averages along the other.

    f = hard_swish(norm(W1 [AvgPool_width(F); AvgPool_height(F)]))
    F' = gate(W_h f_h) * gate(W_w f_w) * F

Hou, Zhou, Feng: "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021,
eq. 4-9. The two strips share W1 and its batch norm, and are then split again.

Where it differs from the paper and known implementations:
* The paper's ratio of 32 and at least 8 hidden units are the defaults of the shared knobs;
  timm has a ratio of 24 and rounds to a multiple of 8.
* The paper does not name its non-linearity; the authors' code and timm have hard_swish.
* No bias in front of the batch norm, which would take it away again; the authors' code has
  one. The two layers behind it have biases, as there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.attention.hidden import (
    HIDDEN_DIVISOR,
    MIN_HIDDEN,
    REDUCTION_RATIO,
    hidden_in,
    hidden_units,
)
from hypermodels.attention.normalization import batch_norm
from hypermodels.knobs import Value


@keras.saving.register_keras_serializable(package=PACKAGE)
class CoordinateAttention(AttentionLayer):
    """Scales each channel by a gate for its row and a gate for its column.

    Args:
        reduction_ratio: Integer, `channels // reduction_ratio` hidden units.
        min_hidden: Integer, least number of hidden units.
        hidden_divisor: Integer, hidden units are rounded to a multiple of it.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = CoordinateAttention(reduction_ratio=8)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Hou et al., CVPR 2021](https://arxiv.org/abs/2103.02907)
    """

    knobs = (
        replace(REDUCTION_RATIO, default=32),
        replace(MIN_HIDDEN, default=8),
        HIDDEN_DIVISOR,
        GATE,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = batch_norm("norm")

    def build(self, input_shape: Any) -> None:
        channels = int(input_shape[-1])
        hidden = hidden_units(channels, self.reduction_ratio, self.min_hidden, self.hidden_divisor)
        self.strip_kernel = self.float32_weight(
            "strip_kernel",
            (channels, hidden),
            keras.initializers.HeNormal(seed=self.seed_for("strip_kernel")),
        )
        self.norm.build((None, None, hidden))

        def last(side: str) -> tuple[Any, Any]:
            initializer = last_initializer(self.gate, self.seed_for(f"{side}_kernel"))
            return (
                self.float32_weight(f"{side}_kernel", (hidden, channels), initializer),
                self.float32_weight(f"{side}_bias", (channels,), "zeros"),
            )

        self.height_kernel, self.height_bias = last("height")
        self.width_kernel, self.width_bias = last("width")
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales rows and columns; gates `"height"` `(batch, height, 1, channels)` and
        `"width"` `(batch, 1, width, channels)`."""
        features = ops.cast(inputs, "float32")
        height = ops.shape(features)[1]
        strips = ops.concatenate([ops.mean(features, axis=2), ops.mean(features, axis=1)], axis=1)
        hidden = self.norm(ops.matmul(strips, self.strip_kernel), training=training)
        hidden = ops.hard_swish(hidden)
        rows = ops.matmul(hidden[:, :height], self.height_kernel) + self.height_bias
        columns = ops.matmul(hidden[:, height:], self.width_kernel) + self.width_bias
        along_height = ops.expand_dims(apply_gate(self.gate, rows), 2)
        along_width = ops.expand_dims(apply_gate(self.gate, columns), 1)
        gate = along_height * along_width
        outputs = inputs * ops.cast(gate, inputs.dtype)
        return outputs, {"height": along_height, "width": along_width}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        channels, hidden = shape[2], hidden_in(shape, settings)
        norm = 4 * hidden
        return 3 * channels * hidden + norm + 2 * channels

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        height, width, channels = shape
        return 2 * (height + width) * channels * hidden_in(shape, settings)

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {"channel_hidden": hidden_in(shape, settings), "gate": settings["gate"]}

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        # A ratio above the channels is not infeasible: the least hidden units are there for that.
        if shape[0] * shape[1] > 1:
            return None
        return (
            "attention.type coord tells rows and columns apart, but the map of every chosen "
            "block is 1x1"
        )


MECHANISM = Mechanism(
    "coord",
    CoordinateAttention,
    "coordinate attention: a gate for each row and one for each column of every channel",
    "Hou et al., Coordinate Attention, CVPR 2021, eq. 4-9",
)
