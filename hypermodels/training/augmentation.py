"""Augmentation: random flips and crops of a batch, on the CPU, before it is given to a step."""

from __future__ import annotations

import numpy as np


def flipped(images: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """Mirrors the images chosen by the boolean array `flips` left to right."""
    result = images.copy()
    result[flips] = images[flips, :, ::-1]
    return result


def cropped(images: np.ndarray, offsets: np.ndarray, padding: int) -> np.ndarray:
    """Pads each image with black and cuts a window of its own size out of it.

    Args:
        images: Array `(batch, height, width, channels)`.
        offsets: Integer array `(batch, 2)`, row and column of each window's corner, from
            0 to `2 * padding`.
        padding: Integer, pixels on every side.

    Returns:
        An array of the shape and type of `images`.
    """
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    # A loop over windows, which are few and large, takes an eighth of the time of indexing
    # with arrays, which does something for every pixel.
    corners = offsets.tolist()
    windows = [
        image[row : row + height, column : column + width]
        for image, (row, column) in zip(padded, corners, strict=True)
    ]
    return np.stack(windows)
