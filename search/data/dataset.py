"""What every source of data becomes: two checked splits and the names of the classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from search.data.splits import stratified_split
from search.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
AnyArray = npt.NDArray[Any]

# A test split that is cut here is the data set's own: no seed of a search may move it.
TEST_SEED = 0

_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's control characters, halves of characters, and ends of lines and paragraphs."""


@dataclass(frozen=True, eq=False)
class Split:
    """Images and their labels.

    Args:
        images: uint8 array of shape `(n, height, width, channels)`, 1 or 3 channels.
        labels: int64 array of shape `(n,)`, values `0..classes - 1`.
    """

    images: Images
    labels: Labels


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    Args:
        train: Split with every class.
        test: Split with images of the same shape and no other class.
        class_names: One name a class, in the order of the labels.
        source: What a person sees: the name or the path that was asked for.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    source: str


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
    if images.dtype != np.uint8:
        raise DataError(
            f"{x_name} in {source} does not hold raw images. Expected dtype uint8, values "
            f"0..255 (scaling is part of the model). Received: dtype={images.dtype}. "
            "Save the images unscaled, as uint8."
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise DataError(
            f"{x_name} in {source} has the wrong shape. Expected (n, height, width, channels) "
            "with 1 or 3 channels last, or (n, height, width), nothing empty. "
            f"Received: shape={images.shape}. Reshape or transpose the images."
        )
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{y_name} in {source} does not hold class numbers. Expected an integer dtype. "
            f"Received: dtype={labels.dtype}. Save the labels as integers 0, 1, 2, ..."
        )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise DataError(
            f"{y_name} in {source} has the wrong shape. Expected (n,) or (n, 1). "
            f"Received: shape={labels.shape}. "
            "Save one class number an image (for one-hot rows: their argmax)."
        )
    if len(images) != len(labels):
        raise DataError(
            f"{x_name} and {y_name} in {source} differ in length. Expected one label an image. "
            f"Received: {len(images)} images, {len(labels)} labels. Save both arrays again."
        )
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > np.iinfo(np.int64).max:
        raise DataError(
            f"{y_name} in {source} has a label that is no class number. Expected 0, 1, 2, ... "
            f"Received: labels from {lowest} to {highest}. Number the classes from 0."
        )
    return Split(np.ascontiguousarray(images), np.ascontiguousarray(labels, dtype=np.int64))


def cut_test(split: Split, test_fraction: float, source: str) -> tuple[Split, Split]:
    """Cuts the test split of a data set that has none.

    Returns:
        `(train, test)`; always the same for the same labels and `test_fraction`.

    Raises:
        DataError: When there are too few images of a class.
    """
    try:
        rest, chosen = stratified_split(split.labels, test_fraction, seed=TEST_SEED)
    except DataError as error:
        raise DataError(f"No test split can be cut from {source}. {error}") from error
    return (
        Split(split.images[rest], split.labels[rest]),
        Split(split.images[chosen], split.labels[chosen]),
    )


def checked_dataset(
    train: Split, test: Split, class_names: Sequence[str] | None, source: str
) -> Dataset:
    """Puts two splits together, or says how they disagree.

    Args:
        train: Split that must hold every class `0..k - 1`, with `k` at least 2.
        test: Split with no class that `train` lacks; it need not have all.
        class_names: `k` different, non-empty names, or `None` for `"0"`, `"1"`, ...
        source: Name or path of the source.

    Returns:
        A `Dataset`.

    Raises:
        DataError: When shapes, classes or names disagree.
    """
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DataError(
            f"Training and test images of {source} differ in shape. Expected one shape. "
            f"Received: train {train.images.shape[1:]}, test {test.images.shape[1:]}. "
            "Resize one of them."
        )
    present = np.unique(train.labels)
    highest = max(int(present[-1]), int(test.labels.max()))
    if len(present) != highest + 1:
        # The first gap, found without building 0..highest: a label may be a huge number.
        gaps = np.flatnonzero(present != np.arange(len(present)))
        missing = int(gaps[0]) if gaps.size else len(present)
        raise DataError(
            f"The training labels of {source} skip a class. Expected every class from 0 to "
            f"{highest}, the highest label. Received: no training image of class {missing}. "
            "Number the classes 0, 1, 2, ... without gaps and keep each in the training images."
        )
    if len(present) < 2:
        raise DataError(
            f"{source} has one class only. Expected two or more. "
            f"Received: {len(train.labels)} training images, all of class 0. "
            "Give images of at least one other class."
        )
    names = tuple(map(str, range(len(present)))) if class_names is None else tuple(class_names)
    if len(names) != len(present):
        raise DataError(
            f"The class names of {source} do not fit its labels. Expected {len(present)} names, "
            f"one a class. Received: {len(names)} names. Mend class_names, or leave it out."
        )
    if len(set(names)) != len(names) or not all(name.strip() for name in names):
        raise DataError(
            f"The class names of {source} are empty or repeat. Expected different names. "
            f"Received: class_names={list(names)}. Mend class_names, or leave it out."
        )
    for name in names:
        # A line each in class_names.txt, and shown on terminals, which obey control characters.
        if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
            raise DataError(
                f"A class name of {source} cannot be printed. Expected one line of text. "
                f"Received: {ascii(name)[:100]}. Rename the class or its folder."
            )
    return Dataset(train, test, names, source)
