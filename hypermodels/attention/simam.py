"""SimAM: a gate for each value from how much it stands out in its channel, without weights.

    1 / e = (x - mean)^2 / (4 (variance + lambda)) + 1/2,  F' = sigmoid(1 / e) * F

Yang, Zhang, Li, Xie: "SimAM: A Simple, Parameter-Free Attention Module for Convolutional
Neural Networks", ICML 2021, eq. 5-6; mean and variance are over a channel's positions.

Where it differs from the paper and known implementations:
* Equation 5 divides the variance by the number of positions; the code that the paper
  prints and the authors publish divides by one less, which is followed here.
* The authors' code takes `simam_lambda` 1e-4, and 0.1 in its ImageNet commands: the knob.
* The authors place it before the block's last batch norm, inside the branch; here it goes
  where `placement` says, as all types do.
* There is no `gate`: nothing can be learned, so nothing can start as the identity. The
  gates lie between sigmoid(1/2) = 0.62 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.knobs import Knob, Value

SIMAM_LAMBDA = Knob(
    "simam_lambda",
    "number",
    1e-4,
    "what is added to a channel's variance; the larger, the more alike the gates",
    minimum=1e-8,
    maximum=10.0,
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class SimAM(AttentionLayer):
    """Scales each value by how far it lies from its channel's mean; it has no weights.

    Args:
        simam_lambda: Float, added to the variance.
        seed: Integer or `None`, of no effect.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = SimAM(simam_lambda=1e-4)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Yang et al., ICML 2021](https://proceedings.mlr.press/v139/yang21o.html)
    """

    knobs = (SIMAM_LAMBDA,)

    def build(self, input_shape: Any) -> None:
        self.built = True

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales every value; the gate `"map"` has the input's shape."""
        features = ops.cast(inputs, "float32")
        _, height, width, _ = ops.shape(features)
        others = ops.cast(ops.maximum(height * width - 1, 1), "float32")
        distance = ops.square(features - ops.mean(features, axis=(1, 2), keepdims=True))
        variance = ops.sum(distance, axis=(1, 2), keepdims=True) / others
        gate = ops.sigmoid(distance / (4.0 * (variance + self.simam_lambda)) + 0.5)
        return inputs * ops.cast(gate, inputs.dtype), {"map": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return 0

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        return 0

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {"simam_lambda": settings["simam_lambda"]}

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        if shape[0] * shape[1] > 1:
            return None
        return (
            "attention.type simam compares the positions of a map, but the map of every "
            "chosen block is 1x1"
        )


MECHANISM = Mechanism(
    "simam",
    SimAM,
    "SimAM: a gate for each value from its distance to the channel's mean, no weights",
    "Yang et al., SimAM, ICML 2021, eq. 5-6",
)
