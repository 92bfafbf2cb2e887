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

import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from hypermodels.backbones.family import RESIZE, BackboneError, Family, Site, register_family
from hypermodels.backbones.found_sites import sites_by_names
from hypermodels.backbones.graft import copy_weights, graft
from hypermodels.image import ImageSpec, normalised
from hypermodels.knobs import Knob, KnobError, Value

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _check_model(value: Any) -> None:
    if isinstance(value, str) and (
        value == "" or value.endswith(".keras") or _FUNCTION.fullmatch(value)
    ):
        return  # nothing is told by `original`, where a space asks for such a network
    raise KnobError(
        f"expected package.module:function, or the path of a .keras file. Received: {value!r}"
    )


def _normalise_sites(received: Any) -> Any:
    return ",".join(map(str, received)) if isinstance(received, list | tuple) else received


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
    ),
    Knob(
        "sites",
        "text",
        "auto",
        "layers after which attention can go: names with * and ?, or a list of them; auto "
        "is the last feature map of each size",
        check=_check_sites,
        normalise=_normalise_sites,
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
    """The person's model, checked.

    Raises:
        BackboneError: If it cannot be had, or is no functional model of such images.
    """
    if not reference:
        raise BackboneError(
            "backbone.model is missing. Give package.module:function, or a .keras file"
        )
    model = (
        _loaded(reference) if reference.endswith(".keras") else _called(reference, shape, classes)
    )
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise BackboneError(
            f"backbone.model: {reference} must give a functional Keras model, made with "
            f"keras.Model(inputs, outputs). Received: a {type(model).__name__}"
        )
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
    return model


def _loaded(path: str) -> Any:
    try:
        # Safe mode refuses a file that carries code.
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BackboneError(f"backbone.model: {path} cannot be loaded: {first}") from error


def _called(reference: str, shape: tuple[int, int, int], classes: int) -> Any:
    module_name, _, function_name = reference.partition(":")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` would have it
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise BackboneError(
            f"backbone.model: {reference} cannot be imported: {error}. Expected "
            "package.module:function, importable from the current directory"
        ) from error
    try:
        return function(shape, classes)
    except Exception as error:  # whatever a person's code raises is theirs to know
        raise BackboneError(
            f"backbone.model: {reference}({shape}, {classes}) raised "
            f"{type(error).__name__}: {error}"
        ) from error


def preprocess(images: Any, settings: Mapping[str, Value], image: ImageSpec) -> Any:
    """Normalises images, unless the network does so itself."""
    if settings["normalisation"] == "data":
        return normalised(images, image)
    return keras.layers.Rescaling(1.0, name="normalise")(images)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`; its own classifier gives the scores."""
    height, width, channels = (int(size) for size in inputs.shape[1:])
    model = original(str(settings["model"]), (height, width, channels), classes)
    scores = graft(model, inputs)
    # Under mixed precision the scores would be 16-bit numbers.
    return keras.layers.Activation("linear", dtype="float32", name="scores")(scores)


def sites(settings: Mapping[str, Value], model: keras.Model) -> tuple[Site, ...]:
    """One site a layer that the person names, or the last map of each size."""
    return sites_by_names(model, str(settings["sites"]))


def load(model: keras.Model, settings: Mapping[str, Value]) -> bool:
    """Puts the model's own weights into the built network, if they are asked for."""
    if settings["initial_weights"] == "seeded":
        return False
    height, width, channels = (int(s) for s in model.get_layer("normalise").output.shape[1:])
    classes = int(model.output.shape[-1])
    copy_weights(original(str(settings["model"]), (height, width, channels), classes), model)
    return True


def files(settings: Mapping[str, Value]) -> tuple[Path, ...]:
    """The file that the network is defined in."""
    reference = str(settings.get("model", ""))
    if reference.endswith(".keras"):
        return (Path(reference),)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        spec = importlib.util.find_spec(reference.partition(":")[0])
    except (ImportError, ValueError):
        return ()  # `original` says so, with the reason
    return (Path(spec.origin),) if spec and spec.origin else ()


MODEL = register_family(
    Family(
        "model",
        KNOBS,
        body,
        sites,
        ("post", "pre"),
        "your own functional Keras model",
        preprocess=preprocess,
        load=load,
        files=files,
    )
)
