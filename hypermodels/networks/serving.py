"""The exported network: it takes images of either scale and always infers.

Trained networks take `uint8` and learn that they infer from whoever calls them. A stranger
calls a loaded model on whatever image array is at hand, and says nothing about training.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

from hypermodels.graph.passing import passed_through
from hypermodels.graph.remake import made_anew
from hypermodels.graph.weights import copy_layer


@keras.saving.register_keras_serializable(package="cbam_search")
class RawImages(keras.layers.Layer):
    """Brings images of the scale 0 to 255 or 0 to 1 to floats from 0 to 255.

    An image of whole numbers, or one that reaches above 2, is on that scale. An image with
    fractions that reaches 1 at most was divided by 255, and is multiplied by it again. One
    with values below 0 or above 255 (standardized by its owner, say), or with fractions and
    a largest value between 1 and 2, becomes not-a-number, and so do its scores: no scale
    would surely be right for it.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The same, `float32`.
    """

    def call(self, images: Any) -> Any:
        ops = keras.ops
        images = ops.cast(images, "float32")
        each: dict[str, Any] = {"axis": (1, 2, 3), "keepdims": True}
        fractions = ops.any(images != ops.floor(images), **each)
        lowest, highest = ops.min(images, **each), ops.max(images, **each)
        divided = ops.logical_and(fractions, highest <= 1.0)
        unclear = ops.logical_and(fractions, ops.logical_and(highest > 1.0, highest <= 2.0))
        within = ops.logical_and(lowest >= 0.0, highest <= 255.0)
        usable = ops.logical_and(within, ops.logical_not(unclear))
        images = ops.where(divided, ops.round(images * 255.0), images)
        return ops.where(usable, images, float("nan"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _may_train(layer: keras.layers.Layer) -> bool:
    """Whether a layer, or one within it, can do something else while it trains."""
    asks = "training" in inspect.signature(layer.call).parameters
    return asks or len(layer._flatten_layers(include_self=False)) > 0


def serving_model(network: keras.Model) -> keras.Model:
    """Makes the exported model of a trained network.

    Args:
        network: Functional `keras.Model` from `uint8` images to class scores.

    Returns:
        A new functional model with the same weights. It takes images of any number type
        (see `RawImages`) and infers unless it is called with `training=True`, whatever
        its layers take for granted: Keras's preprocessing layers augment by themselves.
    """
    images = keras.Input(network.input.shape[1:], dtype="float32", name="image")
    raw = RawImages(name="raw_images", dtype="float32")(images)

    def infer(layer: Any, *args: Any, **kwargs: Any) -> Any:
        # Keras passes it on to the layers within, also where a layer does not ask for it.
        if isinstance(layer, keras.layers.Layer) and _may_train(layer):
            kwargs["training"] = False
        return layer(*args, **kwargs)

    scores = passed_through(network, raw, lambda layer: made_anew(layer, name=layer.name), infer)
    model = keras.Model(images, scores, name=network.name)
    for layer in network.layers:
        if layer.weights:
            copy_layer(layer, model.get_layer(layer.name))
    return model
