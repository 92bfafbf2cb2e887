"""What every source of data becomes: checked splits and the names of the classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from search.data.origin import SourceFile
from search.data.splits import stratified_split
from search.data.wording import some_of
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
        validation: Split that the source itself validates on, or `None`: the search cuts
            one from `train`. Defaults to `None`.
        notices: Sentences that say what was left out or assumed. Defaults to none.
        origin: The files that were read, by name, or `None` where the source cannot
            change. Defaults to `None`.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]
    source: str
    validation: Split | None = None
    notices: tuple[str, ...] = ()
    origin: Mapping[str, SourceFile] | None = None


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


def cut_notice(test: Split, train: Split, test_fraction: float) -> str:
    """Says that a test split was cut."""
    total = len(test.labels) + len(train.labels)
    return (
        f"The data has no test split: {len(test.labels):,} of its {total:,} training images, "
        f"the same share of each class (test_fraction {test_fraction:g}), are held out as one."
    )


def validation_notice(validation: Split, where: str) -> str:
    """Says that the source has a validation split, and that no other is cut."""
    return (
        f"The data has a validation split of its own: the {len(validation.labels):,} images of "
        f"{where} are used as they are, and data.validation has no effect."
    )


def checked_dataset(
    train: Split,
    test: Split,
    class_names: Sequence[str] | None,
    source: str,
    *,
    validation: Split | None = None,
    notices: Sequence[str] = (),
    origin: Mapping[str, SourceFile] | None = None,
) -> Dataset:
    """Puts splits together, or says how they disagree.

    Args:
        train: Split that must hold every class `0..k - 1`, with `k` at least 2.
        test: Split with no class that `train` lacks; it need not have all.
        class_names: `k` different, non-empty names, or `None` for `"0"`, `"1"`, ...
        source: Name or path of the source.
        validation: Like `test`, or `None` where the source has none.
        notices: What the reader has to say; more may be added here.
        origin: The files that were read.

    Returns:
        A `Dataset`.

    Raises:
        DataError: When shapes, classes or names disagree.
    """
    others = {"test": test, **({} if validation is None else {"validation": validation})}
    for what, split in others.items():
        if train.images.shape[1:] != split.images.shape[1:]:
            raise DataError(
                f"Training and {what} images of {source} differ in shape. Expected one shape. "
                f"Received: train {train.images.shape[1:]}, {what} {split.images.shape[1:]}. "
                "Resize one of them."
            )
    count = _class_count(train, others, source)
    names = tuple(map(str, range(count))) if class_names is None else tuple(class_names)
    _check_names(names, count, source)
    said = [*notices]
    for what, split in others.items():
        lacking = sorted(set(range(count)) - set(np.unique(split.labels).tolist()))
        if lacking:
            said.append(
                f"The {what} images lack {len(lacking)} of {count} classes: "
                f"{some_of(names[label] for label in lacking)}."
            )
    return Dataset(train, test, names, source, validation, tuple(said), origin)


def _class_count(train: Split, others: Mapping[str, Split], source: str) -> int:
    present = np.unique(train.labels)
    highest = max(int(split.labels.max()) for split in (train, *others.values()))
    if len(present) != highest + 1:
        # The first gap, found without building 0..highest: a label may be a huge number.
        gaps = np.flatnonzero(present != np.arange(len(present)))
        missing = int(gaps[0]) if gaps.size else len(present)
        raise DataError(
            f"The training labels of {source} skip a class. Expected every class from 0 to "
            f"{highest}, the highest label. Received: no training image of class {missing}. "
            + _advice_on_gap(missing, int(present[0]), others)
        )
    if len(present) < 2:
        raise DataError(
            f"{source} has one class only. Expected two or more. "
            f"Received: {len(train.labels)} training images, all of class 0. "
            "Give images of at least one other class."
        )
    return len(present)


def _advice_on_gap(missing: int, lowest: int, others: Mapping[str, Split]) -> str:
    lowest = min(lowest, *(int(split.labels.min()) for split in others.values()))
    if missing == 0 and lowest == 1:
        return (
            "If the classes are numbered from 1, subtract 1 from every label; if not, give "
            "training images of class 0."
        )
    for what, split in others.items():
        if missing in split.labels:
            return f"The {what} images have this class: give training images of it, or none."
    return "Number the classes 0, 1, 2, ... without gaps and keep each in the training images."


def _check_names(names: tuple[str, ...], count: int, source: str) -> None:
    if len(names) != count:
        raise DataError(
            f"The class names of {source} do not fit its labels. Expected {count} names, "
            f"one a class. Received: {len(names)} names. Fix class_names, or leave it out."
        )
    if len(set(names)) != len(names) or not all(name.strip() for name in names):
        raise DataError(
            f"The class names of {source} are empty or repeat. Expected different names. "
            f"Received: class_names={list(names)[:10]}. Fix class_names, or leave it out."
        )
    for name in names:
        # A line each in class_names.txt, and shown on terminals, which obey control characters.
        if any(unicodedata.category(character) in _UNPRINTABLE for character in name):
            raise DataError(
                f"A class name of {source} cannot be printed. Expected one line of text. "
                f"Received: {ascii(name)[:100]}. Rename the class or its folder."
            )
