"""The spatial convolution to one channel, as one matrix product.

A k x k convolution from one or two channels to one is too thin for the kernels that
frameworks have: on a CPU, TensorFlow's takes longer than the 16-channel convolutions of
the network around it. Over the width it is a product with a banded (Toeplitz) matrix made
of the kernel's weights; over the height, a sum of k shifted rows.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from keras import ops

WIDEST = 64
"""Maps up to this wide gain; the product grows with the square of the width."""


def convolve_to_one(maps: Any, kernel: Any) -> Any:
    """The convolution with same padding and stride 1, by its definition.

    Args:
        maps: Tensor `(batch, height, width, channels)`.
        kernel: Tensor `(size, size, channels, 1)`, its size odd.

    Returns:
        A tensor `(batch, height, width, 1)`.
    """
    return ops.conv(maps, kernel, padding="same")


def convolve_to_one_banded(maps: Any, kernel: Any) -> Any:
    """`convolve_to_one` as a matrix product; the same numbers to rounding.

    The height and the width of `maps` must be known.
    """
    _, height, width, channels = maps.shape
    size = kernel.shape[0]
    band = _band(width, size, channels)
    # The last weight is the zero outside of the band.
    weights = ops.concatenate([ops.reshape(kernel, (-1,)), ops.zeros((1,), kernel.dtype)], axis=0)
    matrices = ops.take(weights, band, axis=0)
    rows = ops.reshape(maps, (-1, height, width * channels))
    return ops.expand_dims(_rows_times(rows, matrices), -1)


def _rows_times(rows: Any, matrices: Any) -> Any:
    """For every row, the sum over its neighbors of each times the matrix for its place.

    Autodiff would add up a zero-filled copy for each of the neighbors; the gradient is a
    product of the same kind, with the places in reverse.

    Args:
        rows: Tensor `(batch, height, length)`.
        matrices: Tensor `(size, length, width)`.

    Returns:
        A tensor `(batch, height, width)`.
    """
    _, height, length = rows.shape
    size, _, width = matrices.shape

    @ops.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def multiplied(rows: Any, matrices: Any) -> Any:
        around = _neighbors(rows, size)
        outputs = ops.matmul(around, ops.reshape(matrices, (size * length, width)))

        def gradient(*args: Any, upstream: Any = None) -> tuple[Any, Any]:
            above = args[0] if upstream is None else upstream
            back = ops.transpose(ops.flip(matrices, axis=0), (0, 2, 1))
            to_rows = ops.matmul(
                _neighbors(above, size), ops.reshape(back, (size * width, length))
            )
            to_matrices = ops.matmul(ops.transpose(around), ops.reshape(above, (-1, width)))
            return (
                ops.reshape(to_rows, (-1, height, length)),
                ops.reshape(to_matrices, (size, length, width)),
            )

        return ops.reshape(outputs, (-1, height, width)), gradient

    return multiplied(rows, matrices)


def _neighbors(rows: Any, size: int) -> Any:
    """Each row between those around it, `(batch * height, size * length)`; zeros outside."""
    _, height, length = rows.shape
    reach = size // 2
    padded = ops.pad(rows, ((0, 0), (reach, reach), (0, 0)))
    places = np.arange(height)[:, None] + np.arange(size)
    return ops.reshape(ops.take(padded, places, axis=1), (-1, size * length))


@functools.cache
def _band(width: int, size: int, channels: int) -> np.ndarray:
    """Which weight stands where in the matrices `(size, width * channels, width)`."""
    zero = size * size * channels
    band = np.full((size, width, channels, width), zero, dtype="int32")
    reach = size // 2
    for to in range(width):
        for at in range(max(0, to - reach), min(width, to + reach + 1)):
            for row in range(size):
                first = (row * size + at - to + reach) * channels
                band[row, at, :, to] = np.arange(first, first + channels)
    return band.reshape(size, width * channels, width)
