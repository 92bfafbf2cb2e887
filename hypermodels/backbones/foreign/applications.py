"""Any classifier of `keras.applications`, from scratch or with pretrained weights.

`backbone: {application: ResNet50, weights: imagenet}`. The network is Keras's own, with
its own preprocessing of the images and a new classifier on top. Differences from it: the
batch norms have momentum 0.9, so that their statistics are usable after short rungs; and
where the original wants its channels in the order blue, green, red, the first convolution
is turned instead of the images, which computes the same.

Networks that come with Squeeze-and-Excitation (MobileNetV3, EfficientNet) keep it where
`attention.type` is `none`, for that is the network as published; a block that gets
attention loses its own. With `builtin_attention: remove` none of them has it.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from hypermodels.backbones.blocks import HEAD, classifier
from hypermodels.backbones.family import RESIZE, Family, Site, register_family
from hypermodels.backbones.foreign.application_table import APPLICATIONS, Application
from hypermodels.errors import BackboneError
from hypermodels.graph.graft import bn_momentum_overrides, copy_weights, graft
from hypermodels.image import NORMALIZE, ImageSpec
from hypermodels.knobs import Knob, KnobError, Value

_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _check_weights(value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise KnobError(f"expected none, imagenet or the path of a file. Received: {value!r}")


KNOBS = (
    Knob(
        "application",
        "choice",
        "ResNet50",
        "network of keras.applications; stands for the family",
        choices=tuple(APPLICATIONS),
    ),
    Knob(
        "weights",
        "text",
        "none",
        "pretrained weights: none, imagenet (downloaded by Keras), or a weights file of the "
        "network, with or without its own classifier",
        check=_check_weights,
    ),
    Knob(
        "builtin_attention",
        "choice",
        "keep",
        "what becomes of a network's own SE in blocks that get no attention",
        choices=("keep", "remove"),
    ),
    RESIZE,
)


def application_of(settings: Mapping[str, Value]) -> Application:
    return APPLICATIONS[str(settings["application"])]


def keras_network(name: str, shape: tuple[int, ...] | None, **options: Any) -> keras.Model:
    """Builds the network as Keras has it, without its classifier unless `options` say so.

    Args:
        name: String, its name in `keras.applications`.
        shape: Height, width and channels of its images, or `None` for whatever suits.
        **options: More arguments of the builder.

    Raises:
        BackboneError: If it does not take images of such a shape.
    """
    builder = getattr(keras.applications, name)
    arguments = {"include_top": False, "weights": None, "input_shape": shape, **options}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about shapes for which there are no weights
            return builder(**arguments)
    except ValueError as error:
        if shape is None:
            raise
        height, width, channels = shape
        least = re.search(r"at least (\d+)x\d+", str(error))
        advice = (
            f"Set backbone.resize to at least {least[1]}"
            if least
            else f"It takes color images of 3 channels ({error})"
            if channels != 3
            else str(error).rstrip(".")
        )
        raise BackboneError(
            f"{name} cannot be built on images of {height}x{width}x{channels}. {advice}"
        ) from error


def preprocess(images: Any, settings: Mapping[str, Value], image: ImageSpec) -> Any:
    """Brings images to the scale that the network was made for."""
    kind, channels = application_of(settings).preprocessing, image.shape[2]
    pretrained = settings["weights"] != "none"
    if channels != 3 and (pretrained or kind in ("caffe", "torch")):
        what = "with pretrained weights " if pretrained else ""
        raise BackboneError(
            f"{settings['application']} {what}takes color images of 3 channels. "
            f"Received: images of {channels}. Convert them, or use another network with "
            "weights: none"
        )
    scale: Any = {"tf": 1 / 127.5, "own": 1.0, "caffe": 1.0}.get(kind)
    offset: Any = {"tf": -1.0, "own": 0.0, "caffe": [-mean for mean in _CAFFE_MEAN]}.get(kind)
    if kind == "torch":
        scale = [1 / (255 * std) for std in _TORCH_STD]
        offset = [-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)]
    return keras.layers.Rescaling(scale, offset, name=NORMALIZE)(images)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, with a new classifier."""
    model = keras_network(str(settings["application"]), tuple(inputs.shape[1:]))
    before = application_of(settings).rescaled if settings["weights"] == "imagenet" else ""
    replaced = {before: _rescaled(model.get_layer(before))} if before else {}
    return classifier(
        graft(model, inputs, changed=bn_momentum_overrides(model), replaced=replaced), classes
    )


