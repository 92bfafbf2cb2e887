"""The model that a person's function or file gives, loaded and checked."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from hypermodels.backbones.foreign.sources import imported
from hypermodels.errors import BackboneError, reason_of
from hypermodels.graph.walk import Call, upstream
from hypermodels.image import NORMALIZE

SCORES = "float32_scores"
RESERVED = ("image", "resize", NORMALIZE, SCORES)
"""Names of the layers that are put around a person's network."""


def given_model(reference: str, shape: tuple[int, int, int], classes: int) -> keras.Model:
    """The person's model, checked, as a plain functional one.

    Raises:
        BackboneError: If it cannot be had, or is no functional model of such images.
    """
    if not reference:
        raise BackboneError(
            "backbone.model is missing: give package.module:function, or the path of a .keras file"
        )
    made = (
        _loaded(reference) if reference.endswith(".keras") else _called(reference, shape, classes)
    )
    model = _functional(made, reference, shape)
    expected = f"one input (None, {', '.join(map(str, shape))}) and one output (None, {classes})"
    received = (
        f"{', '.join(str(tuple(tensor.shape)) for tensor in model.inputs)} and "
        f"{', '.join(str(tuple(tensor.shape)) for tensor in model.outputs)}"
    )
    fits = (
        len(model.inputs) == len(model.outputs) == 1
        and len(model.inputs[0].shape) == 4
        and all(
            have in (None, want)
            for have, want in zip(model.inputs[0].shape[1:], shape, strict=True)
        )
        and tuple(model.outputs[0].shape[1:]) == (classes,)
    )
    if not fits:
        raise BackboneError(
            f"backbone.model: {reference} must give a model with {expected}. Received: {received}"
        )
    _check_layers(model, reference)
    return model


def _functional(made: Any, reference: str, shape: tuple[int, int, int]) -> keras.Model:
    """A model as one of plain functional class; a `Sequential` one is built first."""
    if isinstance(made, keras.Sequential) and not made.built:
        made.build((None, *shape))
    try:
        return keras.Model(made.inputs, made.outputs, name=made.name)
    except (AttributeError, TypeError, ValueError) as error:
        raise BackboneError(
            f"backbone.model: {reference} must give a functional Keras model, made with "
            "keras.Model(inputs, outputs), or a Sequential one: of a subclassed model, what its "
            f"call does is no graph that attention could be put into. Received: a "
            f"{type(made).__name__}"
        ) from error


def _check_layers(model: keras.Model, reference: str) -> None:
    """Refuses what would be trained without an error, and be wrong."""
    for layer in model.layers:
        if getattr(layer, "data_format", None) == "channels_first":
            raise BackboneError(
                f"backbone.model: {reference} has the layer {layer.name} with channels first; "
                "only channels_last is known here"
            )
        if layer.name in RESERVED and not isinstance(layer, keras.layers.InputLayer):
            raise BackboneError(
                f"backbone.model: {reference} has a layer called {layer.name}, a name that is "
                "taken. Rename it"
            )
        if layer.variable_dtype not in ("float32", "float64"):
            raise BackboneError(
                f"backbone.model: {reference} has the layer {layer.name}, which keeps its "
                f"weights in {layer.variable_dtype}. Expected float32. Use a mixed policy, or "
                "recipe.precision: mixed_bfloat16"
            )
        if layer.compute_dtype == "float16" != keras.config.dtype_policy().compute_dtype:
            raise BackboneError(
                f"backbone.model: {reference} has the layer {layer.name}, which computes in "
                "float16; its gradients would vanish without a scaled loss. Expected float32 or "
                "bfloat16. Set recipe.precision: mixed_bfloat16, and no policy in the function"
            )
    last = scoring_layers(model)[-1]
    activation = getattr(last, "activation", keras.activations.softmax)
    of_keras = str(getattr(activation, "__module__", "")).startswith("keras.")
    # What a function of the person's own gives shows when it is called; see `checking.py`.
    if of_keras and activation is not keras.activations.softmax:
        raise BackboneError(
            f"backbone.model: {reference} must give class scores that sum to 1. Its last layer "
            f"{last.name} has the activation {getattr(activation, '__name__', activation)}; give "
            "it activation='softmax'"
        )


def scoring_layers(model: keras.Model) -> list[Any]:
    """The layers from the output back to the one that makes the scores."""

    def what_it_passes_on(call: Call) -> list[Any]:
        passes = isinstance(call.operation, keras.layers.Identity) or (
            isinstance(call.operation, keras.layers.Activation)
            and call.operation.activation is keras.activations.linear
        )
        return call.inputs[:1] if passes else []

    return [call.operation for call in upstream(model.outputs[:1], what_it_passes_on)]


def _loaded(path: str) -> Any:
    if not Path(path).is_file():
        raise BackboneError(f"backbone.model: there is no file {path}")
    try:
        # Safe mode refuses a file that carries code.
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a damaged archive makes Keras raise whatever it meets
        raise BackboneError(
            f"backbone.model: {path} cannot be loaded: {reason_of(error)}. A model with "
            "classes of your own is given as package.module:function"
        ) from error


def _called(reference: str, shape: tuple[int, int, int], classes: int) -> Any:
    function = imported(reference)
    if isinstance(function, keras.Model):
        raise BackboneError(
            f"backbone.model: {reference} is a model. Expected a function of the shape of an "
            "image and the number of classes that returns one"
        )
    try:
        with _settings_of_keras_kept():
            return function(shape, classes)
    except (Exception, SystemExit) as error:  # whatever a person's code raises
        raise BackboneError(
            f"backbone.model: {reference}({shape}, {classes}) raised {reason_of(error)}"
        ) from error


@contextlib.contextmanager
def _settings_of_keras_kept() -> Iterator[None]:
    """Keras is as it was when the block ends, whatever a person's code sets in it.

    Names that Keras gives in the block count from 1, so that they do not depend on what the
    process has built before.
    """
    from keras.src.backend.common import global_state

    names = global_state.get_global_attribute("object_name_uids")
    policy, layout = keras.config.dtype_policy(), keras.config.image_data_format()
    global_state.set_global_attribute("object_name_uids", defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute("object_name_uids", names)
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(layout)
