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

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from hypermodels.backbones.family import (
    RESIZE,
    BackboneError,
    Family,
    Site,
    classifier,
    register_family,
)
from hypermodels.backbones.found_sites import BlockPattern, inputs, output, sites_by_pattern
from hypermodels.backbones.graft import copy_weights, graft, quick_statistics
from hypermodels.image import ImageSpec
from hypermodels.knobs import Knob, Value

_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Application:
    """What has to be known of a network of `keras.applications`.

    Args:
        preprocessing: How it wants its images: `"tf"` (-1 to 1), `"torch"` (ImageNet's
            statistics), `"caffe"` (ImageNet's mean taken off, channels reversed), or
            `"own"` where it normalises them itself.
        blocks: How its blocks are named.
        first: The first convolution, of a network with reversed channels.
    """

    preprocessing: Literal["tf", "torch", "caffe", "own"]
    blocks: BlockPattern
    first: str = ""


_RESNET = BlockPattern(
    r"(conv\d_block\d+)_add",
    {
        "residual": output("{}_3_bn"),
        "pre": inputs("{}_1_conv"),
        "mid": output("{}_2_relu"),
        "post": output("{}_out"),
        "identity": inputs("{}_add"),
    },
)
_RESNET_V2 = BlockPattern(
    r"(conv\d_block\d+)_out",
    {
        "residual": output("{}_3_conv"),
        "pre": inputs("{}_preact_bn"),
        "mid": output("{}_2_relu"),
        "post": output("{}_out"),
        "identity": inputs("{}_out"),
    },
)
_MOBILENET_V2 = BlockPattern(
    r"(block_\d+|expanded_conv)_project_BN",
    {
        "residual": output("{}_project_BN"),
        "pre": inputs("{}_expand", "{}_depthwise"),
        "mid": output("{}_depthwise_relu"),
        "post": output("{}_add", "{}_project_BN"),
        "identity": inputs("{}_add"),
    },
)
_MOBILENET_V3 = BlockPattern(
    r"(expanded_conv(?:_\d+)?)_project_bn",
    {
        "mid": inputs("{}_project"),
        "residual": output("{}_project_bn"),
        "pre": inputs("{}_expand", "{}_depthwise_pad", "{}_depthwise"),
        "post": output("{}_add", "{}_project_bn"),
        "identity": inputs("{}_add"),
    },
    own="{}_squeeze_excite_mul",
)
_EFFICIENTNET = BlockPattern(
    r"(block\d+[a-z]+)_project_bn",
    {
        "mid": inputs("{}_project_conv"),
        "residual": output("{}_project_bn"),
        "pre": inputs("{}_expand_conv", "{}_dwconv_pad", "{}_dwconv", "{}_project_conv"),
        "post": output("{}_add", "{}_project_activation", "{}_project_bn"),
        "identity": inputs("{}_add", index=1),
    },
    own="{}_se_excite",
)
_BLOCKS: Mapping[str, Application] = {
    "ResNet": Application("caffe", _RESNET, "conv1_conv"),
    "ResNetV2": Application("tf", _RESNET_V2),
    "VGG": Application(
        "caffe", BlockPattern(r"(block\d)_pool", {"post": inputs("{}_pool")}), "block1_conv1"
    ),
    "Xception": Application(
        "tf",
        BlockPattern(
            r"(block\d+)_sepconv1",
            {"post": output("{}_pool", "{}_sepconv3_bn", "{}_sepconv2_act")},
        ),
    ),
    "InceptionV3": Application("tf", BlockPattern(r"(mixed\d+)", {"post": output("{}")})),
    "InceptionResNetV2": Application(
        "tf",
        BlockPattern(
            r"(block\d+_\d+)_conv",
            {"residual": output("{}_conv"), "pre": inputs("{}"), "post": output("{}_ac", "{}")},
        ),
    ),
    "MobileNet": Application(
        "tf", BlockPattern(r"(conv_pw_\d+)_relu", {"post": output("{}_relu")})
    ),
    "MobileNetV2": Application("tf", _MOBILENET_V2),
    "MobileNetV3": Application("own", _MOBILENET_V3),
    "DenseNet": Application(
        "torch",
        BlockPattern(
            r"(conv\d_block\d+)_concat",
            {"layer": output("{}_2_conv"), "post": output("{}_concat")},
        ),
    ),
    "NASNet": Application(
        "tf",
        BlockPattern(r"((?:normal|reduction)_concat_\w+)", {"post": output("{}")}),
    ),
    "EfficientNet": Application("own", _EFFICIENTNET),
    "EfficientNetV2": Application("own", _EFFICIENTNET),
    "ConvNeXt": Application(
        "own",
        BlockPattern(
            r"(\w+_stage_\d_block_\d+)_layer_scale", {"residual": output("{}_layer_scale")}
        ),
    ),
}
_NAMES: Mapping[str, tuple[str, ...]] = {
    "ResNet": ("ResNet50", "ResNet101", "ResNet152"),
    "ResNetV2": ("ResNet50V2", "ResNet101V2", "ResNet152V2"),
    "VGG": ("VGG16", "VGG19"),
    "Xception": ("Xception",),
    "InceptionV3": ("InceptionV3",),
    "InceptionResNetV2": ("InceptionResNetV2",),
    "MobileNet": ("MobileNet",),
    "MobileNetV2": ("MobileNetV2",),
    "MobileNetV3": ("MobileNetV3Small", "MobileNetV3Large"),
    "DenseNet": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "NASNet": ("NASNetMobile", "NASNetLarge"),
    "EfficientNet": tuple(f"EfficientNetB{size}" for size in range(8)),
    "EfficientNetV2": tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", *"SML")),
    "ConvNeXt": tuple(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
}
APPLICATIONS: Mapping[str, Application] = {
    name: _BLOCKS[kind] for kind, names in _NAMES.items() for name in names
}
"""The networks of `keras.applications` by name."""

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


def known(settings: Mapping[str, Value]) -> Application:
    return APPLICATIONS[str(settings["application"])]


def original(name: str, shape: tuple[int, ...], **options: Any) -> keras.Model:
    """Builds the network as Keras has it, without its classifier unless `options` say so.

    Raises:
        BackboneError: If it does not take images of such a shape.
    """
    builder = getattr(keras.applications, name)
    try:
        return builder(**{"include_top": False, "weights": None, "input_shape": shape, **options})
    except ValueError as error:
        least = 75 if "75x75" in str(error) else 32
        raise BackboneError(
            f"{name} cannot be built on images of {shape[0]}x{shape[1]}x{shape[2]}: {error}. "
            f"Set backbone.resize to at least {least}"
        ) from error


def preprocess(images: Any, settings: Mapping[str, Value], image: ImageSpec) -> Any:
    """Brings images to the scale that the network was made for."""
    kind = known(settings).preprocessing
    if kind in ("caffe", "torch") and image.shape[2] != 3:
        raise BackboneError(
            f"{settings['application']} takes colour images of 3 channels. "
            f"Received: {image.shape[2]}"
        )
    scale: Any = {"tf": 1 / 127.5, "own": 1.0, "caffe": 1.0}.get(kind)
    offset: Any = {"tf": -1.0, "own": 0.0, "caffe": [-mean for mean in _CAFFE_MEAN]}.get(kind)
    if kind == "torch":
        scale = [1 / (255 * std) for std in _TORCH_STD]
        offset = [-mean / std for mean, std in zip(_TORCH_MEAN, _TORCH_STD, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="normalise")(images)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, with a new classifier."""
    model = original(str(settings["application"]), tuple(inputs.shape[1:]))
    return classifier(graft(model, inputs, changed=quick_statistics(model)), classes)


def sites(settings: Mapping[str, Value], model: keras.Model) -> tuple[Site, ...]:
    """One site a block of the network."""
    return sites_by_pattern(model, known(settings).blocks)


def load(model: keras.Model, settings: Mapping[str, Value]) -> bool:
    """Puts pretrained weights into the built network; the classifier stays new.

    Returns:
        Whether there are any.

    Raises:
        BackboneError: If they cannot be had, or are of another network.
    """
    weights, name = str(settings["weights"]), str(settings["application"])
    if weights == "none":
        return False
    if weights != "imagenet" and not Path(weights).is_file():
        raise BackboneError(
            f"backbone.weights: there is no file {weights}. Give none, imagenet, or a file"
        )
    shape = tuple(model.get_layer("normalise").output.shape[1:])
    source = _with_weights(name, shape, weights)
    first = known(settings).first
    if first:
        kernel, *rest = source.get_layer(first).get_weights()
        source.get_layer(first).set_weights([kernel[:, :, ::-1], *rest])
    copy_weights(source, model)
    return True


def _with_weights(name: str, shape: tuple[int, ...], weights: str) -> keras.Model:
    try:
        return original(name, shape, weights=weights)
    except (BackboneError, OSError) as error:
        if weights == "imagenet":
            raise BackboneError(
                f"the ImageNet weights of {name} cannot be had: {error}"
            ) from error
        try:
            with_classifier = original(name, shape, include_top=True)
            with_classifier.load_weights(weights)
        except (ValueError, OSError):
            raise BackboneError(
                f"backbone.weights: {weights} is no weights file of {name}: {error}"
            ) from error
        return with_classifier


def standard(settings: Mapping[str, Value]) -> str:
    """Where the literature puts attention in the network."""
    return next(iter(known(settings).blocks.ports))


def files(settings: Mapping[str, Value]) -> tuple[Path, ...]:
    """The files that the network depends on."""
    weights = str(settings.get("weights", "none"))
    return () if weights in ("none", "imagenet") else (Path(weights),)


APPLICATION = register_family(
    Family(
        "application",
        KNOBS,
        body,
        sites,
        ("post", "residual", "pre", "identity", "mid", "layer"),
        "any classifier of keras.applications, from scratch or pretrained",
        preprocess=preprocess,
        load=load,
        standard=standard,
        files=files,
    )
)
