"""Checks the images and labels that a person hands to `fit`.

A network takes raw uint8 images and normalizes them itself. Images that are normalized
already, labels that count from 1 and arrays without a batch axis would train without an
error, to a worse accuracy, so they are refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from hypermodels.image import ImageSpec

_ROW_TOLERANCE = 1e-3
"""How far from 1 the sum of an image's soft labels may be: they may be float16."""


def is_data_set(data: Any) -> bool:
    """Whether `data` yields batches by itself, so that no labels come beside it."""
    if isinstance(data, np.ndarray | list | tuple) or data is None:
        return False
    return (
        isinstance(data, keras.utils.PyDataset)
        or hasattr(data, "element_spec")
        or (hasattr(data, "__iter__") and not hasattr(data, "shape"))
    )


def checked_images(images: Any, image: ImageSpec, what: str) -> np.ndarray:
    """Images as an array that the network takes.

    Args:
        images: Array-like `(n, height, width, channels)` of `uint8`.
        image: The `ImageSpec` of the network.
        what: String, the argument, for messages.

    Returns:
        A `uint8` array; memory-mapped arrays stay so.

    Raises:
        ValueError: If they are of another type or shape, or none.
    """
    array = _as_array(images)
    _check_type(array.dtype.name, what)
    _check_shape(array.shape, image, what)
    if not len(array):
        raise ValueError(f"{what} has no images.")
    return array


def checked_labels(labels: Any, count: int, classes: int, what: str) -> np.ndarray:
    """Labels as class numbers `(n,)`, or as shares of the classes `(n, classes)`.

    Args:
        labels: Array-like: whole numbers `(n,)` or `(n, 1)`, or one-hot or soft labels
            `(n, classes)`.
        count: Integer, how many images they are of.
        classes: Integer.
        what: String, the argument, for messages.

    Returns:
        An integer array `(n,)`, also for one-hot labels; a `float32` array `(n, classes)`
        for soft ones.

    Raises:
        ValueError: If there is not one of a known class for each image.
    """
    if labels is None:
        raise ValueError(f"{what} is missing: every image needs a label.")
    array = _as_array(labels)
    if len(array.shape) == 0 or len(array) != count:
        raise ValueError(
            f"{what}: expected one label for each image. Received: shape {array.shape} for "
            f"{count} images."
        )
    if array.ndim == 2 and array.shape[1] == classes > 1:
        return _checked_shares(array, what)
    if array.shape not in ((count,), (count, 1)):
        raise ValueError(
            f"{what}: expected class numbers of shape (n,), or one-hot or soft labels of shape "
            f"(n, {classes}). Received: shape {array.shape}."
        )
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"{what}: expected whole numbers, or shares of shape (n, {classes}). Received: an "
            f"array of {array.dtype.name}. Use astype('int64') if the numbers are whole."
        )
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"{what}: classes from 0 to {classes - 1} are known. Received: labels from {low} to "
            f"{high}."
        )
    return array.reshape(-1)


def _checked_shares(array: np.ndarray, what: str) -> np.ndarray:
    shares = array.astype("float32")
    right = np.isfinite(shares).all() and shares.min() >= 0
    if not right or np.abs(shares.sum(axis=1, dtype="float64") - 1).max() > _ROW_TOLERANCE:
        raise ValueError(
            f"{what}: expected shares that are not negative and sum to 1 for each image. "
            f"Received: values from {array.min()} to {array.max()}."
        )
    if ((shares == 0) | (shares == 1)).all():
        numbers: np.ndarray = shares.argmax(axis=1)
        return numbers
    return shares


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Checked labels as `float32` shares `(n, classes)`."""
    if labels.ndim == 2:
        return labels
    rows: np.ndarray = np.eye(classes, dtype="float32")[labels]
    return rows


def checked_data_set(data: Any, image: ImageSpec, what: str) -> Any:
    """A data set whose first batch, or whose declared batches, the network can take.

    Args:
        data: A `tf.data.Dataset`, a `PyDataset`, a generator, or another iterable of
            batches `(images, labels)`.
        image: The `ImageSpec` of the network.
        what: String, the argument, for messages.

    Returns:
        `data`, or for a generator one that yields the same batches.

    Raises:
        ValueError: If its images or labels are of another type or shape.
    """
    if hasattr(data, "element_spec"):
        _check_batch(data.element_spec, image, what)
    elif isinstance(data, keras.utils.PyDataset):
        _check_batch(data[0], image, what)
    elif hasattr(data, "__next__"):
        first = next(data, None)
        _check_batch(first, image, what)
        return _with_first(first, data)
    else:
        _check_batch(next(iter(data), None), image, what)
    return data


def _with_first(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _check_batch(batch: Any, image: ImageSpec, what: str) -> None:
    """Looks at a batch, or at what a data set says of its batches."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise ValueError(
            f"{what} yields tuples of images and labels. Received: {type(batch).__name__}."
        )
    images, labels = batch[0], batch[1]
    _check_type(_type_name(images), f"the images of {what}")
    _check_shape(tuple(images.shape), image, f"the images of {what}")
    shape = tuple(labels.shape)
    if len(shape) != 2 or shape[1] != image.classes:
        raise ValueError(
            f"the labels of {what} are one-hot or soft, of shape (batch, {image.classes}). "
            f"Received: shape {shape}. Use keras.ops.one_hot for class numbers."
        )


def _check_type(name: str, what: str) -> None:
    if name != "uint8":
        raise ValueError(
            f"{what}: the network takes raw uint8 images, 0 to 255, and normalizes them itself. "
            f"Received: an array of {name}."
        )


def _check_shape(shape: tuple[int | None, ...], image: ImageSpec, what: str) -> None:
    expected = (None, *image.shape)
    if len(shape) != 4 or any(
        known is not None and wanted is not None and known != wanted
        for known, wanted in zip(shape, expected, strict=True)
    ):
        sides = ", ".join(map(str, image.shape))
        raise ValueError(
            f"{what} has shape (n, {sides}): the network is built for such images. Received: "
            f"shape {tuple(shape)}."
        )


def _type_name(tensor: Any) -> str:
    dtype = getattr(tensor, "dtype", None)
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def _as_array(data: Any) -> np.ndarray:
    if isinstance(data, np.ndarray):
        return data
    array: np.ndarray = (
        np.asarray(keras.ops.convert_to_numpy(data)) if hasattr(data, "dtype") else np.array(data)
    )
    return array
