"""eSE: effective Squeeze-and-Excitation, one layer without a bottleneck.

    A(F) = gate(W AvgPool(F) + b),  W: C -> C

Lee and Park: "CenterMask: Real-Time Anchor-Free Instance Segmentation", CVPR 2020, eq. 2-3.
SE's two layers lose channel information in between; one full layer does not, for C*C
weights.

Differences between known implementations:
* The gate: the paper has a sigmoid, its authors' code and timm a hard sigmoid: the knob
  `gate`.
* timm can feed the mean of average and maximum to the layer; here, as in the paper, it is
  the average.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.knobs import Value


@keras.saving.register_keras_serializable(package=PACKAGE)
class EffectiveSE(AttentionLayer):
    """Scales each channel by a gate computed from the averages of all channels.

    Args:
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = EffectiveSE(gate="hard_sigmoid")
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Lee and Park, CVPR 2020](https://arxiv.org/abs/1911.06667)
    """

    knobs = (GATE,)

    def build(self, input_shape: Any) -> None:
        channels = int(input_shape[-1])
        self.kernel = self.float32_weight(
            "full_kernel",
            (channels, channels),
            last_initializer(self.gate, self.seed_for("full_kernel")),
        )
        self.bias = self.float32_weight("bias", (channels,), "zeros")
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the channels; the gate `"channel"` has shape `(batch, 1, 1, channels)`."""
        pooled = ops.mean(ops.cast(inputs, "float32"), axis=(1, 2))
        logits = ops.matmul(pooled, self.kernel) + self.bias
        gate = ops.expand_dims(apply_gate(self.gate, logits), (1, 2))
        return inputs * ops.cast(gate, inputs.dtype), {"channel": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return shape[2] * shape[2] + shape[2]

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return shape[2] * shape[2]

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {"gate": settings["gate"]}


MECHANISM = Mechanism(
    "ese",
    EffectiveSE,
    "effective SE: a gate for each channel from one full layer over the averages",
    "Lee and Park, CenterMask, CVPR 2020, eq. 2-3",
)
