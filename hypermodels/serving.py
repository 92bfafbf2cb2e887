"""The network that leaves the program: it takes images as people have them, and infers.

Trained networks take `uint8` and learn that they infer from whoever calls them. A stranger
calls a loaded model on whatever image array is at hand, and says nothing about training.
"""

from __future__ import annotations

import inspect
from typing import Any

import keras

from hypermodels.backbones.remake import made_anew
from hypermodels.backbones.weights import copy_layer


@keras.saving.register_keras_serializable(package="cbam_search")
class RawImages(keras.layers.Layer):
    """Brings images to floats on the scale 0 to 255, in whichever of two ways they come.

    Whole numbers, and anything that reaches above 1, are on that scale. A batch from 0 to 1
    with fractions is one that was divided by 255, and is multiplied by it again. An image
    with values below 0 or above 255 (standardised by its owner, say) becomes not-a-number,
    and so do its scores: no scale would be right for it.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The same, `float32`.
    """

    def call(self, images: Any) -> Any:
        ops = keras.ops
        images = ops.cast(images, "float32")
        fractions = ops.any(images != ops.floor(images))
        divided = ops.logical_and(ops.max(images) <= 1.0, fractions)
        images = ops.where(divided, ops.round(images * 255.0), images)
        known = ops.logical_and(images >= 0.0, images <= 255.0)
        usable = ops.all(known, axis=(1, 2, 3), keepdims=True)
        return ops.where(usable, images, float("nan"))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def serving_model(network: keras.Model) -> keras.Model:
    """Makes the model that is exported of a trained network.

    Args:
        network: Functional `keras.Model` from `uint8` images to class scores.

    Returns:
        A new functional model with the same weights. It takes images of any number type
        (see `RawImages`) and infers unless it is called with `training=True`, whatever
        its layers take for granted: Keras's preprocessing layers augment by themselves.
    """
    images = keras.Input(network.input.shape[1:], dtype="float32", name="image")
    raw = RawImages(name="raw_images", dtype="float32")(images)
    scores = raw

    def infer(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal scores  # the output's own call is the last, for there is but one output
        if "training" in inspect.signature(layer.call).parameters:
            kwargs["training"] = False
        scores = layer(*args, **kwargs)
        return scores

    keras.models.clone_model(
        network,
        input_tensors=keras.tree.map_structure(lambda _: raw, network.input),
        clone_function=lambda layer: made_anew(layer, name=layer.name),
        call_function=infer,
    )
    model = keras.Model(images, scores, name=network.name)
    for layer in network.layers:
        if layer.weights:
            copy_layer(layer, model.get_layer(layer.name))
    return model
