"""scSE: concurrent spatial and channel squeeze and excitation.

    cSE(F) = gate(MLP(AvgPool(F))) * F,  sSE(F) = gate(w . F) * F,  w: C -> 1 at each position
    scSE(F) = cSE(F) + sSE(F)

Roy, Navab, Wachinger: "Concurrent Spatial and Channel Squeeze & Excitation in Fully
Convolutional Networks", MICCAI 2018, eq. 1-3 and section 2.3.

Differences between the papers and known implementations:
* The first paper adds the two maps. The journal version ("Recalibrating Fully
  Convolutional Networks with Spatial and Channel 'Squeeze and Excitation' Blocks", IEEE
  TMI 2019) and the authors' later code take their element-wise maximum: the knob
  `combine`. That version's product of the two maps would square the features; here
  `product` multiplies the gates. Its concatenation, which needs another convolution, is
  not offered.
* The papers' equations have no biases, the authors' code has them in the MLP and in the
  1x1 convolution: the knob `mlp_bias`, which holds for both.
* The paper's reduction ratio is 2, and so is the default.
* With `identity_start` and `sum` each gate starts at 1/2, so that the two maps add up to
  the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.channel import MLP_BIAS, ChannelAttention
from hypermodels.attention.combining import COMBINE, combine, even_maximum
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.attention.hidden import (
    HIDDEN_DIVISOR,
    MIN_HIDDEN,
    REDUCTION_RATIO,
    hidden_in,
    ratio_infeasible,
)
from hypermodels.knobs import Value


@keras.saving.register_keras_serializable(package=PACKAGE)
class ConcurrentSE(AttentionLayer):
    """Scales channels and positions side by side, and joins the two maps.

    Args:
        reduction_ratio: Integer, `channels // reduction_ratio` hidden units in the MLP.
        min_hidden: Integer, least number of hidden units.
        hidden_divisor: Integer, hidden units are rounded to a multiple of it.
        mlp_bias: Boolean, whether the MLP and the 1x1 convolution have biases.
        combine: `"sum"`, `"product"` or `"max"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = ConcurrentSE(reduction_ratio=2, combine="max")
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Roy et al., MICCAI 2018](https://arxiv.org/abs/1803.02579)
    - [Roy et al., IEEE TMI 2019](https://arxiv.org/abs/1808.08127)
    """

    knobs = (
        replace(REDUCTION_RATIO, default=2),
        MIN_HIDDEN,
        HIDDEN_DIVISOR,
        replace(MLP_BIAS, default=False),
        COMBINE,
        GATE,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channel = self.part(ChannelAttention, "channel", channel_pooling="avg")

    def build(self, input_shape: Any) -> None:
        self.channel.build(input_shape)
        self.kernel = self.float32_weight(
            "kernel",
            (int(input_shape[-1]), 1),
            last_initializer(self.channel.gate, self.seed_for("kernel")),
        )
        if self.channel.mlp_bias:
            self.bias = self.float32_weight("bias", (1,), "zeros")
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the map; the gate `"map"`, the two halves joined, has the input's shape."""
        features = ops.cast(inputs, "float32")
        logits = ops.matmul(features, self.kernel)
        if self.channel.mlp_bias:
            logits = logits + self.bias
        spatial = apply_gate(self.channel.gate, logits)
        channel = self.channel.gates(inputs)["channel"]
        gate = combine(self.combine, channel, spatial)
        if self.combine == "max":
            # The larger of two scaled features is the smaller gate's where they are negative.
            smaller = -even_maximum(-channel, -spatial)
            gate = ops.where(features < 0, smaller, gate)
        elif self.combine == "sum" and self.channel.gate == "identity_start":
            gate = 0.5 * gate
        return inputs * ops.cast(gate, inputs.dtype), {"map": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        channels, hidden = shape[2], hidden_in(shape, settings)
        biases = hidden + channels + 1 if settings["mlp_bias"] else 0
        return 2 * channels * hidden + channels + biases

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        height, width, channels = shape
        return 2 * channels * hidden_in(shape, settings) + height * width * channels

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {
            "channel_hidden": hidden_in(shape, settings),
            "mlp_bias": settings["mlp_bias"],
            "combine": settings["combine"],
            "gate": settings["gate"],
        }

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        return ratio_infeasible(shape, settings)


MECHANISM = Mechanism(
    "scse",
    ConcurrentSE,
    "scSE: channels and positions scaled side by side, and the two maps joined",
    "Roy et al., Concurrent Spatial and Channel Squeeze & Excitation, MICCAI 2018",
)
