"""Which images go where: stratified cuts and balanced subsets of a label array.

Pure functions of (labels, size, seed). The order comes from the raw stream of a bit
generator, which NumPy promises to keep (NEP 19), and not from `Generator.permutation`,
which it may change: a split outlives the NumPy version that made it.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
import numpy.typing as npt

from search.errors import DataError

Indices = npt.NDArray[np.int64]
AnyLabels = npt.NDArray[np.integer[Any]]

# Separate streams, so that a validation cut is independent of the subset it is cut from.
_SPLIT_STREAM = 0
_SUBSET_STREAM = 1


def stratified_split(
    labels: AnyLabels, size: int | float, *, seed: int
) -> tuple[Indices, Indices]:
    """Cuts a part with the same class proportions as the whole.

    The number chosen of each class follows the largest remainder, ties to the smaller
    label; a class that would get none, or give all, is moved to one or to all but one.

    Args:
        labels: Integer array of shape `(n,)`.
        size: Integer, how many to choose, or float between 0 and 1, the fraction to
            choose (rounded to the nearest count).
        seed: Non-negative integer. The same labels, size and seed give the same cut.

    Returns:
        `(rest, chosen)`, two sorted int64 arrays of indices into `labels`. Together they
        hold every index once, and each holds every class at least once.

    Raises:
        DataError: When `size` is out of range, or too small or too large for both parts
            to hold every class, or a class has a single image.

    Example:

    >>> rest, chosen = stratified_split(np.array([0, 0, 0, 1, 1, 1]), 2, seed=0)
    >>> len(rest), len(chosen)
    (4, 2)
    """
    total = len(labels)
    wanted = _count_of(size, total)
    classes, counts = np.unique(labels, return_counts=True)
    lonely = classes[counts < 2]
    if lonely.size:
        raise DataError(
            "A split needs at least 2 images of every class, one for each part. "
            f"Received: 1 image of class {int(lonely[0])}"
            + (f" (and of {lonely.size - 1} more classes). " if lonely.size > 1 else ". ")
            + "Add images of it, or leave the class out."
        )
    if not len(classes) <= wanted <= total - len(classes):
        raise DataError(
            f"A split of {wanted} from {total} images cannot hold each of {len(classes)} "
            f"classes in both parts. Expected between {len(classes)} and "
            f"{total - len(classes)} images. Received: size={size!r}. "
            "Choose another size, or give more images."
        )
    take = _largest_remainder(counts, wanted)
    chosen = _first_of_each_class(labels, classes, take, _keys(total, seed, _SPLIT_STREAM))
    rest = np.setdiff1d(np.arange(total, dtype=np.int64), chosen, assume_unique=True)
    return rest, chosen


def balanced_subset(labels: AnyLabels, limit: int, *, seed: int) -> Indices:
    """Chooses at most `limit` images with as many of each class as the counts allow.

    Two classes differ by at most one image, unless one of them has no more to give.

    Args:
        labels: Integer array of shape `(n,)`.
        limit: Positive integer. At or above `n`, everything is chosen.
        seed: Non-negative integer. The same labels, limit and seed give the same subset.

    Returns:
        Sorted int64 array of `min(limit, n)` indices into `labels`.

    Raises:
        DataError: When `limit` is not a positive integer.

    Example:

    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> np.bincount(labels[balanced_subset(labels, 4, seed=0)]).tolist()
    [2, 2]
    """
    if not _is_integer(limit) or limit < 1:
        raise DataError(
            "The limit on the training images must be a positive whole number. "
            f"Received: limit={limit!r}. Leave it out to use every image."
        )
    wanted = min(int(limit), len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    take = np.zeros_like(counts)
    while (left := wanted - int(take.sum())) > 0:
        open_classes = np.flatnonzero(take < counts)
        share = left // len(open_classes)
        if share == 0:
            take[open_classes[:left]] += 1
        else:
            take[open_classes] = np.minimum(take[open_classes] + share, counts[open_classes])
    return _first_of_each_class(labels, classes, take, _keys(len(labels), seed, _SUBSET_STREAM))


def _count_of(size: int | float, total: int) -> int:
    """The number of images that `size`, a count or a fraction, asks for."""
    if _is_integer(size) and 0 < size < total:
        return int(size)
    if isinstance(size, float) and 0.0 < size < 1.0:
        return round(total * size)
    raise DataError(
        f"The size of a split of {total} images must be a count from 1 to {total - 1} or a "
        f"fraction between 0 and 1. Received: size={size!r}. Choose a size in that range."
    )


def _is_integer(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _keys(total: int, seed: int, stream: int) -> npt.NDArray[np.uint64]:
    """One random 64-bit key an image; the smallest keys of a class are chosen first."""
    if not _is_integer(seed) or seed < 0:
        raise DataError(
            "The seed of a split must be a whole number, zero or more. "
            f"Received: seed={seed!r}. Choose another seed."
        )
    sequence = np.random.SeedSequence(int(seed), spawn_key=(stream,))
    return np.asarray(np.random.PCG64(sequence).random_raw(total), dtype=np.uint64)


def _largest_remainder(counts: Indices, wanted: int) -> Indices:
    """Shares `wanted` over the classes in proportion; every class keeps and gives one."""
    total = int(counts.sum())
    take = counts * wanted // total
    remainder = counts * wanted % total
    order = np.argsort(-remainder, kind="stable")
    take[order[: wanted - int(take.sum())]] += 1
    for index in np.flatnonzero(take == 0):
        take[np.argmax(take)] -= 1
        take[index] += 1
    for index in np.flatnonzero(take == counts):
        take[np.argmax(counts - take)] += 1
        take[index] -= 1
    return take


def _first_of_each_class(
    labels: AnyLabels, classes: AnyLabels, take: Indices, keys: npt.NDArray[np.uint64]
) -> Indices:
    """Sorted indices of the `take[i]` images of `classes[i]` with the smallest keys."""
    chosen = []
    for label, number in zip(classes, take, strict=True):
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.argsort(keys[members], kind="stable")[:number]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)
