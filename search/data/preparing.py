"""Cuts the splits of a search and writes them once, for every worker to map.

Crash safety: each file is written under a temporary name, fsynced and renamed, and the
manifest `data.json` is removed first and written last. A manifest that is there thus
vouches for every file beside it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from search.data.class_counts import ClassCounts, counts_of
from search.data.dataset import AnyArray, Dataset
from search.data.decoding import Progress, no_progress
from search.data.manifest import MANIFEST, PreparedInfo, SplitSettings
from search.data.origin import ORIGIN, write_origin
from search.data.splits import Indices, balanced_subset, stratified_split
from search.errors import DataError, StorageError
from search.storage.entries import ensure_folder
from search.storage.files import sync_folder, write_atomically

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class _Part:
    """One file to be: some rows, or all, of an array."""

    array: AnyArray
    rows: Indices | None

    @property
    def shape(self) -> tuple[int, ...]:
        count = len(self.array) if self.rows is None else len(self.rows)
        return (count, *self.array.shape[1:])

    def content(self) -> Iterator[bytes]:
        """Yields the bytes of an `.npy` file, a few rows at a time: no second copy."""
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            head,
            {"descr": self.array.dtype.str, "fortran_order": False, "shape": self.shape},
        )
        yield head.getvalue()
        for rows in self._windows():
            yield rows.tobytes()

    def values(self) -> AnyArray:
        return self.array if self.rows is None else self.array[self.rows]

    def _windows(self) -> Iterator[AnyArray]:
        for start in range(0, self.shape[0], _ROWS_AT_ONCE):
            window = slice(start, start + _ROWS_AT_ONCE)
            yield self.array[window if self.rows is None else self.rows[window]]

    def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel of uint8 images.

        Counted in whole numbers, so that they do not depend on the order of a sum.
        """
        channels = self.shape[-1]
        counts = np.zeros((channels, 256), np.int64)
        for rows in self._windows():
            for channel in range(channels):
                counts[channel] += np.bincount(rows[..., channel].reshape(-1), minlength=256)
        values = np.arange(256)
        total = counts.sum(axis=1)
        mean = counts @ values / total
        variance = counts @ values**2 / total - mean**2
        # One flat color has no deviation to divide by.
        std = np.sqrt(np.maximum(variance, 1.0))
        return tuple(map(float, mean)), tuple(map(float, std))


def prepare(
    dataset: Dataset,
    settings: SplitSettings,
    directory: Path,
    progress: Progress = no_progress,
) -> PreparedInfo:
    """Cuts the validation split, where there is none, and writes the arrays of a search.

    Args:
        dataset: The data set.
        settings: Validation size, limit on the training images, seed.
        directory: Folder to write to; created, or written over.
        progress: Called for every file.

    Returns:
        The manifest, as written to `data.json`.

    Raises:
        DataError: When there are too few images for the split.
        StorageError: When the machine refuses a write.
        RunDirectoryError: When anything but a folder stands in its place.

    Example:

    >>> info = prepare(load_dataset("cifar10-sample"), SplitSettings(0.1), tmp_path)
    >>> info.train_count, info.validation_count, info.test_count
    (1800, 200, 500)
    """
    parts = _parts(dataset, settings)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        ensure_folder(directory)
        ensure_folder(directory / "test")
        (directory / MANIFEST).unlink(missing_ok=True)
        (directory / ORIGIN).unlink(missing_ok=True)
        sync_folder(directory)
        hashes = {}
        for done, (name, part) in enumerate(parts.items()):
            progress("Writing arrays", done, len(parts))
            hashes[name] = _write_part(directory / name, part)
        if dataset.origin is not None:
            write_origin(directory, dataset.origin)
        info = _info(dataset, settings, parts, hashes)
        content = json.dumps(info.to_dict(), indent=2).encode("ascii") + b"\n"
        write_atomically(directory / MANIFEST, lambda file: file.write(content))
    except OSError as error:
        raise StorageError(
            f"The data could not be written to {directory}. Expected room and the right to "
            f"write there. Received: {error}. Free some space or choose another run directory, "
            "then start again."
        ) from error
    return info


