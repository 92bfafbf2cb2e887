"""Training batches: order and augmentation as a pure function of (seed, epoch).

All trials of a search see the same images in the same order with the same flips and
crops, and an epoch that is run again after a crash sees them once more: there is no
generator state to save. Augmentation works on whole batches of uint8 images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from hypermodels.knobs import Value
from hypermodels.training.augmentation import cropped, flipped


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Training steps of one pass over some images; see `BatchSource` for the last batch."""
    return images // min(batch_size, images)


@dataclass(frozen=True)
class BatchSource:
    """Makes the training batches of any epoch.

    Args:
        images: `uint8` array `(n, height, width, channels)`; may be memory-mapped.
        labels: Integer array `(n,)`; or soft labels, `float32` `(n, classes)`, which stay so.
        classes: Integer, number of classes.
        batch_size: Integer; an epoch's last, smaller batch is left out, so that every
            step has one shape. Where `n` is smaller, the batch is `n`.
        seed: Integer, the search seed.
        recipe: Mapping with `augmentation` and `crop_padding`.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int
    batch_size: int
    seed: int
    recipe: Mapping[str, Value]

    @property
    def step_size(self) -> int:
        return min(self.batch_size, len(self.images))

    @property
    def steps_per_epoch(self) -> int:
        return steps_per_epoch(len(self.images), self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields the batches of one epoch.

        Args:
            epoch: Integer from 0.

        Yields:
            Tuples of images `(batch, height, width, channels)` `uint8` and one-hot or soft
            labels `(batch, classes)` `float32`.
        """
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([self.seed, epoch])))
        count = len(self.images)
        order = random.permutation(count)
        padding = int(self.recipe["crop_padding"])
        # The flips first: how many numbers the offsets use up depends on the padding.
        flips = random.random(count) < 0.5
        offsets = random.integers(0, 2 * padding + 1, size=(count, 2))
        one_hot = np.eye(self.classes, dtype="float32")
        for start in range(0, self.steps_per_epoch * self.step_size, self.step_size):
            # Sorted reads are kinder to a memory-mapped file; the order within a batch
            # does not matter to its gradient's value but does to its last bits, so it is
            # part of the definition.
            chosen = np.sort(order[start : start + self.step_size])
            images = np.asarray(self.images[chosen])
            if self.recipe["augmentation"] == "flip+crop":
                images = cropped(images, offsets[chosen], padding)
            if self.recipe["augmentation"] != "none":
                images = flipped(images, flips[chosen])
            labels = self.labels[chosen]
            yield images, one_hot[labels] if labels.ndim == 1 else labels
