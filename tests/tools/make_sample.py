"""Makes `search/assets/cifar10-sample.npz` from the whole CIFAR-10.

The choice is the plainest there is: the first 200 training and the first 50 test images
of each class, in file order. The source is checked first to be the real CIFAR-10.

    python tests/tools/make_sample.py path/to/cifar10.npz search/assets/cifar10-sample.npz
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

TRAIN_PER_CLASS = 200
TEST_PER_CLASS = 50
_NAMES = "airplane automobile bird cat deer dog frog horse ship truck"
CLASS_NAMES = _NAMES.split()
REAL_SHA256 = {
    "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
}


def first_of_each_class(labels: npt.NDArray[Any], number: int) -> npt.NDArray[np.int64]:
    """Sorted indices of the first `number` images of each class."""
    firsts = [np.flatnonzero(labels == label)[:number] for label in range(len(CLASS_NAMES))]
    return np.sort(np.concatenate(firsts)).astype(np.int64)


def main() -> None:
    """Reads the two paths from the command line and writes the sample."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path, help="the whole CIFAR-10 as .npz")
    parser.add_argument("target", type=Path, help="the sample to write")
    arguments = parser.parse_args()
    with np.load(arguments.source, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    for name, expected in REAL_SHA256.items():
        received = hashlib.sha256(arrays[name].tobytes()).hexdigest()
        if received != expected:
            raise SystemExit(f"{name} is not CIFAR-10's. Received: sha256={received}")
    train = first_of_each_class(arrays["y_train"].ravel(), TRAIN_PER_CLASS)
    test = first_of_each_class(arrays["y_test"].ravel(), TEST_PER_CLASS)
    arguments.target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        arguments.target,
        x_train=arrays["x_train"][train],
        y_train=arrays["y_train"].ravel()[train].astype(np.uint8),
        x_test=arrays["x_test"][test],
        y_test=arrays["y_test"].ravel()[test].astype(np.uint8),
        class_names=np.array(CLASS_NAMES),
    )


if __name__ == "__main__":
    main()
