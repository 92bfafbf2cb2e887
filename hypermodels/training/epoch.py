"""Training steps. Their metrics cover the whole epoch and are fetched once, at its end."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class EpochSteps:
    """The training steps of one epoch.

    Keras's `train_on_batch` resets the metrics with every batch, so its last return value
    covers the last batch only. It also fetches them every time, and each fetch waits until
    the GPU has finished all its work. `fit` does neither, but waits on tf.data.

    Args:
        model: A compiled `keras.Model`.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._kept: list[dict[str, Any]] = []

    def step(self, images: np.ndarray, labels: np.ndarray) -> None:
        """Trains on a batch. All batches of an epoch have one size.

        Args:
            images: `uint8` array `(batch, height, width, channels)`.
            labels: `float32` array `(batch, classes)`, one-hot.
        """
        if not self._kept or keras.config.backend() == "jax":
            self._kept.append(self._model.train_on_batch(images, labels, return_dict=True))
        else:  # its metrics go on where the first step, which reset them, left them
            self._kept = [self._model.train_function([(images, labels, None)])]

    def metrics(self) -> dict[str, float]:
        """The means over all images of the steps so far, each as measured in its step."""
        if not self._kept:
            return {}
        return {
            name: float(np.mean([float(each[name]) for each in self._kept]))
            for name in self._kept[0]
        }