def _rescaled(layer: keras.layers.Layer) -> Callable[[Any], Any]:
    """What Keras has before the stem of an EfficientNet with ImageNet weights alone."""

    def call(inputs: Any) -> Any:
        scale = [1 / math.sqrt(std) for std in _TORCH_STD]
        scaled = keras.layers.Rescaling(scale, name="imagenet_rescaling")(inputs)
        return type(layer).from_config(layer.get_config())(scaled)

    return call


def sites(settings: Mapping[str, Value], model: keras.Model) -> tuple[Site, ...]:
    """One site a block of the network."""
    return application_of(settings).blocks.sites(settings, model)


def load(model: keras.Model, settings: Mapping[str, Value]) -> tuple[str, ...] | None:
    """Puts pretrained weights into the built network; the classifier stays new.

    Returns:
        The name of the classifier, or `None` if there are no weights to put.

    Raises:
        BackboneError: If they cannot be had, or are of another network.
    """
    weights, name = str(settings["weights"]), str(settings["application"])
    if weights == "none":
        return None
    if weights == "imagenet":
        source = _with_imagenet_weights(name)
    else:
        shape = tuple(model.get_layer(NORMALIZE).output.shape[1:])
        source = _with_weights_of_file(name, weights, shape, int(model.output.shape[-1]))
    first = application_of(settings).first
    if first:
        kernel, *rest = source.get_layer(first).get_weights()
        source.get_layer(first).set_weights([kernel[:, :, ::-1], *rest])
    copy_weights(source, model)
    return (HEAD,)


def _with_imagenet_weights(name: str) -> keras.Model:
    try:
        return keras_network(name, None, weights="imagenet")
    except Exception as error:  # Keras raises bare exceptions for a failed download
        raise BackboneError(
            f"the ImageNet weights of {name} cannot be had: {error}. Where there is no network, "
            "set backbone.weights to the path of a weights file"
        ) from error


def _with_weights_of_file(
    name: str, path: str, shape: tuple[int, ...], classes: int
) -> keras.Model:
    """The network with the weights of a file, which may be of one with its own classifier."""
    if not Path(path).is_file():
        raise BackboneError(
            f"backbone.weights: there is no file {path}. Give none, imagenet, or a weights file"
        )
    reason: Exception | None = None
    for options in (
        {"shape": None},
        {"shape": None, "include_top": True},
        {"shape": shape, "include_top": True, "classes": classes},
    ):
        try:
            source = keras_network(name, **options)
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore"
                )  # one for each part of the format that is not there
                source.load_weights(path)
        except Exception as error:  # h5py and Keras raise many kinds over a file
            reason = reason or error
        else:
            return source
    first = (str(reason).strip().splitlines() or [type(reason).__name__])[0]
    raise BackboneError(
        f"backbone.weights: {path} is no weights file of {name}: {first.rstrip('.:')}. Give one "
        f"that keras.applications.{name}(...).save_weights made, or that Keras offers for it"
    ) from reason


def standard(settings: Mapping[str, Value]) -> str:
    """Where the literature puts attention in the network."""
    return next(iter(application_of(settings).blocks.ports))


def files(settings: Mapping[str, Value]) -> tuple[Path, ...]:
    """The files that the network depends on."""
    weights = str(settings.get("weights", "none"))
    return () if weights in ("none", "imagenet") else (Path(weights),)


APPLICATION = register_family(
    Family(
        name="application",
        knobs=KNOBS,
        body=body,
        sites=sites,
        placements=("post", "residual", "pre", "identity", "mid", "layer"),
        summary="any classifier of keras.applications, from scratch or pretrained",
        preprocess=preprocess,
        load=load,
        pretrained=lambda settings: settings["weights"] != "none",
        standard=standard,
        files=files,
    )
)
