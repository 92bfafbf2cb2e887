"""CBAM: channel attention and spatial attention, one after the other or side by side.

    channel_first:  F' = M_c(F) * F;  F'' = M_s(F') * F'
    spatial_first:  F' = M_s(F) * F;  F'' = M_c(F') * F'
    parallel:       F'' = M_c(F) * M_s(F) * F

Woo, Park, Lee, Kweon: "CBAM: Convolutional Block Attention Module", ECCV 2018, eq. 1;
the paper's table 3 compares the orders (channel first wins there). The paper does not
say how its parallel variant joins the two gates; here it is their product.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.channel import ChannelAttention
from hypermodels.attention.gates import GATE
from hypermodels.attention.spatial import SpatialAttention
from hypermodels.fast import attention as fused
from hypermodels.knobs import Knob, Value

ORDER = Knob(
    "order",
    "choice",
    "channel_first",
    "which half of CBAM comes first",
    choices=("channel_first", "spatial_first", "parallel"),
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class CBAM(AttentionLayer):
    """Convolutional Block Attention Module.

    Args:
        reduction_ratio: Integer, `channels // reduction_ratio` hidden units in the MLP.
        min_hidden: Integer, least number of hidden units.
        hidden_divisor: Integer, hidden units are rounded to a multiple of it.
        mlp_bias: Boolean, whether the MLP has biases.
        channel_pooling: `"avg"`, `"max"` or `"avg+max"`.
        spatial_pooling: `"avg"`, `"max"` or `"avg+max"`.
        spatial_kernel_size: Integer, side of the spatial convolution: 3, 5 or 7.
        spatial_norm: `"none"`, `"bn"` or `"bn_zero_gamma"`.
        order: `"channel_first"`, `"spatial_first"` or `"parallel"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = CBAM(reduction_ratio=8, spatial_kernel_size=7)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Woo et al., ECCV 2018](https://arxiv.org/abs/1807.06521)
    """

    knobs = (*ChannelAttention.knobs[:-1], *SpatialAttention.knobs[:-1], ORDER, GATE)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channel = self.part(ChannelAttention, "channel")
        self.spatial = self.part(SpatialAttention, "spatial")

    def build(self, input_shape: Any) -> None:
        self.channel.build(input_shape)
        self.spatial.build(input_shape)
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales channels and positions; gates `"channel"` and `"spatial"`."""
        if self.order == "parallel":
            channel = self.channel.gates(inputs)
            spatial = self.spatial.attend(inputs, training=training)[1]
            gate = channel["channel"] * spatial["spatial"]
            return inputs * ops.cast(gate, inputs.dtype), {**channel, **spatial}
        if self.order == "spatial_first":
            refined, spatial = self.spatial.attend(inputs, training=training)
            outputs, channel = self.channel.attend(refined)
        else:
            refined, channel = self.channel.attend(inputs)
            outputs, spatial = self.spatial.attend(refined, training=training)
        return outputs, {**channel, **spatial}

    def fast_call(self, inputs: Any) -> Any:
        """`attend` while training; see `fast/attention.py`."""
        if self.order == "parallel":
            return self.attend(inputs, training=True)[0]
        if self.order == "spatial_first":
            return self.channel.fast_call(self.spatial.fast_call(inputs))
        return fused.attended(
            inputs,
            channel_gate=self.channel.gate_of,
            channel_pooling=self.channel.channel_pooling,
            spatial_gate=self.spatial.trained_gate_of,
            spatial_pooling=self.spatial.spatial_pooling,
        )

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return ChannelAttention.parameters(shape, settings) + SpatialAttention.parameters(
            shape, settings
        )

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return ChannelAttention.macs(shape, settings) + SpatialAttention.macs(shape, settings)

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {
            **ChannelAttention.signature(shape, settings),
            **SpatialAttention.signature(shape, settings),
            "order": settings["order"],
        }

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        return ChannelAttention.infeasible(shape, settings) or SpatialAttention.infeasible(
            shape, settings
        )


MECHANISM = Mechanism(
    "cbam",
    CBAM,
    "channel and spatial attention together",
    "Woo et al., CBAM, ECCV 2018",
)
