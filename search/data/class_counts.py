"""How many images each class has in each split, and what that makes of a constant answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from search.data.dataset import Labels
from search.text import printable

ClassCounts = Mapping[str, tuple[int, ...]]
"""Images of each class, in the order of the labels, by split: train, validation, test."""

UNEVEN = 2
"""How many times the smallest class the largest may have before it is worth a sentence."""


def counts_of(labels: Labels, classes: int) -> tuple[int, ...]:
    """Images of each class."""
    return tuple(np.bincount(labels, minlength=classes).tolist())


def constant_answer(counts: Sequence[int]) -> tuple[int, float]:
    """The class that is right most often when it is always answered, and how often it is.

    Args:
        counts: Images of each class.

    Returns:
        `(label, accuracy)`; the smaller label of two that are as good.
    """
    label = int(np.argmax(counts))
    return label, counts[label] / sum(counts)


def imbalance_notice(counts: ClassCounts, class_names: Sequence[str]) -> str | None:
    """A sentence on classes of very different size; `None` where they are not."""
    totals = [sum(each) for each in zip(*counts.values(), strict=True)]
    largest, smallest = int(np.argmax(totals)), int(np.argmin(totals))
    if totals[largest] <= UNEVEN * totals[smallest]:
        return None
    label, accuracy = constant_answer(counts["validation"])

    def each_split(index: int) -> str:
        train, validation, test = (f"{split[index]:,}" for split in counts.values())
        return f"{train} training, {validation} validation and {test} test images"

    return (
        f"The classes differ in size: the largest, {printable(class_names[largest])}, has "
        f"{each_split(largest)}, the smallest, {printable(class_names[smallest])}, "
        f"{each_split(smallest)}; answering {printable(class_names[label])} to every validation "
        f"image has an accuracy of {accuracy:.4g}."
    )
