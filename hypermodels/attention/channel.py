"""Channel attention: the channel half of CBAM, and with the average alone SE.

    M_c(F) = gate(MLP(AvgPool(F)) + MLP(MaxPool(F)))
    MLP(z) = W2 relu(W1 z + b1) + b2,  W1: C -> hidden,  W2: hidden -> C

SE (Hu, Shen, Sun: "Squeeze-and-Excitation Networks", CVPR 2018, eq. 2-4) uses the average
alone (`se.py`); CBAM (Woo, Park, Lee, Kweon: "CBAM: Convolutional Block Attention Module", ECCV
2018, eq. 2) sums the MLP's answers to both. The two are one layer here, with two presets
of its knobs, so `se` with `avg+max` and `channel` are the same network.

Differences between known implementations, each a knob:
* `hidden = max(min_hidden, C // reduction_ratio)`, then rounded to the nearest multiple
  of `hidden_divisor` (timm's SE: 8; the papers: 1). The seed code allowed 0 units.
* Biases of the MLP: the papers' code and the seed have them, timm has none in CBAM.
* The pooled values are summed after the shared MLP, as in the paper, not before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.attention.hidden import HIDDEN, hidden_in, hidden_units, ratio_infeasible
from hypermodels.fast import attention as fused
from hypermodels.knobs import Knob, Value

MLP_BIAS = Knob("mlp_bias", "boolean", True, "biases in the MLP")
CHANNEL_POOLING = Knob(
    "channel_pooling",
    "choice",
    "avg+max",
    "statistic of each channel over the positions",
    choices=("avg", "max", "avg+max"),
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class ChannelAttention(AttentionLayer):
    """Scales each channel by a gate computed from its pooled statistics.

    Args:
        reduction_ratio: Integer, `channels // reduction_ratio` hidden units.
        min_hidden: Integer, least number of hidden units.
        hidden_divisor: Integer, hidden units are rounded to a multiple of it.
        mlp_bias: Boolean, whether the MLP has biases.
        channel_pooling: `"avg"`, `"max"` or `"avg+max"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = ChannelAttention(reduction_ratio=8)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)
    """

    knobs = (*HIDDEN, MLP_BIAS, CHANNEL_POOLING, GATE)

    def build(self, input_shape: Any) -> None:
        channels = int(input_shape[-1])
        hidden = hidden_units(channels, self.reduction_ratio, self.min_hidden, self.hidden_divisor)
        self.kernel_1 = self.float32_weight(
            "kernel_1",
            (channels, hidden),
            keras.initializers.HeNormal(seed=self.seed_for("kernel_1")),
        )
        self.kernel_2 = self.float32_weight(
            "kernel_2",
            (hidden, channels),
            last_initializer(self.gate, self.seed_for("kernel_2")),
        )
        if self.mlp_bias:
            self.bias_1 = self.float32_weight("bias_1", (hidden,), "zeros")
            self.bias_2 = self.float32_weight("bias_2", (channels,), "zeros")
        self.built = True

    def _mlp(self, pooled: Any) -> Any:
        hidden = ops.matmul(pooled, self.kernel_1)
        if self.mlp_bias:
            hidden = hidden + self.bias_1
        logits = ops.matmul(ops.relu(hidden), self.kernel_2)
        return logits + self.bias_2 if self.mlp_bias else logits

    def gate_of(self, statistics: list[Any]) -> Any:
        """The gate `(batch, channels)` of pooled statistics of that shape."""
        logits: Any = 0.0
        for pooled in statistics:
            logits = logits + self._mlp(pooled)
        return apply_gate(self.gate, logits)

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the channels; the gate `"channel"` has shape `(batch, 1, 1, channels)`."""
        features = ops.cast(inputs, "float32")
        statistics = []
        if self.channel_pooling in ("avg", "avg+max"):
            statistics.append(ops.mean(features, axis=(1, 2)))
        if self.channel_pooling in ("max", "avg+max"):
            statistics.append(ops.max(features, axis=(1, 2)))
        gate = ops.expand_dims(self.gate_of(statistics), (1, 2))
        return inputs * ops.cast(gate, inputs.dtype), {"channel": gate}

    def fast_call(self, inputs: Any) -> Any:
        """`attend` while training; see `fast/attention.py`."""
        return fused.attended(
            inputs, channel_gate=self.gate_of, channel_pooling=self.channel_pooling
        )

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        channels, hidden = shape[2], hidden_in(shape, settings)
        biases = channels + hidden if settings["mlp_bias"] else 0
        return 2 * channels * hidden + biases

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        passes = 2 if settings["channel_pooling"] == "avg+max" else 1
        return passes * 2 * shape[2] * hidden_in(shape, settings)

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        pooling = settings["channel_pooling"]
        if shape[0] * shape[1] == 1 and pooling == "max":
            pooling = "avg"  # over one position the two are the same number
        return {
            "channel_hidden": hidden_in(shape, settings),
            "mlp_bias": settings["mlp_bias"],
            "channel_pooling": pooling,
            "gate": settings["gate"],
        }

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        return ratio_infeasible(shape, settings)


MECHANISM = Mechanism(
    "channel",
    ChannelAttention,
    "channel half of CBAM: a gate for each channel from its average and maximum",
    "Woo et al., CBAM, ECCV 2018, eq. 2",
)
