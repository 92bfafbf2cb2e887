"""The `.npz` reader: which arrays are which splits, under the names that people use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.data.arrays import checked_split
from search.data.dataset import (
    AnyArray,
    Dataset,
    Split,
    checked_dataset,
    cut_notice,
    cut_test,
    validation_notice,
)
from search.data.decoding import Progress, no_progress
from search.data.npy import Archive
from search.data.origin import SourceFile, record_of
from search.data.split_names import TEST, TRAIN, VALIDATION, split_of
from search.data.wording import some_of
from search.errors import DataError
from search.text import printable

CLASS_NAMES = "class_names"

_IMAGES_FIRST = re.compile(r"(?P<what>[xy])_(?P<split>[a-z]+)", re.IGNORECASE)
_SPLIT_FIRST = re.compile(r"(?P<split>[a-z]+)_(?P<what>x|y|images|labels)", re.IGNORECASE)
_WHAT = {"x": "images", "images": "images", "y": "labels", "labels": "labels"}


@dataclass(frozen=True)
class _Names:
    """What the arrays of a file are called.

    Args:
        splits: The names of the images and of the labels of each split.
        class_names: The name of the array of class names, or `None`.
        unused: Names that mean nothing here, or belong to half a split.
    """

    splits: Mapping[str, tuple[str, str]]
    class_names: str | None
    unused: Sequence[str]


def load_npz(
    path: Path, source: str, *, test_fraction: float, progress: Progress = no_progress
) -> Dataset:
    """Loads an `.npz` file; see `load_dataset` for its arrays. Pickles are refused.

    Raises:
        DataError: When the file is empty, no `.npz`, damaged, or lacks an array.
    """
    names, arrays, record = _read(path, source, progress)
    given = arrays.get(names.class_names or "")
    if given is not None and (given.ndim != 1 or given.dtype.kind not in "US"):
        raise DataError(
            f"class_names in {source} is no list of names. Expected a 1-D array of strings. "
            f"Received: shape={given.shape}, dtype={given.dtype}. Fix it, or leave it out."
        )
    splits = {
        kind: checked_split(arrays[pair[0]], arrays[pair[1]], pair, source)
        for kind, pair in names.splits.items()
    }
    notices = _notices(names, splits)
    train, test = _with_test(splits, test_fraction, source, notices)
    return checked_dataset(
        train,
        test,
        None if given is None else [_text(value) for value in given.tolist()],
        source,
        validation=splits.get(VALIDATION),
        notices=notices,
        origin={path.name: record},
    )


def _with_test(
    splits: Mapping[str, Split], test_fraction: float, source: str, notices: list[str]
) -> tuple[Split, Split]:
    if TEST in splits:
        return splits[TRAIN], splits[TEST]
    train, test = cut_test(splits[TRAIN], test_fraction, source)
    notices.append(cut_notice(test, train, test_fraction))
    return train, test


def _notices(names: _Names, splits: Mapping[str, Split]) -> list[str]:
    said = []
    if VALIDATION in splits:
        said.append(validation_notice(splits[VALIDATION], names.splits[VALIDATION][0]))
    if names.unused:
        said.append(f"Arrays of the file that are not used: {some_of(names.unused)}.")
    return said


def _read(
    path: Path, source: str, progress: Progress
) -> tuple[_Names, dict[str, AnyArray], SourceFile]:
    """The arrays of the file that have a meaning here; others are not even read."""
    reading = ""
    try:
        record = record_of(path)
        with path.open("rb") as file:
            archive = Archive(file)
            names = _names_of(archive.names, source)
            wanted = [name for pair in names.splits.values() for name in pair]
            wanted += [names.class_names] if names.class_names else []
            arrays = {}
            for done, reading in enumerate(wanted):
                progress("Reading arrays", done, len(wanted))
                arrays[reading] = archive.read(reading)
            return names, arrays, record
    except DataError:
        raise
    except Exception as error:  # zipfile, its decompressors and NumPy each have their own
        where = f"{printable(reading)} in {source}" if reading else source
        raise DataError(
            f"{where} cannot be read. Expected a .npz file as numpy.savez writes it, with plain "
            f"arrays and no pickled objects. Received: {_short(error)}. Save the file again with "
            "numpy.savez, or unpack it if it is an archive and give the folder."
        ) from error


def _short(error: BaseException) -> str:
    """The first line of an error, cut to a readable length."""
    line = (str(error).strip().splitlines() or [""])[0]
    return printable(f"{type(error).__name__}: {line[:200]}")


def _names_of(keys: Sequence[str], source: str) -> _Names:
    """Finds the splits among the names of arrays."""
    roles: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        match = _IMAGES_FIRST.fullmatch(key) or _SPLIT_FIRST.fullmatch(key)
        split = split_of(match["split"]) if match else None
        if match and split:
            roles.setdefault((split, _WHAT[match["what"].lower()]), []).append(key)
    for (split, what), names in roles.items():
        if len(names) > 1:
            raise DataError(
                f"{source} has the {split} {what} twice. Expected one array of them. "
                f"Received: {some_of(names)}. Save the file again without the other."
            )
    splits = {}
    for split in (TRAIN, VALIDATION, TEST):
        images, labels = (roles.get((split, what)) for what in ("images", "labels"))
        if images and labels:
            splits[split] = (images[0], labels[0])
    _require(roles, keys, source)
    class_names = CLASS_NAMES if CLASS_NAMES in keys else None
    used = {CLASS_NAMES, *(name for pair in splits.values() for name in pair)}
    return _Names(splits, class_names, [key for key in keys if key not in used])


def _require(roles: Mapping[tuple[str, str], list[str]], keys: Sequence[str], source: str) -> None:
    required = [(TRAIN, "images"), (TRAIN, "labels")]
    if (TEST, "images") in roles or (TEST, "labels") in roles:
        required += [(TEST, "images"), (TEST, "labels")]
    letter = {"images": "x", "labels": "y"}
    missing = [f"{letter[what]}_{split}" for split, what in required if (split, what) not in roles]
    if missing:
        raise DataError(
            f"{source} lacks {' and '.join(missing)}. Expected the arrays x_train, y_train and, "
            "where there are such splits, x_val, y_val, x_test and y_test (or train_images, "
            "train_labels and so on). "
            f"Received: {some_of(sorted(keys)) or 'no array'}. {_advice(missing)}"
        )


def _advice(missing: Sequence[str]) -> str:
    if any(name.endswith("_train") for name in missing):
        return "Save the file again with these names."
    return "Save both, or neither: a test split is then cut from the training images."


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