def fingerprint_of(dataset: Dataset, settings: SplitSettings) -> str:
    """The fingerprint that `prepare` would give, without writing anything.

    Raises:
        DataError: When there are too few images for the split.
    """
    parts = _parts(dataset, settings)
    hashes = {name: _sha256_of(part) for name, part in parts.items()}
    return _info(dataset, settings, parts, hashes).fingerprint


def count_classes(dataset: Dataset, settings: SplitSettings) -> ClassCounts:
    """The class counts of the splits that `prepare` would make, without making them.

    Raises:
        DataError: When there are too few images for the split.
    """
    return _class_counts(dataset, _parts(dataset, settings))


def _class_counts(dataset: Dataset, parts: Mapping[str, _Part]) -> ClassCounts:
    classes = len(dataset.class_names)
    return {
        split: counts_of(parts[name].values(), classes)
        for split, name in (
            ("train", "train_labels.npy"),
            ("validation", "validation_labels.npy"),
            ("test", "test/test_labels.npy"),
        )
    }


def _parts(dataset: Dataset, settings: SplitSettings) -> dict[str, _Part]:
    """Every file by its name, in the order of the manifest."""
    labels = dataset.train.labels
    kept = np.arange(len(labels), dtype=np.int64)
    if settings.limit is not None:
        kept = balanced_subset(labels, settings.limit, seed=settings.seed)
        _check_limit(dataset, settings.limit)
    validation = dataset.validation
    train, held_out = kept, None
    if validation is None:
        validation = dataset.train
        train, held_out = _cut_validation(dataset, settings, kept)
    return {
        "train_images.npy": _Part(dataset.train.images, train),
        "train_labels.npy": _Part(labels, train),
        "validation_images.npy": _Part(validation.images, held_out),
        "validation_labels.npy": _Part(validation.labels, held_out),
        "test/test_images.npy": _Part(dataset.test.images, None),
        "test/test_labels.npy": _Part(dataset.test.labels, None),
    }


def _check_limit(dataset: Dataset, limit: int) -> None:
    classes = len(dataset.class_names)
    each = 2 if dataset.validation is None else 1
    if limit < each * classes:
        raise DataError(
            f"A limit of {limit} training images is too small for {classes} classes. Expected "
            f"at least {each * classes}: one of each class to train"
            f"{', one to validate' if each == 2 else ''}. "
            f"Received: limit={limit}. Raise the limit."
        )


def _cut_validation(
    dataset: Dataset, settings: SplitSettings, kept: Indices
) -> tuple[Indices, Indices]:
    """The rows to train on and the rows to validate on, of the training images kept."""
    labels = dataset.train.labels[kept]
    try:
        rest, chosen = stratified_split(labels, settings.validation, seed=settings.seed)
    except DataError as error:
        raise DataError(
            f"The validation split of {dataset.source} cannot be cut. {error}"
        ) from error
    return kept[rest], kept[chosen]


def _info(
    dataset: Dataset,
    settings: SplitSettings,
    parts: Mapping[str, _Part],
    hashes: Mapping[str, str],
) -> PreparedInfo:
    height, width, channels = dataset.train.images.shape[1:]
    mean, std = parts["train_images.npy"].channel_statistics()
    return PreparedInfo(
        source=dataset.source,
        class_names=dataset.class_names,
        image_shape=(height, width, channels),
        train_count=parts["train_labels.npy"].shape[0],
        validation_count=parts["validation_labels.npy"].shape[0],
        test_count=parts["test/test_labels.npy"].shape[0],
        validation=settings.validation,
        limit=settings.limit,
        seed=settings.seed,
        mean=mean,
        std=std,
        sha256=dict(hashes),
        class_counts=_class_counts(dataset, parts),
        own_validation=dataset.validation is not None,
    )


def _write_part(path: Path, part: _Part) -> str:
    """Writes a file; returns its SHA-256, taken on the way."""
    digests: list[str] = []
    write_atomically(path, lambda file: digests.append(_sha256_of(part, file)))
    return digests[0]


def _sha256_of(part: _Part, file: IO[bytes] | None = None) -> str:
    """The SHA-256 of a file to be, which is written to `file` where one is given."""
    digest = hashlib.sha256()
    for chunk in part.content():
        digest.update(chunk)
        if file is not None:
            file.write(chunk)
    return digest.hexdigest()
