"""Spatial attention: the spatial half of CBAM.

    M_s(F) = gate(norm(conv_kxk([mean_c(F); max_c(F)])))

CBAM (Woo, Park, Lee, Kweon: "CBAM: Convolutional Block Attention Module", ECCV 2018,
eq. 3), without a bias in the convolution, as all known implementations have it.

Differences between known implementations, each a knob:
* Batch norm after the convolution: the paper's code has one and starts its gamma at 0
  (`bn_zero_gamma`), so that the gate is 0.5 everywhere at first; timm starts it at 1
  (`bn`); the seed code has none (`none`).
* The convolution's inputs are `[mean, max]` (seed, timm); the paper's code has
  `[max, mean]`: the same function with the two halves of the kernel exchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.attention.normalization import batch_norm
from hypermodels.fast import attention as fused
from hypermodels.fast.convolution import convolve_to_one, convolve_to_one_banded
from hypermodels.knobs import Knob, Value

SPATIAL_POOLING = Knob(
    "spatial_pooling",
    "choice",
    "avg+max",
    "statistic of each position over the channels",
    choices=("avg", "max", "avg+max"),
)
SPATIAL_KERNEL_SIZE = Knob(
    "spatial_kernel_size",
    "choice",
    7,
    "side of the spatial convolution",
    choices=(3, 5, 7),
    label="k=",
    may_be_infeasible=True,
)
SPATIAL_NORM = Knob(
    "spatial_norm",
    "choice",
    "none",
    "batch norm after the spatial convolution; bn_zero_gamma starts with gamma 0, as bn does "
    "where gate is identity_start",
    choices=("none", "bn", "bn_zero_gamma"),
    label="norm=",
)


def kernel_infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
    """Why the spatial kernel is too large for a map of `shape`, or `None`."""
    size, side = int(settings["spatial_kernel_size"]), min(shape[0], shape[1])
    if size <= side:
        return None
    return (
        f"attention.spatial_kernel_size {size} is larger than the map of every chosen block "
        f"(at most {side}x{side})"
    )


@keras.saving.register_keras_serializable(package=PACKAGE)
class SpatialAttention(AttentionLayer):
    """Scales each position by a gate computed from its statistics over the channels.

    Args:
        spatial_pooling: `"avg"`, `"max"` or `"avg+max"`.
        spatial_kernel_size: Integer, side of the convolution: 3, 5 or 7.
        spatial_norm: `"none"`, `"bn"` or `"bn_zero_gamma"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = SpatialAttention(spatial_kernel_size=3)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)
    """

    knobs = (SPATIAL_POOLING, SPATIAL_KERNEL_SIZE, SPATIAL_NORM, GATE)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm: Any = None
        if self.spatial_norm != "none":
            # Where the gate must start at 1, gamma starts at 0 and not the kernel.
            zero = self.spatial_norm == "bn_zero_gamma" or self.gate == "identity_start"
            self.norm = batch_norm("norm", zero_gamma=zero)

    def build(self, input_shape: Any) -> None:
        size = self.spatial_kernel_size
        inputs = 2 if self.spatial_pooling == "avg+max" else 1
        self.kernel = self.float32_weight(
            "kernel",
            (size, size, inputs, 1),
            last_initializer(
                self.gate if self.norm is None else "sigmoid", self.seed_for("kernel")
            ),
        )
        if self.norm is not None:
            self.norm.build((*input_shape[:-1], 1))
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the positions; the gate `"spatial"` has shape `(batch, height, width, 1)`."""
        features = ops.cast(inputs, "float32")
        pooled = []
        if self.spatial_pooling in ("avg", "avg+max"):
            pooled.append(ops.mean(features, axis=-1, keepdims=True))
        if self.spatial_pooling in ("max", "avg+max"):
            pooled.append(ops.max(features, axis=-1, keepdims=True))
        maps = ops.concatenate(pooled, axis=-1) if len(pooled) > 1 else pooled[0]
        gate = self._gate_of(convolve_to_one(maps, self.kernel), training)
        return inputs * ops.cast(gate, inputs.dtype), {"spatial": gate}

    def fast_call(self, inputs: Any) -> Any:
        """`attend` while training; see `fast/attention.py`."""
        return fused.attended(
            inputs, spatial_gate=self.trained_gate_of, spatial_pooling=self.spatial_pooling
        )

    def trained_gate_of(self, maps: Any) -> Any:
        """The gate of pooled maps `(batch, height, width, 1 or 2)` of known size, in training."""
        kernel = ops.convert_to_tensor(self.kernel)
        return self._gate_of(convolve_to_one_banded(maps, kernel), training=True)

    def _gate_of(self, logits: Any, training: bool | None) -> Any:
        if self.norm is not None:
            logits = self.norm(logits, training=training)
        return apply_gate(self.gate, logits)

    @staticmethod
    def _kernel_weights(settings: Mapping[str, Value]) -> int:
        size = int(settings["spatial_kernel_size"])
        return size * size * (2 if settings["spatial_pooling"] == "avg+max" else 1)

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        norm = 0 if settings["spatial_norm"] == "none" else 4
        return SpatialAttention._kernel_weights(settings) + norm

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return shape[0] * shape[1] * SpatialAttention._kernel_weights(settings)

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        names = ("spatial_pooling", "spatial_kernel_size", "spatial_norm", "gate")
        own = {name: settings[name] for name in names}
        if own["spatial_norm"] == "bn" and own["gate"] == "identity_start":
            own["spatial_norm"] = "bn_zero_gamma"
        return own

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        return kernel_infeasible(shape, settings)


MECHANISM = Mechanism(
    "spatial",
    SpatialAttention,
    "spatial half of CBAM: a gate for each position from its average and maximum",
    "Woo et al., CBAM, ECCV 2018, eq. 3",
)
