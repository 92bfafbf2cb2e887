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
    matrix = ops.take(weights, band, axis=0)
    rows = ops.reshape(maps, (-1, height, width * channels))
    return ops.expand_dims(_sum_of_rows(rows, matrix, size, width), -1)


def _sum_of_rows(rows: Any, matrix: Any, size: int, width: int) -> Any:
    """Multiplies every row by the matrix of each kernel row, and adds them shifted.

    Autodiff would write a zero-filled copy of all products for each of the shifts; the
    gradient is a product with the same matrix, of the shifted gradients side by side.
    """
    height, reach = rows.shape[1], size // 2

    @ops.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def shifted_sum(rows: Any, matrix: Any) -> Any:
        flat = ops.reshape(rows, (-1, rows.shape[2]))
        products = ops.reshape(ops.matmul(flat, matrix), (-1, height, size * width))
        products = ops.pad(products, ((0, 0), (reach, reach), (0, 0)))
        total = sum(
            products[:, row : row + height, row * width : (row + 1) * width] for row in range(size)
        )

        def gradient(*args: Any, upstream: Any = None) -> tuple[Any, Any]:
            above = args[0] if upstream is None else upstream
            padded = ops.pad(above, ((0, 0), (reach, reach), (0, 0)))
            shifts = [padded[:, 2 * reach - row : 2 * reach - row + height] for row in range(size)]
            side_by_side = ops.reshape(ops.concatenate(shifts, axis=-1), (-1, size * width))
            to_rows = ops.matmul(side_by_side, ops.transpose(matrix))
            to_matrix = ops.matmul(ops.transpose(flat), side_by_side)
            return ops.reshape(to_rows, (-1, height, rows.shape[2])), to_matrix

        return total, gradient

    return shifted_sum(rows, matrix)


@functools.cache
def _band(width: int, size: int, channels: int) -> np.ndarray:
    """Which weight stands where in the matrix `(width * channels, size * width)`."""
    zero = size * size * channels
    band = np.full((width, channels, size, width), zero, dtype="int32")
    reach = size // 2
    for to in range(width):
        for at in range(max(0, to - reach), min(width, to + reach + 1)):
            for row in range(size):
                first = (row * size + at - to + reach) * channels
                band[at, :, row, to] = np.arange(first, first + channels)
    return band.reshape(width * channels, size * width)
