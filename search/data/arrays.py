"""Raw arrays that become a split, or are refused with what was found in them."""

from __future__ import annotations

import numpy as np

from search.data.dataset import AnyArray, Split
from search.errors import DataError


def checked_split(
    images: AnyArray, labels: AnyArray, names: tuple[str, str], source: str
) -> Split:
    """Turns two raw arrays into a split, or says what is wrong with them.

    Args:
        images: uint8 array of shape `(n, height, width, channels)` or `(n, height, width)`.
        labels: Array of any integer dtype and shape `(n,)` or `(n, 1)`.
        names: What the two arrays are called in the source, for messages.
        source: Name or path of the source, for messages.

    Returns:
        A `Split`; no copy is made of images that are already contiguous.

    Raises:
        DataError: When dtype, rank, channels, lengths or labels are not as above.
    """
    x_name, y_name = names
    images = _checked_images(images, x_name, source)
    labels = _checked_labels(labels, y_name, source)
    if len(images) != len(labels):
        raise DataError(
            f"{x_name} and {y_name} in {source} differ in length. Expected one label an image. "
            f"Received: {len(images)} images, {len(labels)} labels. Save both arrays again."
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > np.iinfo(np.int64).max:
        signs = lowest == -1 and set(np.unique(labels).tolist()) <= {-1, 1}
        raise DataError(
            f"{y_name} in {source} has a label that is no class number. Expected 0, 1, 2, ... "
            f"Received: labels from {lowest} to {highest}. "
            + (f"Save ({y_name} + 1) // 2." if signs else "Number the classes from 0.")
        )
    return Split(np.ascontiguousarray(images), np.ascontiguousarray(labels, dtype=np.int64))


def _checked_images(images: AnyArray, name: str, source: str) -> AnyArray:
    if images.dtype != np.uint8:
        raise DataError(
            f"{name} in {source} does not hold raw images. Expected dtype uint8, values "
            f"0..255 (scaling is part of the model). Received: dtype={images.dtype}"
            f"{_range_of(images)}. {_to_uint8(images, name)}"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"{name} in {source} has the wrong shape. Expected (n, height, width, channels) "
            "with 1 or 3 channels last, or (n, height, width), nothing empty. "
            f"Received: shape={images.shape}. {_to_shape(images, name)}"
        )
    return images


def _range_of(images: AnyArray) -> str:
    if images.dtype.kind not in "iuf" or not images.size:
        return ""
    return f", values from {images.min():.4g} to {images.max():.4g}"


def _to_uint8(images: AnyArray, name: str) -> str:
    """How images of another dtype become uint8, as far as their values tell."""
    if images.dtype.kind in "iuf" and images.size and images.min() >= 0:
        if images.dtype.kind == "f" and images.max() <= 1:
            return f"If they were divided by 255, save np.round({name} * 255).astype('uint8')."
        if images.max() <= 255:
            return f"Save np.round({name}).astype('uint8')."
        if images.dtype == np.uint16:
            return f"For images of 16 bits save ({name} >> 8).astype('uint8')."
    return "Save the images unscaled, as uint8."


def _to_shape(images: AnyArray, name: str) -> str:
    if images.ndim == 4 and 0 not in images.shape:
        if images.shape[1] in (1, 3):
            return f"Save {name}.transpose(0, 2, 3, 1)."
        if images.shape[3] == 4:
            return f"If the fourth channel is transparency, save {name}[..., :3]."
    return "Reshape or transpose the images."


def _checked_labels(labels: AnyArray, name: str, source: str) -> AnyArray:
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{name} in {source} does not hold class numbers. Expected an integer dtype. "
            f"Received: dtype={labels.dtype}, shape={labels.shape}. {_to_numbers(labels, name)}"
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{name} in {source} has the wrong shape. Expected (n,) or (n, 1). "
            f"Received: shape={labels.shape}. {_to_one_each(labels, name)}"
        )
    return labels


def _to_numbers(labels: AnyArray, name: str) -> str:
    """How labels of another dtype become class numbers, as far as their values tell."""
    kind = labels.dtype.kind
    if kind == "b" and labels.ndim == 1:
        return f"Save {name}.astype('uint8'): False is class 0, True class 1."
    if kind in "US":
        return (
            f"Number them: class_names, {name} = np.unique({name}, return_inverse=True), and "
            "save class_names too."
        )
    if kind in "bf" and labels.ndim == 2 and labels.shape[1] > 1:
        return _to_one_each(labels, name)
    if kind == "f" and labels.size and bool((labels == np.floor(labels)).all()):
        return f"The values are whole numbers: save {name}.astype('int64')."
    if kind == "f":
        return "These are quantities, not classes: this program searches classifiers."
    return "Save the labels as integers 0, 1, 2, ..."


def _to_one_each(labels: AnyArray, name: str) -> str:
    if labels.ndim != 2:
        return "Save one class number an image."
    if labels.size and bool(((labels != 0).sum(axis=1) == 1).all()):
        return f"Save one class number an image: for one-hot rows {name}.argmax(axis=1)."
    if labels.dtype.kind == "f":
        return "Save one class number an image, the most likely class of each."
    return "Save one class number an image; images of several classes at once cannot be searched."
