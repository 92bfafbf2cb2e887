"""A data set by name or by path: which reader it needs, and which files that one reads."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from search.data.arrays import checked_split
from search.data.cifar import batches_files, is_batches_folder, load_batches_folder
from search.data.class_names import CIFAR10_CLASSES, CIFAR100_CLASSES
from search.data.dataset import Dataset, checked_dataset
from search.data.decoding import Progress, no_progress
from search.data.folder import load_image_folder
from search.data.folder_layout import list_splits, unwrapped
from search.data.listing import Findings
from search.data.npz import load_npz
from search.errors import DataError, did_you_mean
from search.text import printable

NAMED = ("cifar10", "cifar100", "cifar10-sample")

_SAMPLE = Path(__file__).resolve().parent.parent / "assets" / "cifar10-sample.npz"
_KINDS = (
    "a .npz file with x_train and y_train, a cifar-10-batches-py folder, or a folder with one "
    "sub-folder of images a class"
)
_DOWNLOAD_TIMEOUT_SECONDS = 60.0


def load_dataset(
    name: str,
    *,
    test_fraction: float = 0.1,
    image_size: int | None = None,
    progress: Progress = no_progress,
) -> Dataset:
    """Loads a data set into memory.

    Args:
        name: One of `NAMED`, or a path to an `.npz` file with `x_train`, `y_train`, and
            perhaps `x_val`, `y_val`, `x_test`, `y_test` and `class_names` (or
            `train_images`, `train_labels` and so on), to a `cifar-10-batches-py` folder,
            or to a folder with one sub-folder of images a class, or with such folders in
            `train`, `val` and `test`. A name wins over a path: write `./cifar10` for a
            folder called so.
        test_fraction: Float between 0 and 1. Share cut off as test split, the same on
            every call, where the source has none. Defaults to `0.1`.
        image_size: Positive integer, height and width to which the images of a folder
            are brought, or `None`: they have one size. Defaults to `None`.
        progress: Called with what is being done, how much is done and how much there is.
            Defaults to nothing.

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
    path = path_of(name)
    # os.path answers False for a path that cannot be one; Path raises. "" is no folder.
    is_file, is_folder = os.path.isfile(path), bool(name) and os.path.isdir(path)
    if name in NAMED:
        dataset = _load_named(name)
    elif is_file:
        dataset = load_npz(path, name, test_fraction=test_fraction, progress=progress)
    elif is_folder and is_batches_folder(root := _root_of(path, name)):
        dataset = _said_where(load_batches_folder(root, name), path, root)
    elif is_folder:
        dataset = _load_folder(root, name, test_fraction, image_size, progress)
        return _said_where(dataset, path, root)
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


def path_of(name: str) -> Path:
    """The path that a name stands for, if it is one."""
    return Path(os.path.expanduser(name))


def source_files(name: str) -> dict[str, Path]:
    """The files that `load_dataset` would read, by the names that `Dataset.origin` has.

    Raises:
        DataError: When the source has no layout that can be read.
    """
    path = path_of(name)
    if os.path.isfile(path):
        return {path.name: path}
    root = _root_of(path, name)
    if is_batches_folder(root):
        return {file.name: file for file in batches_files(root)}
    findings = Findings(root)
    with _listing_errors(name):
        splits = list_splits(root, findings)
    files = [file for listing in splits.values() for each in listing.values() for file in each]
    files += [file for file, _ in findings.broken]
    return {str(file.relative_to(root)): file for file in files}


def _root_of(path: Path, name: str) -> Path:
    """The folder with the data in it, which archives wrap in another."""
    if is_batches_folder(path):
        return path
    with _listing_errors(name):
        return unwrapped(path)


def _said_where(dataset: Dataset, path: Path, root: Path) -> Dataset:
    if root == path:
        return dataset
    said = f"The data is read from {printable(root)}, the one folder in {printable(path)}."
    return dataclasses.replace(dataset, notices=(said, *dataset.notices))


@contextlib.contextmanager
def _listing_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{name} cannot be listed. Expected a readable folder. Received: {_short(error)}. "
            "Check its permissions."
        ) from error


def _load_folder(
    root: Path, name: str, test_fraction: float, image_size: int | None, progress: Progress
) -> Dataset:
    try:
        with _listing_errors(name):
            return load_image_folder(
                root,
                name,
                test_fraction=test_fraction,
                image_size=image_size,
                progress=progress,
            )
    except MemoryError as error:
        raise DataError(
            f"The images of {name} do not fit into memory. Expected them to fit at once, "
            f"decoded. Received: image_size={image_size}. Set a (smaller) data.image_size."
        ) from error


def _load_named(name: str) -> Dataset:
    if name == "cifar10-sample":
        return dataclasses.replace(load_npz(_SAMPLE, name, test_fraction=0.1), origin=None)
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
    return printable(f"{type(error).__name__}: {line[:200]}")
