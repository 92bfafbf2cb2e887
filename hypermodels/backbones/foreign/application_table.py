"""The networks of `keras.applications`: how each names its blocks and scales its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hypermodels.backbones.block_pattern import BlockPattern, after, before


@dataclass(frozen=True)
class Application:
    """One network of `keras.applications`.

    Args:
        preprocessing: How it wants its images: `"tf"` (-1 to 1), `"torch"` (ImageNet's
            statistics), `"caffe"` (ImageNet's mean taken off, channels reversed), or
            `"own"` where it normalizes them itself.
        blocks: How its blocks are named.
        first: The first convolution, of a network with reversed channels.
        rescaled: The layer before which the network with ImageNet weights, and only that,
            divides its images by the root of their standard deviation.
    """

    preprocessing: Literal["tf", "torch", "caffe", "own"]
    blocks: BlockPattern
    first: str = ""
    rescaled: str = ""


_RESNET = BlockPattern(
    r"(conv\d_block\d+)_add",
    {
        "residual": after("{}_3_bn"),
        "pre": before("{}_1_conv"),
        "mid": after("{}_2_relu"),
        "post": after("{}_out"),
        "identity": before("{}_add"),
    },
)
_RESNET_V2 = BlockPattern(
    r"(conv\d_block\d+)_out",
    {
        "residual": after("{}_3_conv"),
        "pre": before("{}_preact_bn"),
        "mid": after("{}_2_relu"),
        "post": after("{}_out"),
        "identity": before("{}_out"),
    },
)
_MOBILENET_V2 = BlockPattern(
    r"(block_\d+|expanded_conv)_project_BN",
    {
        "residual": after("{}_project_BN"),
        "pre": before("{}_expand", "{}_depthwise"),
        "mid": after("{}_depthwise_relu"),
        "post": after("{}_add", "{}_project_BN"),
        "identity": before("{}_add"),
    },
)
_MOBILENET_V3 = BlockPattern(
    r"(expanded_conv(?:_\d+)?)_project_bn",
    {
        "mid": before("{}_project"),
        "residual": after("{}_project_bn"),
        "pre": before("{}_expand", "{}_depthwise_pad", "{}_depthwise"),
        "post": after("{}_add", "{}_project_bn"),
        "identity": before("{}_add"),
    },
    own="{}_squeeze_excite_mul",
)
_EFFICIENTNET = BlockPattern(
    r"(block\d+[a-z]+)_project_bn",
    {
        "mid": before("{}_project_conv"),
        "residual": after("{}_project_bn"),
        "pre": before("{}_expand_conv", "{}_dwconv_pad", "{}_dwconv", "{}_project_conv"),
        "post": after("{}_add", "{}_project_activation", "{}_project_bn"),
        "identity": before("{}_add", index=1),
    },
    own="{}_se_excite",
)
_BLOCKS: Mapping[str, Application] = {
    "ResNet": Application("caffe", _RESNET, "conv1_conv"),
    "ResNetV2": Application("tf", _RESNET_V2),
    "VGG": Application(
        "caffe", BlockPattern(r"(block\d)_pool", {"post": before("{}_pool")}), "block1_conv1"
    ),
    "Xception": Application(
        "tf",
        BlockPattern(
            r"(block\d+)_sepconv1",
            # The last block has no addition; there it is the block's output.
            {"residual": after("{}_pool", "{}_sepconv3_bn", "{}_sepconv2_act")},
        ),
    ),
    "InceptionV3": Application("tf", BlockPattern(r"(mixed\d+)", {"post": after("{}")})),
    "InceptionResNetV2": Application(
        "tf",
        BlockPattern(
            r"(block\d+_\d+)_conv",
            {"residual": after("{}_conv"), "post": after("{}_ac")},
        ),
    ),
    "MobileNet": Application(
        "tf", BlockPattern(r"(conv_pw_\d+)_relu", {"post": after("{}_relu")})
    ),
    "MobileNetV2": Application("tf", _MOBILENET_V2),
    "MobileNetV3": Application("own", _MOBILENET_V3),
    "DenseNet": Application(
        "torch",
        BlockPattern(
            r"(conv\d_block\d+)_concat",
            {"layer": after("{}_2_conv"), "post": after("{}_concat")},
        ),
    ),
    "NASNet": Application(
        "tf",
        BlockPattern(r"((?:normal|reduction)_concat_\w+)", {"post": after("{}")}),
    ),
    "EfficientNet": Application("own", _EFFICIENTNET, rescaled="stem_conv_pad"),
    "EfficientNetV2": Application("own", _EFFICIENTNET),
    "ConvNeXt": Application(
        "own",
        BlockPattern(
            r"(\w+_stage_\d_block_\d+)_layer_scale", {"residual": after("{}_layer_scale")}
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
