"""A person's own network: a function that builds it, or a saved `.keras` file.

`backbone: {model: "package.module:function", sites: "block*_out"}`. The function takes the
shape of an image and the number of classes, and returns a functional Keras model from
images to class scores:

    def function(input_shape: tuple[int, int, int], classes: int) -> keras.Model

Its images are normalised as for every other backbone, unless `normalisation: none` says
that the network does so itself; then it receives them on the scale 0 to 255. Initial
weights are drawn anew from the search seed and the layers' names, so all trials start
alike; `initial_weights: own` keeps those that the model comes with, all but none of them.
"""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from hypermodels.backbones.family import RESIZE, Family, Site, register_family
from hypermodels.backbones.foreign.found_sites import sites_by_names
from hypermodels.backbones.foreign.sources import imported, source_files
from hypermodels.errors import BackboneError, reason_of, some_of
from hypermodels.graph.graft import canonical_names, copy_weights, graft
from hypermodels.graph.walk import Call, upstream
from hypermodels.graph.weights import copy_statistics, has_statistics
from hypermodels.image import ImageSpec, normalised
from hypermodels.knobs import Knob, KnobError, Value

NORMALISE, SCORES = "normalise", "float32_scores"
RESERVED = ("image", "resize", NORMALISE, SCORES)
"""Names of the layers that are put around a person's network."""

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _check_model(value: Any) -> None:
    if value == "" or (
        isinstance(value, str) and (value.endswith(".keras") or _FUNCTION.fullmatch(value))
    ):
        return  # none at all is said where it is missed
    raise KnobError(
        f"expected package.module:function, or the path of a .keras file. Received: {value!r}"
    )


def _normalise_sites(received: Any) -> Any:
    if isinstance(received, list | tuple) and all(isinstance(name, str) for name in received):
        return ",".join(received)
    return received


def _check_sites(value: Any) -> None:
    if not isinstance(value, str) or not value or any(not part for part in value.split(",")):
        raise KnobError(
            "expected auto, or names of layers with * and ?, separated by commas. "
            f"Received: {value!r}"
        )


KNOBS = (
    Knob(
        "model",
        "text",
        "",
        "your own network: package.module:function, or a .keras file; stands for the family",
        check=_check_model,
        forms=({"type": "string", "pattern": r"^$|\.keras$|^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"},),
    ),
    Knob(
        "sites",
        "text",
        "auto",
        "layers after which attention can go: names with * and ?, or a list of them; auto "
        "is the last feature map of each size",
        check=_check_sites,
        normalise=_normalise_sites,
        forms=(
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        ),
    ),
    Knob(
        "normalisation",
        "choice",
        "data",
        "what your network receives: images of mean 0 and standard deviation 1, or (none) "
        "as they are, 0 to 255",
        choices=("data", "none"),
    ),
    Knob(
        "initial_weights",
        "choice",
        "seeded",
        "drawn from the search seed, or those your model comes with",
        choices=("seeded", "own"),
    ),
    RESIZE,
)


def original(reference: str, shape: tuple[int, int, int], classes: int) -> keras.Model:
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
    last = _last(model)[-1]
    activation = getattr(last, "activation", keras.activations.softmax)
    of_keras = str(getattr(activation, "__module__", "")).startswith("keras.")
    # What a function of the person's own gives shows when it is called; see `checking.py`.
    if of_keras and activation is not keras.activations.softmax:
        raise BackboneError(
            f"backbone.model: {reference} must give class scores that sum to 1. Its last layer "
            f"{last.name} has the activation {getattr(activation, '__name__', activation)}; give "
            "it activation='softmax'"
        )


def _last(model: keras.Model) -> list[Any]:
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


def preprocess(images: Any, settings: Mapping[str, Value], image: ImageSpec) -> Any:
    """Normalises images, unless the network does so itself."""
    if settings["normalisation"] == "data":
        return normalised(images, image)
    return keras.layers.Rescaling(1.0, name=NORMALISE)(images)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`; its own classifier gives the scores."""
    model = own_model(settings, inputs, classes)
    if settings["initial_weights"] == "seeded":
        _refuse_frozen(model, str(settings["model"]))
    names = canonical_names(model)
    # Under mixed precision a softmax of 16-bit numbers would not sum to 1.
    wide = {
        names[layer.name]: {"dtype": "float32"}
        for layer in _last(model)
        if isinstance(layer, keras.layers.Layer)
    }
    scores = graft(model, inputs, changed=wide)
    return keras.layers.Activation("linear", dtype="float32", name=SCORES)(scores)


def frozen_layers(model: keras.Model) -> tuple[str, ...]:
    """The layers, within models too, whose weights do not train though they could.

    Statistics that a layer keeps are no such weights.
    """
    return tuple(
        layer.name
        for layer in model._flatten_layers(include_self=False)
        if not layer.trainable and layer._trainable_variables
    )


def _refuse_frozen(model: keras.Model, reference: str) -> None:
    frozen = frozen_layers(model)
    if frozen:
        raise BackboneError(
            f"backbone.model: {reference} has layers that are frozen ({some_of(frozen, 5)}): with "
            "initial_weights: seeded they would get random weights and never train. Set "
            "initial_weights: own, which keeps the weights that the model comes with, or let "
            "them train (trainable = True)"
        )


def sites(settings: Mapping[str, Value], model: keras.Model) -> tuple[Site, ...]:
    """One site a layer that the person names, or the last map of each size."""
    return sites_by_names(model, str(settings["sites"]))


def load(model: keras.Model, settings: Mapping[str, Value]) -> tuple[str, ...] | None:
    """Puts the model's own weights into the built network, if they are asked for.

    What its `Normalization` layers know of the data is no initial weight, and always kept.
    """
    own = settings["initial_weights"] == "own"
    if not own and not has_statistics(model):
        return None
    images = model.get_layer(NORMALISE).output
    source = own_model(settings, images, int(model.output.shape[-1]))
    if own:
        copy_weights(source, model)
        return ()
    names = canonical_names(source)
    for layer in source.layers:
        if layer.name in names:
            copy_statistics(layer, model.get_layer(names[layer.name]))
    return None


def own_model(settings: Mapping[str, Value], images: Any, classes: int) -> keras.Model:
    """The person's model for some settings, for images `(batch, height, width, channels)`."""
    height, width, channels = (int(size) for size in images.shape[1:])
    return original(str(settings["model"]), (height, width, channels), classes)


def files(settings: Mapping[str, Value]) -> tuple[Path, ...]:
    """The file of the model, or those of the code that builds it."""
    reference = str(settings.get("model", ""))
    if reference.endswith(".keras"):
        return (Path(reference),)
    return source_files(reference.partition(":")[0]) if reference else ()


MODEL = register_family(
    Family(
        name="model",
        knobs=KNOBS,
        body=body,
        sites=sites,
        placements=("post", "pre"),
        summary="your own functional Keras model",
        preprocess=preprocess,
        load=load,
        pretrained=lambda settings: settings["initial_weights"] == "own",
        files=files,
        foreign=True,
    )
)
