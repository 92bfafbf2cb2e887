"""ECA-Net: a gate for each channel from its neighbors' averages.

    M_c(F) = gate(conv1d_k(AvgPool(F))),  k = |log2(C) / 2 + 1 / 2|_odd

Wang, Wu, Zhu, Li, Zuo, Hu: "ECA-Net: Efficient Channel Attention for Deep Convolutional
Neural Networks", CVPR 2020, eq. 7 and 12. `|t|_odd` is the nearest odd number: as in the
authors' code, `t` cut to a whole number, and one more if that is even.

Differences between known implementations:
* At 2048 channels `t` is 6, as near to 5 as to 7. The code's rule gives 7; the 80 weights
  that the paper's abstract gives for ResNet-50 are 5 in each of its 16 blocks.
* timm never goes below a kernel of 3; the paper's formula, which is followed here, gives 1
  below 8 channels. `eca_kernel_size` can be fixed instead.
* timm's `ceca` closes the channels to a ring where the paper pads with zeros: the knob
  `eca_padding`.
* The convolution has no bias anywhere; its initial weights are He's, as for all layers here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.knobs import Knob, Value


def _as_word(received: Any) -> Any:
    whole = isinstance(received, int) and not isinstance(received, bool)
    return str(received) if whole else received


ECA_KERNEL_SIZE = Knob(
    "eca_kernel_size",
    "choice",
    "adaptive",
    "channels that the 1-D convolution spans; adaptive grows with their number",
    choices=("adaptive", "3", "5", "7", "9"),
    normalize=_as_word,
    may_be_infeasible=True,
)
ECA_PADDING = Knob(
    "eca_padding",
    "choice",
    "zero",
    "what lies beyond the first and the last channel: zeros, or the other end",
    choices=("zero", "circular"),
)


def kernel_size(channels: int, eca_kernel_size: str) -> int:
    """The width of the 1-D convolution over `channels` channels."""
    if eca_kernel_size != "adaptive":
        return int(eca_kernel_size)
    size = int((math.log2(channels) + 1.0) / 2.0)
    return size if size % 2 else size + 1


@keras.saving.register_keras_serializable(package=PACKAGE)
class ECA(AttentionLayer):
    """Scales each channel by a gate computed from the averages of its neighbors.

    Args:
        eca_kernel_size: `"adaptive"`, or how many channels the convolution spans: 3, 5, 7
            or 9.
        eca_padding: `"zero"` or `"circular"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = ECA(eca_kernel_size=5)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Wang et al., CVPR 2020](https://arxiv.org/abs/1910.03151)
    """

    knobs = (ECA_KERNEL_SIZE, ECA_PADDING, GATE)

    def build(self, input_shape: Any) -> None:
        size = kernel_size(int(input_shape[-1]), self.eca_kernel_size)
        self.kernel = self.float32_weight(
            "channel_kernel",
            (size, 1, 1),
            last_initializer(self.gate, self.seed_for("channel_kernel")),
        )
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the channels; the gate `"channel"` has shape `(batch, 1, 1, channels)`."""
        pooled = ops.mean(ops.cast(inputs, "float32"), axis=(1, 2))
        padding = "same"
        if self.eca_padding == "circular":
            channels, reach = inputs.shape[-1], self.kernel.shape[0] // 2
            ring = np.arange(-reach, channels + reach, dtype="int32") % channels
            pooled, padding = ops.take(pooled, ring, axis=1), "valid"
        logits = ops.conv(ops.expand_dims(pooled, -1), self.kernel, padding=padding)
        gate = ops.expand_dims(apply_gate(self.gate, ops.squeeze(logits, -1)), (1, 2))
        return inputs * ops.cast(gate, inputs.dtype), {"channel": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return kernel_size(shape[2], str(settings["eca_kernel_size"]))

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return shape[2] * kernel_size(shape[2], str(settings["eca_kernel_size"]))

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        size = kernel_size(shape[2], str(settings["eca_kernel_size"]))
        return {
            "channel_kernel": size,
            "eca_padding": settings["eca_padding"] if size > 1 else "zero",
            "gate": settings["gate"],
        }

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        size = kernel_size(shape[2], str(settings["eca_kernel_size"]))
        if size <= shape[2]:
            return None
        return (
            f"attention.eca_kernel_size {size} is above the channels of every chosen block "
            f"(at most {shape[2]})"
        )


MECHANISM = Mechanism(
    "eca",
    ECA,
    "ECA-Net: a gate for each channel from a 1-D convolution over the averages",
    "Wang et al., ECA-Net, CVPR 2020, eq. 7 and 12",
)
