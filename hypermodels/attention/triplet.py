"""Triplet attention: three planes of the map, each gated by a convolution over it.

    branch(F, axis) = gate(norm(conv_kxk([max_axis(F); mean_axis(F)])))
    F' = (branch(F, channels) + branch(F, height) + branch(F, width)) / 3 * F

Misra, Nalamada, Arasanipalai, Hou: "Rotate to Attend: Convolutional Triplet Attention
Module", WACV 2021, eq. 1-4, kernel 7. The paper rotates the map before two of the branches
and back after them; pooling along the axis in question gives the same planes without
moving the map. No branch has a bias in its convolution.

Where it differs from known implementations:
* The authors' code can leave out the plane of height and width (`no_spatial`), for use
  beside another spatial attention; here all three are always there, as in the paper.
* The authors' batch norm has Keras's momentum 0.99; here it is 0.9, as in all mechanisms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.gates import GATE, apply_gate
from hypermodels.attention.normalization import batch_norm
from hypermodels.attention.spatial import SPATIAL_KERNEL_SIZE, kernel_infeasible
from hypermodels.knobs import Value

PLANES = {"height_width": 3, "width_channel": 1, "height_channel": 2}
"""Each branch's plane, and the axis of the map that is pooled to get it."""


@keras.saving.register_keras_serializable(package=PACKAGE)
class TripletAttention(AttentionLayer):
    """Scales the map by the average of three gates, one for each pair of its axes.

    Args:
        spatial_kernel_size: Integer, side of the three convolutions: 3, 5 or 7.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = TripletAttention(spatial_kernel_size=3)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Misra et al., WACV 2021](https://arxiv.org/abs/2010.03045)
    """

    knobs = (SPATIAL_KERNEL_SIZE, GATE)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        zero_gamma = self.gate == "identity_start"
        self.norms = [batch_norm(f"{plane}_norm", zero_gamma=zero_gamma) for plane in PLANES]

    def build(self, input_shape: Any) -> None:
        size = self.spatial_kernel_size
        self.kernels = [
            self.float32_weight(
                f"{plane}_kernel",
                (size, size, 2, 1),
                keras.initializers.HeNormal(seed=self.seed_for(f"{plane}_kernel")),
            )
            for plane in PLANES
        ]
        for norm in self.norms:
            norm.build((None, None, None, 1))
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the map; the gate `"map"`, the branches' average, has the input's shape."""
        features = ops.cast(inputs, "float32")
        total: Any = 0.0
        for axis, kernel, norm in zip(PLANES.values(), self.kernels, self.norms, strict=True):
            pooled = ops.stack([ops.max(features, axis), ops.mean(features, axis)], axis=-1)
            logits = norm(ops.conv(pooled, kernel, padding="same"), training=training)
            branch = apply_gate(self.gate, ops.squeeze(logits, -1))
            total = total + ops.expand_dims(branch, axis)
        gate = total / 3.0
        return inputs * ops.cast(gate, inputs.dtype), {"map": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        norm = 4
        return 3 * (2 * int(settings["spatial_kernel_size"]) ** 2 + norm)

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        height, width, channels = shape
        positions = height * width + width * channels + height * channels
        return 2 * int(settings["spatial_kernel_size"]) ** 2 * positions

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {name: settings[name] for name in ("spatial_kernel_size", "gate")}

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        return kernel_infeasible(shape, settings)


MECHANISM = Mechanism(
    "triplet",
    TripletAttention,
    "triplet attention: the average of three gates, one for each pair of axes",
    "Misra et al., Rotate to Attend, WACV 2021, eq. 1-4",
)
