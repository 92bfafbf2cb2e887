"""A person's own network: a function that builds it, or a saved `.keras` file.

`backbone: {model: "package.module:function", sites: "block*_out"}`. The function takes the
shape of an image and the number of classes, and returns a functional Keras model from
images to class scores:

    def function(input_shape: tuple[int, int, int], classes: int) -> keras.Model

Its images are normalized as for every other backbone, unless `normalization: none` says
that the network does so itself; then it receives them on the scale 0 to 255. Initial
weights are drawn anew from the search seed and the layers' names, so all trials start
alike; `initial_weights: own` keeps all weights that the model comes with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from hypermodels.backbones.family import Family, Site, register_family
from hypermodels.backbones.foreign.found_sites import sites_by_names
from hypermodels.backbones.foreign.given_model import (
    SCORES,
    given_model,
    scoring_layers,
)
from hypermodels.backbones.foreign.sources import source_files
from hypermodels.backbones.foreign.user_knobs import KNOBS
from hypermodels.errors import BackboneError, some_of
from hypermodels.graph.graft import canonical_names, copy_weights, graft
from hypermodels.graph.weights import copy_statistics, has_statistics
from hypermodels.image import NORMALIZE, ImageSpec, normalized
from hypermodels.knobs import Value


def preprocess(images: Any, settings: Mapping[str, Value], image: ImageSpec) -> Any:
    """Normalizes images, unless the network does so itself."""
    if settings["normalization"] == "data":
        return normalized(images, image)
    return keras.layers.Rescaling(1.0, name=NORMALIZE)(images)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`; its own classifier gives the scores."""
    model = own_model(settings, inputs, classes)
    if settings["initial_weights"] == "seeded":
        _refuse_frozen(model, str(settings["model"]))
    names = canonical_names(model)
    # Under mixed precision a softmax of 16-bit numbers would not sum to 1.
    wide = {
        names[layer.name]: {"dtype": "float32"}
        for layer in scoring_layers(model)
        if isinstance(layer, keras.layers.Layer)
    }
    scores = graft(model, inputs, changed=wide)
    return keras.layers.Activation("linear", dtype="float32", name=SCORES)(scores)


def frozen_layers(model: keras.Model) -> tuple[str, ...]:
    """The layers, nested ones included, whose trainable weights are frozen.

    Statistics that a layer keeps do not count.
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
    """Puts the model's own weights into the built network if `initial_weights` is `own`.

    The statistics of `Normalization` layers are not initial weights. They are always kept.
    """
    own = settings["initial_weights"] == "own"
    if not own and not has_statistics(model):
        return None
    images = model.get_layer(NORMALIZE).output
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
    return given_model(str(settings["model"]), (height, width, channels), classes)


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
