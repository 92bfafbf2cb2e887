"""The SavedModel of an export: raw images in, class scores out, for TensorFlow alone.

TensorFlow takes `[` in a path for a pattern, so all is done from within the folder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from search.worker.train import EVALUATION_BATCH

Serve = Callable[[np.ndarray], np.ndarray]
"""From raw images to class scores."""

_ON_THE_SCALE = "Expected raw images, 0 to 255, or images divided by 255, 0 to 1."


def save_for_tensorflow(served: keras.Model, folder: Path) -> None:
    """Writes a SavedModel whose `serve` takes raw images as `uint8`, or as floats.

    Other whole numbers are on the scale 0 to 255, floats on that or, divided by 255, from 0
    to 1; see `RawImages`. Values on no such scale are an error, as another shape is.
    """
    import tensorflow as tf
    from keras.export import ExportArchive

    shape = (None, *served.input.shape[1:])

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    def network(images: Any) -> Any:
        return served(images, training=False)

    @tf.function(autograph=False)
    def serve(images: Any) -> Any:
        if images.dtype == tf.uint8:
            return network(tf.cast(images, tf.float32))
        checks = [
            tf.debugging.assert_greater_equal(images, tf.zeros((), images.dtype), _ON_THE_SCALE),
            tf.debugging.assert_less_equal(images, tf.constant(255, images.dtype), _ON_THE_SCALE),
        ]
        with tf.control_dependencies(checks):
            scores = network(tf.cast(images, tf.float32))
        return tf.debugging.assert_all_finite(scores, _ON_THE_SCALE)

    integers, floats = (tf.int32, tf.int64), (tf.float32, tf.float64, tf.float16)
    for dtype in (tf.uint8, *integers, *floats):  # the first is the default signature
        serve.get_concrete_function(tf.TensorSpec(shape, dtype, name="image"))
    archive = ExportArchive()
    archive.track(served)
    archive.add_endpoint("serve", serve)
    with contextlib.chdir(folder.parent):
        archive.write_out(folder.name, verbose=False)


def load_served(folder: Path) -> Serve:
    """Loads a SavedModel; returns its `serve`, for arrays."""
    import tensorflow as tf

    with contextlib.chdir(folder.parent):
        served = tf.saved_model.load(folder.name)
    return lambda images: np.asarray(served.serve(tf.constant(images)))


def scores_of(serve: Serve, images: np.ndarray) -> np.ndarray:
    """The class scores of images, batch by batch."""
    size = EVALUATION_BATCH
    return np.concatenate([serve(images[at : at + size]) for at in range(0, len(images), size)])
