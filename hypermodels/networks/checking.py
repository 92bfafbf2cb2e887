"""Tries a person's own network to decide whether it can be searched.

What a function builds is known only once it is built and called. What would be trained
without an error and be wrong, or could not be repeated, is refused here; what is unusual
and may be meant is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hypermodels.backbones.foreign.user_model import frozen_layers, own_model
from hypermodels.errors import BackboneError, some_of
from hypermodels.graph.graft import canonical_names, copy_weights
from hypermodels.image import NORMALIZE, ImageSpec
from hypermodels.knobs import Value
from hypermodels.networks.network import backbone_model
from hypermodels.seeds import GLOBAL_GENERATOR, drawn_from, restart_global_generator

SUM_TOLERANCE = 1e-3
"""How far an image's class scores may be from a sum of 1."""

_IMAGES = 5
_PREPROCESSING = (
    keras.layers.Rescaling,
    keras.layers.Normalization,
    keras.layers.Lambda,
)
_STATEFUL_DRAWS = {
    "Multinomial",
    "ParameterizedTruncatedNormal",
    "RandomGamma",
    "RandomPoissonV2",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "TruncatedNormal",
}
"""TensorFlow's operations that draw from a state which nobody can save."""

_PYTHON_CALLS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}
"""TensorFlow's operations that call Python, which no SavedModel carries."""


def check_own_network(settings: Mapping[str, Value], image: ImageSpec) -> tuple[str, ...]:
    """Builds a person's network and tries it on a few images.

    Args:
        settings: The resolved section `backbone` of family `model`.
        image: The `ImageSpec`.

    Returns:
        What a person should know, a sentence each.

    Raises:
        BackboneError: If the network cannot be built, made anew with the same scores, or
            called twice with the same scores; if its scores are no probabilities; if it
            draws random numbers that a resumed training could not draw again; or if it
            calls Python from TensorFlow.
    """
    reference = str(settings["model"])
    with drawn_from(0, "check"):
        network = backbone_model(settings, image)
        given = own_model(settings, network.get_layer(NORMALIZE).output, image.classes)
    images = _some_images(image)
    _check_scores(network, images, reference)
    copy_weights(given, network)
    _check_same(given, network, images, reference)
    _check_operations(network, images, reference)
    return (*_frozen(given, settings), *_normalized_twice(given, settings))


def check_probabilities(scores: np.ndarray, whose: str) -> None:
    """Refuses outputs that are not probabilities.

    Args:
        scores: Array `(images, classes)`.
        whose: What gave them, for the message.

    Raises:
        BackboneError: If a score is negative or no number, or those of an image do not
            sum to 1.
    """
    sums = scores.sum(axis=1)
    if not np.isfinite(scores).all():
        raise BackboneError(f"{whose} must give class scores. Received: scores that are no number")
    if scores.min() < 0 or np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise BackboneError(
            f"{whose} must give class scores: none negative, those of an image summing to 1. "
            f"Received: scores from {scores.min():.3g} to {scores.max():.3g}, with sums from "
            f"{sums.min():.3g} to {sums.max():.3g}. End it in a softmax"
        )


def _some_images(image: ImageSpec) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (_IMAGES, *image.shape), dtype=np.uint8)


def _scores(model: keras.Model, images: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(model(images, training=False)), "float32")


def _check_scores(network: keras.Model, images: np.ndarray, reference: str) -> None:
    first, second = _scores(network, images), _scores(network, images)
    check_probabilities(first, f"backbone.model: {reference}")
    if not np.array_equal(first, second):
        raise BackboneError(
            f"backbone.model: {reference} gives other scores for the same images when it is "
            f"called again (by up to {np.abs(first - second).max():.2g}), though it is not "
            "training. Let its layers draw random numbers only where `training` is true"
        )
    alone = _scores(network, images[:1])
    if not np.abs(alone - first[:1]).max() <= 1e-3:
        raise BackboneError(
            f"backbone.model: {reference} gives an image other scores alone than beside others "
            f"(by up to {np.abs(alone - first[:1]).max():.2g}). Let no layer mix the images of a "
            "batch when it is not training"
        )


