"""Inception v3: eleven mixed blocks, as `keras.applications` builds it.

Szegedy et al.: "Rethinking the Inception Architecture for Computer Vision", CVPR 2016.
Differences from `keras.applications.InceptionV3`: batch norm's momentum is 0.9 (see
`graft.bn_momentum_overrides`); with `stem: small` the first convolution has a stride of 1 and
no layer before the first mixed block shrinks the map by its edges, so that the maps of
the three stages are 8x8, 3x3 and 1x1 for images of 32x32 (35x35, 17x17 and 8x8 for
299x299 with `stem: imagenet`). The weights are the same either way.

Attention acts on what a mixed block gives, the concatenation of its branches; `mixed9_0`
and `mixed9_1` are concatenations within a block, and no sites.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from hypermodels.backbones.block_pattern import BlockPattern, after
from hypermodels.backbones.blocks import STEM, WIDTH, classifier, require_side, widened
from hypermodels.backbones.family import RESIZE, Family, register_family
from hypermodels.graph.graft import bn_momentum_overrides, canonical_names, graft
from hypermodels.knobs import Value

STAGES = (1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3)
"""The stage of each mixed block: two of them halve the map."""
LEAST_SIDE = {"small": 25, "imagenet": 75}


def inception_body(
    network: keras.Model,
    inputs: Any,
    settings: Mapping[str, Value],
    widths: Mapping[str, int] | None = None,
    **options: Any,
) -> Any:
    """Grafts an Inception network with the chosen stem.

    Args:
        network: A functional model that starts as Inception v3 does: five convolutions,
            with a pooling after the third and after the fifth.
        inputs: The tensor that the network takes.
        settings: The section `backbone`, with `stem`.
        widths: Mapping from canonical names of convolutions to their filters, where they
            are not the published ones.
        **options: As for `graft`, but for `changed`.

    Returns:
        The feature map of the last layer.

    Raises:
        BackboneError: If the images are too small for the stem.
    """
    require_side(inputs, LEAST_SIDE[str(settings["stem"])], settings)
    changed: dict[str, dict[str, Any]] = dict(bn_momentum_overrides(network))
    for name, filters in (widths or {}).items():
        changed[name] = {"filters": filters}
    if settings["stem"] == "small":
        changed.setdefault("conv2d_001", {}).update(strides=1, padding="same")
        for name in ("conv2d_002", "max_pooling2d_001", "conv2d_005", "max_pooling2d_002"):
            changed.setdefault(name, {}).update(padding="same")
    return graft(network, inputs, changed=changed, **options)


def body(inputs: Any, settings: Mapping[str, Value], classes: int) -> Any:
    """Adds the network to `inputs`, a float tensor `(batch, height, width, channels)`."""
    network = keras.applications.InceptionV3(
        input_shape=(None, None, inputs.shape[-1]), include_top=False, weights=None
    )
    names = canonical_names(network)
    widths = {
        names[layer.name]: widened(layer.filters, settings)
        for layer in network.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    return classifier(inception_body(network, inputs, settings, widths), classes)


PATTERN = BlockPattern(r"(mixed\d+)", {"post": after("{}")}, stages=STAGES)

INCEPTION_V3 = register_family(
    Family(
        name="inception_v3",
        knobs=(WIDTH, STEM, RESIZE),
        body=body,
        sites=PATTERN.sites,
        placements=("post",),
        summary="Inception v3: 11 mixed blocks",
        stages=lambda settings: max(STAGES),
    )
)
