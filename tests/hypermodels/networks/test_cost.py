"""Costs without building: equal to what is built, and to a count of another kind."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.attention import Mechanism
from hypermodels.backbones import RESIDUAL_PLACEMENTS
from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from tests.hypermodels.helpers import LAYERED, RESNETS, TINY, configuration, counted

ODD = ImageSpec((9, 11, 3), 4)
COSTS = {image: CostModel(image) for image in (TINY, ODD)}


@pytest.mark.parametrize("name", RESNETS)
@pytest.mark.parametrize("entry", LAYERED, ids=lambda entry: entry.name)
def test_cost_is_what_is_built(entry: Mechanism, name: str) -> None:
    for number, port in enumerate(RESIDUAL_PLACEMENTS):
        image = (TINY, ODD)[number % 2]
        chosen = configuration(
            name,
            type=entry.name,
            placement=port,
            reduction_ratio=(2, 64)[number % 2],
            spatial_norm=("none", "bn")[number // 2],
            stages=("all", "2,3")[number % 2],
        )
        model = build_network(chosen, image, seed=0)
        assert COSTS[image].cost(chosen) == cost_of(model) == counted(model), chosen.attention


@pytest.mark.parametrize("name", RESNETS)
def test_cost_without_attention(name: str) -> None:
    model = build_network(configuration(name), ODD, seed=0)
    assert COSTS[ODD].cost(configuration(name)) == cost_of(model) == counted(model)


def test_macs_of_other_layers() -> None:
    """Grouped and depthwise convolutions, dilation, valid padding, dense on a map."""
    inputs = keras.Input((10, 12, 8))
    for layer, macs in (
        (keras.layers.Conv2D(16, 3, groups=4), 8 * 10 * 9 * (8 // 4) * 16),
        (keras.layers.DepthwiseConv2D(3, depth_multiplier=2), 8 * 10 * 9 * 8 * 2),
        (keras.layers.Conv2D(4, 3, dilation_rate=2, padding="same"), 10 * 12 * 9 * 8 * 4),
        (keras.layers.Conv2D(4, (1, 5), strides=2, padding="same"), 5 * 6 * 5 * 8 * 4),
        (keras.layers.Dense(3), 10 * 12 * 8 * 3),
        (keras.layers.BatchNormalization(), 0),
    ):
        assert cost_of(keras.Model(inputs, layer(inputs))).macs == macs, layer.name


def test_a_backbone_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from hypermodels.networks import description

    calls: list[Any] = []
    real = description.build_backbone
    monkeypatch.setattr(
        description,
        "build_backbone",
        lambda *args, **more: calls.append(args) or real(*args, **more),
    )
    model = CostModel(TINY)
    for attention in ({}, {"type": "se"}, {"type": "cbam"}, {"type": "cbam", "stages": "last"}):
        model.cost(configuration(**attention))
        model.signature(configuration(**attention))
    model.cost(configuration(depth=14))
    assert len(calls) == 2


# --- signature ----------------------------------------------------------------------


def signature(name: str = "resnet_v1", **settings: Any) -> str:
    return COSTS[TINY].signature(configuration(name, **settings))


def test_none_is_one_configuration() -> None:
    plain = signature(type="none")
    assert plain == signature()
    leftovers = {"reduction_ratio": 2, "placement": "pre", "stages": "last", "order": "parallel"}
    assert plain == signature(type="none", **leftovers)
    assert plain != signature(type="se")
    assert plain != signature("resnet_v2")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"type": "cbam", "stages": "1,2,3"}, {"type": "cbam", "stages": "all"}),
        ({"type": "cbam", "stages": "3"}, {"type": "cbam", "stages": "last"}),
        ({"type": "se", "channel_pooling": "avg+max"}, {"type": "channel"}),
        ({"type": "se", "blocks": "first"}, {"type": "se", "blocks": "last"}),  # one block each
        ({"type": "se", "reduction_ratio": 64}, {"type": "se", "reduction_ratio": 4096}),
        (
            {"type": "se", "stages": "first", "reduction_ratio": 16},
            {"type": "se", "stages": "first", "reduction_ratio": 32},
        ),
        (
            {"type": "spatial", "gate": "identity_start", "spatial_norm": "bn"},
            {"type": "spatial", "gate": "identity_start", "spatial_norm": "bn_zero_gamma"},
        ),
    ],
)
def test_two_names_of_one_network(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert signature(**one) == signature(**two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"type": "cbam", "stages": "2,3"}, {"type": "cbam", "stages": "all"}),
        ({"type": "se"}, {"type": "channel"}),
        ({"type": "se"}, {"type": "se", "placement": "post"}),
        ({"type": "se", "reduction_ratio": 16}, {"type": "se", "reduction_ratio": 32}),
        ({"type": "cbam"}, {"type": "cbam", "order": "parallel"}),
        ({"type": "se"}, {"type": "se", "recipe": {"learning_rate": 0.2}}),
        ({"depth": 8}, {"depth": 14}),
    ],
)
def test_different_networks_stay_different(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert signature(**one) != signature(**two)


# --- infeasible ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"type": "none"}, None),
        ({"type": "channel", "reduction_ratio": 64}, None),
        ({"type": "cbam", "reduction_ratio": 64, "stages": "1,2"}, "64 is above .*at most 32"),
        # Blocks with 64 channels have maps of 2x2, those with larger maps fewer channels.
        ({"type": "cbam", "reduction_ratio": 64}, "maps 8x8x16, 4x4x32, 2x2x64; reduction_ratio"),
        ({"type": "cbam", "reduction_ratio": 65}, "reduction_ratio 65 .*at most 64"),
        ({"type": "se", "reduction_ratio": 32, "stages": "first"}, "at most 16"),
        ({"type": "se", "reduction_ratio": 32, "stages": "1,2"}, None),
        ({"type": "spatial", "spatial_kernel_size": 7}, None),  # the first stage is 8x8
        (
            {"type": "spatial", "spatial_kernel_size": 5, "stages": "2,3"},
            "spatial_kernel_size 5 is larger .*at most 4x4",
        ),
        ({"type": "spatial", "spatial_kernel_size": 3, "stages": "2,3"}, None),
        ({"type": "spatial", "spatial_kernel_size": 3, "stages": "last"}, "at most 2x2"),
        ({"type": "triplet", "stages": "2,3"}, "spatial_kernel_size 7 is larger .*4x4"),
        ({"type": "bam", "dilation": 4}, "dilation 4 makes .* 9x9, larger .*at most 8x8"),
        ({"type": "bam", "dilation": 2}, None),
        ({"type": "bam", "dilation": 1, "reduction_ratio": 65}, "reduction_ratio 65 .*most 64"),
        ({"type": "scse", "reduction_ratio": 65}, "reduction_ratio 65 .*most 64"),
        ({"type": "gc", "stages": "first"}, "16 leaves .* one hidden unit.*at most 16"),
        ({"type": "gc", "stages": "1,2"}, None),
        ({"type": "coord", "reduction_ratio": 4096}, None),
        ({"type": "se", "stages": "4"}, "names stage 4, but the backbone has 3"),
        ({"type": "se", "stages": "1,4,5"}, "names stage 4, 5, but"),
    ],
)
def test_infeasible(settings: dict[str, Any], reason: str | None) -> None:
    received = COSTS[TINY].infeasible(configuration(**settings))
    if reason is None:
        assert received is None
    else:
        assert received is not None
        assert re.search(reason, received), received


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            {"type": "se", "channel_pooling": "avg+max", "reduction_ratio": 16},
            {"type": "channel", "reduction_ratio": 16},
        ),
        (
            {"type": "cbam", "reduction_ratio": 64, "stages": "all"},
            {"type": "cbam", "reduction_ratio": 4096, "stages": "1,2,3"},
        ),
    ],
)
def test_one_network_under_two_names_starts_from_the_same_weights(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    image = ImageSpec((8, 8, 3), 3)
    first, second = (
        Configuration.resolve({"backbone": {"depth": 8}, "attention": attention})
        for attention in (one, other)
    )
    costs = CostModel(image)
    assert costs.signature(first) == costs.signature(second)
    weights = [
        build_network(configuration, image, seed=1).get_weights()
        for configuration in (first, second)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))


def test_inert_recipe_knobs_do_not_make_another_configuration() -> None:
    costs = CostModel(ImageSpec((8, 8, 3), 3))

    def signature(**recipe: Any) -> str:
        return costs.signature(Configuration.resolve({"backbone": {"depth": 8}, "recipe": recipe}))

    assert signature(augmentation="flip", crop_padding=2) == signature(augmentation="flip")
    assert signature(crop_padding=2) != signature()
    assert signature(momentum=0.0, nesterov=False) == signature(momentum=0.0)
    assert signature(nesterov=False) != signature()