def _check_same(
    given: keras.Model, network: keras.Model, images: np.ndarray, reference: str
) -> None:
    """What the person gave and what was made of it must be one network."""
    prepared = keras.Model(network.input, network.get_layer(NORMALIZE).output)
    theirs = _scores(given, prepared(images, training=False))
    ours = _scores(network, images)
    narrow = any(
        getattr(layer, "compute_dtype", "float32") in ("float16", "bfloat16")
        for layer in given._flatten_layers()
    )
    difference = float(np.abs(theirs - ours).max())
    if not np.isfinite(theirs).all():
        raise BackboneError(
            f"backbone.model: {reference} comes with weights that give scores which are no number"
        )
    if not difference <= (0.1 if narrow else 1e-3):
        odd = sorted(
            layer.name
            for layer in given._flatten_layers(include_self=False)
            if not type(layer).__module__.startswith("keras.")
        )
        suspects = f" Look at {some_of(odd, 5)}." if odd else ""
        raise BackboneError(
            f"backbone.model: {reference} gives other scores when it is put together anew from "
            f"its layers with the same weights (by up to {difference:.2g}). Either some layer's "
            "get_config() does not return all that its __init__ takes, or it holds layers or "
            f"numbers where Keras does not find them.{suspects}"
        )


def _check_operations(network: keras.Model, images: np.ndarray, reference: str) -> None:
    if keras.config.backend() != "tensorflow":
        return
    import tensorflow as tf

    restart_global_generator(0)  # under its name, for layers that draw without one of their own

    step = tf.function(lambda x: network(x, training=True), autograph=False)
    traced = step.get_concrete_function(tf.TensorSpec((None, *images.shape[1:]), tf.uint8))
    known = {id(variable.value) for variable in network.variables}
    unknown = [each for each in traced.graph.variables if id(each) not in known]
    unknown = [each for each in unknown if GLOBAL_GENERATOR not in each.name]
    if unknown:
        raise BackboneError(
            f"backbone.model: {reference} computes with the variable {unknown[0].name!r} of shape "
            f"{tuple(unknown[0].shape)}, which Keras does not know: it would not be trained, "
            "saved or resumed. Make it with the layer's add_weight(), or as a keras.Variable or "
            "keras.random.SeedGenerator that is an attribute of the layer"
        )
    names = [layer.name for layer in network.layers]
    for kind, path in _operations(traced.graph.as_graph_def()):
        where = next((name for name in names if _passes(path, name)), path)
        if kind in _PYTHON_CALLS:
            raise BackboneError(
                f"backbone.model: {reference} calls a Python function in {where} "
                "(tf.py_function or tf.numpy_function), which no SavedModel carries. Write it "
                "with keras.ops or TensorFlow's operations"
            )
        if kind in _STATEFUL_DRAWS:
            raise BackboneError(
                f"backbone.model: {reference} draws random numbers in {where} with TensorFlow's "
                f"{kind}, whose state nobody can save: a training that is resumed would go "
                "on with others. Draw with keras.random and a keras.random.SeedGenerator"
            )


def _passes(path: str, name: str) -> bool:
    """Whether the path of an operation leads through a layer; TensorFlow numbers repetitions."""
    return any(re.fullmatch(rf"{re.escape(name)}(_\d+)?", part) for part in path.split("/"))


def _operations(graph: Any) -> Iterator[tuple[str, str]]:
    for node in graph.node:
        yield node.op, node.name
    for function in graph.library.function:
        for node in function.node_def:
            yield node.op, f"{function.signature.name}/{node.name}"


def _frozen(given: keras.Model, settings: Mapping[str, Value]) -> Iterator[str]:
    frozen = frozen_layers(given)
    if frozen:
        yield (
            f"{settings['model']} has frozen layers, which keep the weights they come with and "
            f"do not train: {some_of(frozen, 3)}."
        )


def _normalized_twice(given: keras.Model, settings: Mapping[str, Value]) -> Iterator[str]:
    """Scaling of its own behind images that are standardized already."""
    if settings["normalization"] != "data":
        return
    names = canonical_names(given)
    for layer in _in_order(given):
        if layer.weights and not isinstance(layer, _PREPROCESSING):
            return  # from here on it learns
        if isinstance(layer, _PREPROCESSING):
            name = names.get(layer.name, layer.name)
            yield (
                f"{settings['model']} scales its images itself (layer {name}, a "
                f"{type(layer).__name__}) and receives them standardized already, to mean 0 and "
                "deviation 1. Set backbone.normalization: none if it expects 0 to 255."
            )
            return


def _in_order(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """The layers of a model as images pass them, those within models in their place."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _in_order(layer)
        else:
            yield layer
