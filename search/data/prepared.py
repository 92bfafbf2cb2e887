"""The arrays that trials read, as `prepare` wrote them: memory maps that workers share.

The test split lies in a folder of its own, which `open_test` alone opens.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from search.data.dataset import AnyArray, Split
from search.data.manifest import MANIFEST, PreparedInfo
from search.errors import DataError
from search.storage.arrays import read_header
from search.storage.entries import open_to_read, read_bytes

LARGEST_MANIFEST = 2**26
"""Bytes that a manifest has at most."""


@dataclass(frozen=True, eq=False)
class PreparedData:
    """The arrays that a search may read.

    Args:
        info: The manifest.
        train: Split of read-only memory maps.
        validation: Split of read-only memory maps.
    """

    info: PreparedInfo
    train: Split
    validation: Split


def open_prepared(directory: Path, *, verify: bool = False) -> PreparedData:
    """Opens the training and validation arrays; never the test split.

    Args:
        directory: Folder that `prepare` wrote.
        verify: Boolean, whether to read every byte and compare its SHA-256, which takes
            a moment. Sizes, shapes and dtypes are always checked. Defaults to `False`.

    Returns:
        A `PreparedData` with read-only memory maps: uint8 `(n, height, width, channels)`
        and int64 `(n,)`.

    Raises:
        DataError: When the folder or a file is missing or damaged.
    """
    info = read_manifest(directory)
    return PreparedData(
        info,
        _open_split(directory, info, "train", info.train_count, verify),
        _open_split(directory, info, "validation", info.validation_count, verify),
    )


def open_test(directory: Path) -> Split:
    """Opens the test split and verifies it; nothing else in the program reads it.

    Args:
        directory: Folder that `prepare` wrote.

    Returns:
        A `Split` of read-only memory maps.

    Raises:
        DataError: When a file is missing, damaged, or not the one that was written.
    """
    info = read_manifest(directory)
    return _open_split(directory, info, "test/test", info.test_count, verify=True)


def read_manifest(directory: Path) -> PreparedInfo:
    """Reads what a prepared folder holds, without opening an array.

    Raises:
        DataError: When the folder or its manifest is missing or damaged.
        RunDirectoryError: When anything but a file stands there.
    """
    path = directory / MANIFEST
    try:
        values: Any = json.loads(read_bytes(path, LARGEST_MANIFEST, folders=1).decode("utf-8"))
    except FileNotFoundError as error:
        raise _damaged(directory, path, "no such file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(directory, path, f"{type(error).__name__}: {error}") from error
    return PreparedInfo.from_dict(values, str(path))


def _open_split(directory: Path, info: PreparedInfo, stem: str, count: int, verify: bool) -> Split:
    images, labels = f"{stem}_images.npy", f"{stem}_labels.npy"
    return Split(
        _open_array(
            directory, info, images, (count, *info.image_shape), np.dtype(np.uint8), verify
        ),
        _open_array(directory, info, labels, (count,), np.dtype(np.int64), verify),
    )


def _open_array(
    directory: Path,
    info: PreparedInfo,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    verify: bool,
) -> AnyArray:
    path = directory / name
    try:
        with open_to_read(path, folders=1 + name.count("/")) as file:
            header = read_header(file)
            size = os.fstat(file.fileno()).st_size
            if (header.shape, header.dtype, header.fortran) != (shape, dtype, False) or (
                size != header.length + header.size
            ):
                raise ValueError(
                    f"shape={header.shape}, dtype={header.dtype}, {size} bytes, expected {shape}"
                )
            digest = _sha256_of(file) if verify else info.sha256[name]
            if digest != info.sha256[name]:
                raise ValueError(f"sha256={digest}, expected {info.sha256[name]}")
            return np.memmap(file, dtype, "r", header.length, shape)
    except FileNotFoundError as error:
        raise _damaged(directory, path, "no such file") from error
    except (OSError, ValueError, OverflowError) as error:
        raise _damaged(directory, path, str(error)) from error


def _sha256_of(file: BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(directory: Path, path: Path, received: str) -> DataError:
    return DataError(
        f"The prepared data is damaged or incomplete: {path}. Expected the file as it was "
        f"written when the search started. Received: {received}. Move the folder "
        f"{directory} to another place and start the command again: it prepares the data anew."
    )
