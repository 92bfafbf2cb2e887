"""Small data sets, written as people write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from search.data import Dataset, Split

Arrays = dict[str, Any]


def toy_arrays(per_class: int = 10, classes: int = 3, size: int = 8) -> Arrays:
    """Noise images, all different, whose first value is their label: a mix-up shows."""
    labels = np.tile(np.arange(classes, dtype=np.uint8), per_class)
    shape = (len(labels), size, size, 3)
    # The raw stream is the one that NumPy promises to keep, and a fingerprint is pinned below.
    noise = np.random.PCG64(0).random_raw(int(np.prod(shape)))
    images = (noise >> np.uint64(56)).astype(np.uint8).reshape(shape)
    images[:, 0, 0, 0] = labels
    test = labels[: 2 * classes]
    return {
        "x_train": images,
        "y_train": labels,
        "x_test": 255 - images[: len(test)],
        "y_test": test,
    }


def write_npz(path: Path, arrays: Arrays) -> str:
    np.savez(path, **arrays)
    return str(path)


def toy_dataset(source: str = "toy") -> Dataset:
    arrays = toy_arrays()
    return Dataset(
        Split(arrays["x_train"], arrays["y_train"].astype(np.int64)),
        Split(arrays["x_test"], arrays["y_test"].astype(np.int64)),
        ("a", "b", "c"),
        source,
    )


def assert_says(message: str, *parts: str) -> None:
    assert "Received: " in message
    for part in parts:
        assert part in message


def write_images(folder: Path, color: tuple[int, ...], count: int, **options: Any) -> None:
    """`count` plain images of one color (of 1 or 3 values), 6x6 unless `size` says so."""
    folder.mkdir(parents=True, exist_ok=True)
    size, suffix = options.get("size", (6, 6)), options.get("suffix", ".png")
    for index in range(count):
        mode, fill = ("L", color[0]) if len(color) == 1 else ("RGB", color)
        Image.new(mode, size, fill).save(folder / f"{index:03}{suffix}")
