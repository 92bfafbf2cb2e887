"""Training steps, whose metrics are of the whole epoch and fetched when it is over."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class EpochSteps:
    """The training steps of one epoch.

    Keras's `train_on_batch` resets the metrics with every batch, so what it returns last is
    said of the last batch alone; and it fetches them every time, for which a GPU has to
    finish all that it was given. `fit` does neither, but waits on tf.data.

    Args:
        model: A compiled `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._kept: list[dict[str, Any]] = []

    def step(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Trains on a batch; all of an epoch are of one size.

        Args:
            images: `uint8` array `(batch, height, width, channels)`.
            labels: `float32` array `(batch, classes)`, one-hot.
        """
        if not self._kept or keras.config.backend() == "jax":
            self._kept.append(self._model.train_on_batch(images, labels, return_dict=True))
        else:  # its metrics go on where the first step, which reset them, left them
            self._kept = [self._model.train_function([(images, labels, None)])]

    def metrics(self) -> dict[str, float]:
        """The means over all images of the steps so far, as they were when they were seen."""
        if not self._kept:
            return {}
        return {
            name: float(np.mean([float(each[name]) for each in self._kept]))
            for name in self._kept[0]
        }
