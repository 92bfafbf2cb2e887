"""The `ImageSpec` of a search, from its data, prepared or not."""

from __future__ import annotations

from hypermodels.image import ImageSpec
from search.data import Dataset, PreparedInfo

_CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100, "cifar10-sample": 10}
"""Data sets whose images are known without looking."""


def image_of_name(name: str) -> ImageSpec | None:
    """The `ImageSpec` of a data set whose name alone determines it."""
    classes = _CIFAR_CLASSES.get(name)
    return ImageSpec((32, 32, 3), classes) if classes else None


def image_of(dataset: Dataset) -> ImageSpec:
    """The `ImageSpec` of a data set, without the statistics of its pixels."""
    height, width, channels = dataset.train.images.shape[1:]
    return ImageSpec((height, width, channels), len(dataset.class_names))


def image_spec(info: PreparedInfo) -> ImageSpec:
    """The `ImageSpec` of prepared data."""
    return ImageSpec(info.image_shape, len(info.class_names), info.mean, info.std)
