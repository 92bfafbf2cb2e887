"""The `cifar-10-batches-py` folder, read without trusting it.

The batch files are pickles, and unpickling runs whatever a pickle names. Here a pickle
may name the three NumPy globals that these files contain and nothing else, and even
those become plain records: no code but this module's runs. The arrays are then built
from the recorded bytes.

Reference: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from search.data.arrays import checked_split
from search.data.dataset import Dataset, Images, Split, checked_dataset
from search.data.origin import record_of
from search.errors import DataError

TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
META = "batches.meta"

_PIXELS = 3 * 32 * 32


def is_batches_folder(path: Path) -> bool:
    """Whether a folder looks like `cifar-10-batches-py`, be it incomplete."""
    return any((path / name).is_file() for name in (*TRAIN_BATCHES, TEST_BATCH, META))


def batches_files(path: Path) -> list[Path]:
    """The files of such a folder that are there."""
    names = (*TRAIN_BATCHES, TEST_BATCH, META)
    return [path / name for name in names if (path / name).is_file()]


def load_batches_folder(path: Path, source: str) -> Dataset:
    """Loads a `cifar-10-batches-py` folder.

    Args:
        path: Folder with `data_batch_1` .. `data_batch_5`, `test_batch`, `batches.meta`.
        source: What a person sees in messages.

    Returns:
        A `Dataset` with images of shape `(n, 32, 32, 3)`.

    Raises:
        DataError: When a file is missing, damaged, not such a batch, or a pickle that
            asks for anything but NumPy arrays.
    """
    origin = {}
    for file in batches_files(path):
        with contextlib.suppress(OSError):  # said below, where it is read
            origin[file.name] = record_of(file)
    meta = _read_pickle(path / META)
    names = _entry(meta, b"label_names", list, path / META)
    if not all(isinstance(name, bytes) for name in names):
        raise _not_a_batch(path / META, "label_names that are not all byte strings")
    batches = [_read_batch(path / name) for name in TRAIN_BATCHES]
    train = Split(
        np.concatenate([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )
    class_names = [name.decode("utf-8", "replace") for name in names]
    test = _read_batch(path / TEST_BATCH)
    return checked_dataset(train, test, class_names, source, origin=origin)


def _read_batch(path: Path) -> Split:
    record = _read_pickle(path)
    data = _entry(record, b"data", _PickledArray, path)
    labels = _entry(record, b"labels", list, path)
    if not all(type(label) is int and abs(label) < 2**31 for label in labels):
        raise _not_a_batch(path, "labels that are not all small integers")
    images = _images_of(data, path)
    return checked_split(images, np.array(labels, dtype=np.int64), ("data", "labels"), str(path))


def _images_of(data: _PickledArray, path: Path) -> Images:
    """Rows of 1024 red, 1024 green and 1024 blue bytes -> `(n, 32, 32, 3)`."""
    match data.state:
        case (_, (int(rows), int(columns)), _PickledDtype(code=b"u1"), fortran, bytes(raw)) if (
            columns == _PIXELS and len(raw) == rows * columns
        ):
            flat = np.frombuffer(raw, dtype=np.uint8)
            table = flat.reshape((rows, columns), order="F" if fortran else "C")
            planes = table.reshape(rows, 3, 32, 32)
            return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    raise _not_a_batch(path, "data that is no (n, 3072) array of uint8")


class _PickledArray:
    """Stands where a pickle asks for a NumPy array; keeps its state as plain values."""

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _PickledDtype:
    """Stands where a pickle asks for a NumPy dtype; keeps its type code."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code = code.encode("ascii", "replace") if isinstance(code, str) else code

    def __setstate__(self, _: object) -> None:
        """The byte order; one-byte pixels have none."""


class _RefusedError(Exception):
    """A pickle that names a global which no batch file needs."""


class _BatchUnpickler(pickle.Unpickler):
    """Admits what the batch files contain, as records, and refuses every other global."""

    _ADMITTED = {
        ("numpy.core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy._core.multiarray", "_reconstruct"): _PickledArray,
        ("numpy", "ndarray"): _PickledArray,
        ("numpy", "dtype"): _PickledDtype,
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        admitted = self._ADMITTED.get((module_name, global_name))
        if admitted is None:
            raise _RefusedError(f"{module_name}.{global_name}")
        return admitted


def _read_pickle(path: Path) -> object:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). Expected the files {META}, "
            f"{TRAIN_BATCHES[0]} to {TRAIN_BATCHES[-1]} and {TEST_BATCH} in the folder. "
            f"Received: {path.parent}. Unpack the CIFAR-10 archive for Python again."
        ) from error
    try:
        return _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        raise DataError(
            f"{path} was refused: it is a pickle that asks for code that no CIFAR-10 batch "
            f"needs. Expected NumPy arrays, lists and bytes only. Received: {error}. "
            "Nothing of it was run. Do not use this file; get CIFAR-10 from its own site."
        ) from error
    except Exception as error:  # the pickle module documents that any exception may come
        raise _not_a_batch(path, f"{len(content)} bytes that are no whole pickle") from error


def _entry(record: object, key: bytes, kind: type[Any], path: Path) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get(key), kind):
        raise _not_a_batch(path, f"no usable entry {key.decode()!r}")
    return record[key]


def _not_a_batch(path: Path, received: str) -> DataError:
    return DataError(
        f"{path} is damaged or no CIFAR-10 file. Expected a file of the folder "
        f"cifar-10-batches-py. Received: {received}. "
        "Unpack the CIFAR-10 archive for Python again."
    )
