"""A data set by name or by path: which reader it needs, and the plain `.npz` reader."""

from __future__ import annotations

import contextlib
import importlib
import os
import socket
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from search.data.cifar import is_batches_folder, load_batches_folder
from search.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES
from search.data.dataset import AnyArray, Dataset, checked_dataset, checked_split, cut_test
from search.data.folder import load_image_folder
from search.errors import DataError, did_you_mean

NAMED = ("cifar10", "cifar100", "cifar10-sample")

_SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "cifar10-sample.npz"
_KINDS = (
    "a .npz file with x_train and y_train, a cifar-10-batches-py folder, or a folder with one "
    "sub-folder of images a class"
)
_DOWNLOAD_TIMEOUT_SECONDS = 60.0


def load_dataset(
    name: str, *, test_fraction: float = 0.1, image_size: int | None = None
) -> Dataset:
    """Loads a data set into memory.

    Args:
        name: One of `NAMED`, or a path to an `.npz` file with `x_train`, `y_train`,
            `x_test`, `y_test` and perhaps `class_names`, to a `cifar-10-batches-py`
            folder, or to a folder with one sub-folder of images a class. A name wins
            over a path: write `./cifar10` for a folder called so.
        test_fraction: Float between 0 and 1. Share cut off as test split, the same on
            every call, where the source has none. Defaults to `0.1`.
        image_size: Positive integer, height and width to which the images of a folder
            are brought, or `None`: they have one size. Defaults to `None`.

    Returns:
        A `Dataset`: uint8 images `(n, height, width, channels)`, int64 labels `(n,)`.

    Raises:
        DataError: When the data set is unknown, unreadable, or of the wrong shape, type
            or size, or when a download fails.

    Example:

    >>> load_dataset("cifar10-sample").train.images.shape
    (2000, 32, 32, 3)
    """
    if not 0.0 < test_fraction < 1.0:
        raise DataError(
            "The test fraction must lie between 0 and 1. "
            f"Received: test_fraction={test_fraction!r}. Choose 0.1, say."
        )
    if image_size is not None and image_size < 1:
        raise DataError(
            "The image size must be a positive whole number of pixels. "
            f"Received: image_size={image_size!r}. Choose 32, say, or leave it out."
        )
    path = Path(os.path.expanduser(name))
    # os.path answers False for a path that cannot be one; Path raises. "" is no folder.
    is_file, is_folder = os.path.isfile(path), bool(name) and os.path.isdir(path)
    if name in NAMED:
        dataset = _load_named(name)
    elif is_file:
        dataset = load_npz(path, name, test_fraction=test_fraction)
    elif is_folder and is_batches_folder(path):
        dataset = load_batches_folder(path, name)
    elif is_folder:
        return _load_folder(path, name, test_fraction, image_size)
    else:
        raise DataError(
            f"There is no data set {name!r}, neither by name nor as a file or folder. Expected "
            f"{', '.join(NAMED)}, or the path of {_KINDS}. "
            f"Received: data={name!r}.{did_you_mean(name, NAMED)}"
        )
    height, width = dataset.train.images.shape[1:3]
    if image_size is not None and (height, width) != (image_size, image_size):
        raise DataError(
            f"{name} cannot be resized: only a folder of images can. Expected its own size, "
            f"{width}x{height}. Received: image_size={image_size}. Leave image_size out."
        )
    return dataset


def load_npz(path: Path, source: str, *, test_fraction: float) -> Dataset:
    """Loads an `.npz` file; see `load_dataset` for its arrays. Pickles are refused.

    Raises:
        DataError: When the file is empty, no `.npz`, damaged, or lacks an array.
    """
    arrays = _read_npz(path, source)
    has_test = "x_test" in arrays or "y_test" in arrays
    required = ["x_train", "y_train", *(["x_test", "y_test"] if has_test else [])]
    missing = [key for key in required if key not in arrays]
    if missing:
        raise DataError(
            f"{source} lacks {' and '.join(missing)}. Expected the arrays x_train, y_train and, "
            "if there is a test split, x_test and y_test. "
            f"Received: {', '.join(sorted(arrays)) or 'none of them'}. Save the file again."
        )
    names = arrays.get("class_names")
    if names is not None and (names.ndim != 1 or names.dtype.kind not in "US"):
        raise DataError(
            f"class_names in {source} is no list of names. Expected a 1-D array of strings. "
            f"Received: shape={names.shape}, dtype={names.dtype}. Mend it, or leave it out."
        )
    train = checked_split(arrays["x_train"], arrays["y_train"], ("x_train", "y_train"), source)
    if has_test:
        test = checked_split(arrays["x_test"], arrays["y_test"], ("x_test", "y_test"), source)
    else:
        train, test = cut_test(train, test_fraction, source)
    class_names = None if names is None else [_text(value) for value in names.tolist()]
    return checked_dataset(train, test, class_names, source)


def _read_npz(path: Path, source: str) -> dict[str, AnyArray]:
    """The arrays of the file that have a meaning here; others are not even read."""
    known = ("x_train", "y_train", "x_test", "y_test", "class_names")
    reading = ""
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if start != b"PK":
            raise ValueError("a file of another kind" if start else "an empty file")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {}
            for reading in (key for key in known if key in archive.files):
                arrays[reading] = np.asarray(archive[reading])
            return arrays
    except (
        OSError,
        ValueError,
        EOFError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        where = f"{reading} in {source}" if reading else source
        raise DataError(
            f"{where} cannot be read. Expected a .npz file as numpy.savez writes it, with plain "
            f"arrays and no pickled objects. Received: {_short(error)}. Save the file again with "
            "numpy.savez, or unpack it if it is an archive and give the folder."
        ) from error


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _load_folder(path: Path, name: str, test_fraction: float, image_size: int | None) -> Dataset:
    try:
        return load_image_folder(path, name, test_fraction=test_fraction, image_size=image_size)
    except OSError as error:
        raise DataError(
            f"{name} cannot be listed. Expected a readable folder. Received: {_short(error)}. "
            "Check its permissions."
        ) from error
    except MemoryError as error:
        raise DataError(
            f"The images of {name} do not fit into memory. Expected them to fit at once, "
            f"decoded. Received: image_size={image_size}. Set a (smaller) data.image_size."
        ) from error


def _load_named(name: str) -> Dataset:
    if name == "cifar10-sample":
        return load_npz(_SAMPLE, name, test_fraction=0.1)
    keras = importlib.import_module("keras")
    try:
        with _download_manners():
            train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # urllib, tarfile, pickle and Keras each have their own
        raise DataError(
            f"The download of {name} failed. Expected Keras to fetch it, or to have it from an "
            f"earlier time. Received: {_short(error)}. Three ways on without a download: "
            "--data cifar10-sample (2,500 images that come with the package), "
            "--data path/to/cifar10.npz, or --data path/to/cifar-10-batches-py"
        ) from error
    (x_train, y_train), (x_test, y_test) = train, test
    return checked_dataset(
        checked_split(np.asarray(x_train), np.asarray(y_train), ("x_train", "y_train"), name),
        checked_split(np.asarray(x_test), np.asarray(y_test), ("x_test", "y_test"), name),
        CIFAR10_CLASSES if name == "cifar10" else CIFAR100_CLASSES,
        name,
    )


@contextlib.contextmanager
def _download_manners() -> Iterator[None]:
    """Keras reports a download on stdout and waits for ever: stderr, and a time limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        socket.setdefaulttimeout(before)


def _short(error: BaseException) -> str:
    """The first line of an error, cut to a readable length."""
    line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {line[:200]}"
