"""MobileNet v1: thirteen depthwise separable blocks, as `keras.applications` builds it.

Howard et al.: "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", 2017. Differences from `keras.applications.MobileNet`: batch norm's
momentum is 0.9 (see `graft.bn_momentum_overrides`); the head is global pooling and a dense
layer, which has the same weights as its 1x1 convolution, without its dropout of 0.001;
`stem: small` gives the first convolution a stride of 1.

Where attention goes differs in the literature: Keras ports put it after a block's last
activation (`post`, the default); the totals that the CBAM paper prints for MobileNet
(table 5: 4.23 M and 5.07 M) are those of a ratio of 16 after the depthwise and after the
pointwise half of every block (`depthwise+post`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hypermodels.backbones.block_pattern import BlockPattern, after
from hypermodels.backbones.blocks import STEM, WIDTH, classifier, require_side
from hypermodels.backbones.family import RESIZE, Family, register_family
from hypermodels.graph.graft import bn_momentum_overrides, graft
from hypermodels.knobs import Knob, Value

STAGES = (1, 2, 2, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5)
"""The stage of each block: they end where the map is halved."""
LEAST_SIDE = {"small": 16, "imagenet": 31}

ALPHA = Knob(
    "alpha",
    "number",
    1.0,
    "mobilenet's published name for its width multiplier: 0.25, 0.5, 0.75 or 1",
    minimum=0.05,
    maximum=4,
)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    require_side(inputs, LEAST_SIDE[str(settings["stem"])], settings)
    width = float(settings.get(WIDTH.name, WIDTH.default))
    network = keras.applications.MobileNet(
        input_shape=(None, None, inputs.shape[-1]),
        alpha=float(settings["alpha"]) * width,
        include_top=False,
        weights=None,
    )
    changed = bn_momentum_overrides(network)
    if settings["stem"] == "small":
        changed["conv1"] = {"strides": 1}
    return classifier(graft(network, inputs, changed=changed), classes)


PATTERN = BlockPattern(
    r"conv_pw_(\d+)_relu",
    {"post": after("conv_pw_{}_relu"), "depthwise": after("conv_dw_{}_relu")},
    name="block{}",
    stages=STAGES,
)

MOBILENET = register_family(
    Family(
        name="mobilenet",
        knobs=(ALPHA, WIDTH, STEM, RESIZE),
        body=body,
        sites=PATTERN.sites,
        placements=("post", "depthwise", "depthwise+post"),
        summary="MobileNet v1: 13 depthwise separable blocks, with a width multiplier",
        stages=lambda settings: max(STAGES),
    )
)
