"""What the NumPy references of all mechanisms share: gates, batch norm, zero padding."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

Array = np.ndarray
Weights = Mapping[str, Array]
EPSILON = 1e-5


def gate_of(name: str, logits: Array) -> Array:
    """Sigmoid, its piecewise linear relative, or twice the sigmoid."""
    if name == "hard_sigmoid":
        return np.clip(logits / 6.0 + 0.5, 0.0, 1.0)
    result = 1.0 / (1.0 + np.exp(-logits))
    return 2.0 * result if name == "identity_start" else result


def relu(x: Array) -> Array:
    return np.where(x > 0, x, 0.0)


def half(weights: Weights, name: str) -> dict[str, Array]:
    """The weights of one sublayer, without their prefix."""
    prefix = f"{name}/"
    return {
        key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)
    }


def batch_norm(x: Array, weights: Weights, name: str, training: bool) -> Array:
    """Batch norm over the last axis, one feature after another."""
    own = half(weights, name)
    result = np.empty_like(x)
    for feature in range(x.shape[-1]):
        values = x[..., feature]
        mean = values.mean() if training else own["moving_mean"][feature]
        variance = ((values - mean) ** 2).mean() if training else own["moving_variance"][feature]
        standard = (values - mean) / math.sqrt(variance + EPSILON)
        result[..., feature] = standard * own["gamma"][feature] + own["beta"][feature]
    return result


def convolve(x: Array, kernel: Array, dilation: int = 1) -> Array:
    """A convolution of `(n, h, w, c)` with zeros around the map, tap by tap."""
    _, height, width, _ = x.shape
    rows, columns, _, filters = kernel.shape
    down, right = rows // 2 * dilation, columns // 2 * dilation
    padded = np.pad(x, ((0, 0), (down, down), (right, right), (0, 0)))
    result = np.zeros((*x.shape[:3], filters))
    for row in range(rows):
        for column in range(columns):
            top, left = row * dilation, column * dilation
            window = padded[:, top : top + height, left : left + width]
            result += np.einsum("nhwc,cf->nhwf", window, kernel[row, column])
    return result
