"""The ResNets, and what all backbones share: sites, names, image sizes, depths."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.backbones import RESIDUAL_PLACEMENTS, get_family, register_family
from hypermodels.graph.taps import tap_shape
from hypermodels.image import ImageSpec
from hypermodels.knobs import KnobError
from hypermodels.networks.network import backbone_model, build_backbone, build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.presets import PRESETS, preset
from tests.hypermodels.helpers import RESNETS, SMALLEST, TINY, images, numpy

each_resnet = pytest.mark.parametrize("name", RESNETS)
PUBLISHED = {"resnet_v1": (20, 32, 44, 56, 110, 164), "resnet_v2": (20, 56, 110, 164, 1001)}


def preset_configuration(name: str, depth: int, attention: str) -> Configuration:
    return Configuration.resolve(
        {"backbone": {"family": name, "depth": depth}, "attention": preset(attention)}
    )


def test_presets_are_settings_that_their_type_has() -> None:
    for name, settings in PRESETS.items():
        resolved = preset_configuration("resnet_v1", 8, name).attention
        assert settings.items() <= resolved.items(), name
    with pytest.raises(ValueError, match="unknown preset 'cbam'. Known presets: none, se_paper"):
        preset("cbam")


@pytest.mark.parametrize(
    ("name", "depth", "message"),
    [
        ("resnet_v1", 21, "valid depths near it are 20 and 26"),
        ("resnet_v1", 1001, "valid depths near it are 998 and 1004"),
        ("resnet_v1", 7, "below 8, the least of 6n[+]2"),
        ("resnet_v1", 2, "below 8, the least of 6n[+]2"),
        ("resnet_v2", 32, "valid depths near it are 29 and 38"),
        ("resnet_v2", 44, "valid depths near it are 38 and 47"),
        ("resnet_v2", 8, "below 11, the least of 9n[+]2"),
        ("resnet_v2", 2001, "from 1 to 2000"),
        ("resnet_v1", 20.5, "a whole number"),
        ("resnet_v1", "20", "a whole number"),
        ("resnet_v1", True, "a whole number"),
        ("resnext", 51, "valid depths near it are 47 and 56"),
        ("resnext", 5, "below 11, the least of 9n[+]2"),
        ("densenet", 6, "one of 121, 161, 169, 201, 264, 6n[+]4 .*near it are 7 and 10"),
        ("densenet", 120, "near it are 118 and 121"),
    ],
)
def test_impossible_depths_are_refused(name: str, depth: Any, message: str) -> None:
    knob = next(knob for knob in get_family(name).knobs if knob.name == "depth")
    with pytest.raises(KnobError, match=message):
        knob.accept(depth)


@each_resnet
def test_listed_depths_are_accepted(name: str) -> None:
    knob = next(knob for knob in get_family(name).knobs if knob.name == "depth")
    for depth in PUBLISHED[name]:
        assert knob.accept(depth) == depth
        assert str(depth) in knob.summary


def test_depth_is_the_number_of_weighted_layers() -> None:
    """Convolutions on the longest way, plus the dense layer."""
    for name, depth in (("resnet_v1", 14), ("resnet_v2", 20)):
        model = backbone_model({"family": name, "depth": depth}, TINY)
        weighted = [
            layer
            for layer in model.layers
            if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
            and not layer.name.endswith("_shortcut")
        ]
        assert len(weighted) == depth


@pytest.mark.parametrize("shape", [(32, 32, 3), (64, 64, 3), (33, 47, 3), (32, 32, 1), (8, 8, 3)])
@each_resnet
def test_sites_and_taps_at_any_image_size(name: str, shape: tuple[int, int, int]) -> None:
    settings = {"family": name, **SMALLEST[name]}
    image = ImageSpec(shape, 5)
    backbone = build_backbone(settings, image)
    model, sites = backbone.model, backbone.sites
    assert len({site.name for site in sites}) == len(sites) == 3
    widths = {"resnet_v1": (16, 32, 64), "resnet_v2": (64, 128, 256)}[name]
    height, width = shape[:2]
    for site in sites:
        assert tuple(site.ports) == RESIDUAL_PLACEMENTS
        if site.stage > 1:
            height, width = -(-height // 2), -(-width // 2)
        for port in ("residual", "post", "identity"):
            assert tap_shape(model, site.ports[port]) == (height, width, widths[site.stage - 1])
        assert tap_shape(model, site.ports["pre"])[2] == (16, *widths)[site.stage - 1]
    assert len({tap for site in sites for tap in site.ports.values()}) == len(sites) * 4
    reference = backbone_model(settings, ImageSpec((32, 32, 3), 5)).count_params()
    assert model.count_params() == reference - (3 - shape[2]) * 9 * 16
    scores = numpy(model(images(2, image)))
    assert scores.shape == (2, 5)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)


@each_resnet
def test_sites_follow_the_network(name: str) -> None:
    depth = {"resnet_v1": 20, "resnet_v2": 29}[name]
    sites = build_backbone({"family": name, "depth": depth}, TINY).sites
    assert [(site.stage, site.block) for site in sites] == [
        (stage, block) for stage in (1, 2, 3) for block in (1, 2, 3)
    ]
    assert [site.name for site in sites][:4] == ["s1b1", "s1b2", "s1b3", "s2b1"]


@each_resnet
def test_every_name_is_explicit(name: str) -> None:
    """Keras numbers the layers that a person did not name; two builds would differ."""

    def names(attention: str) -> list[str]:
        chosen = preset_configuration(name, int(SMALLEST[name]["depth"]), attention)
        model = build_network(chosen, TINY, seed=0)
        return [model.name, *(layer.name for layer in model.layers)] + [
            weight.path for weight in model.weights
        ]

    for attention in ("none", "cbam_paper"):
        first = names(attention)
        assert first == names(attention)
        assert len(first) == len(set(first))
        automatic = re.compile(
            r"(^|/)(conv2d|dense|batch_normalization|re_lu|add|activation|cbam|functional"
            r"|input_layer|rescaling|global_average_pooling2d)(_\d+)?(/|$)"
        )
        assert not [entry for entry in first if automatic.search(entry)]


def test_normalization_is_in_the_model() -> None:
    spec = ImageSpec((8, 8, 3), 4, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))
    model = backbone_model({"family": "resnet_v1", "depth": 8}, spec)
    assert model.input.dtype == "uint8"
    part = keras.Model(model.input, model.get_layer("normalise").output)
    raw = images(2)
    np.testing.assert_allclose(
        numpy(part(raw)), (raw - np.array([10, 20, 30])) / [2, 4, 5], rtol=1e-5, atol=1e-5
    )
    mixed = ImageSpec((8, 8, 3), 4, mean=(10.0, 20.0, 30.0), std=(2.0,))
    model = backbone_model({"family": "resnet_v1", "depth": 8}, mixed)
    part = keras.Model(model.input, model.get_layer("normalise").output)
    np.testing.assert_allclose(numpy(part(raw)), (raw - np.array([10, 20, 30])) / 2, rtol=1e-5)


def test_wrong_normalization_is_refused() -> None:
    with pytest.raises(ValueError, match="mean must have one value, or one for each of the 1"):
        ImageSpec((8, 8, 1), 4, mean=(1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="std must have one value"):
        ImageSpec((8, 8, 3), 4, std=(1.0, 2.0))
    with pytest.raises(ValueError, match="std must be above 0"):
        ImageSpec((8, 8, 3), 4, std=(0.0,))


def test_registry_of_families() -> None:
    with pytest.raises(ValueError, match="'resnet_v1' is registered twice. Known families: res"):
        register_family(get_family("resnet_v1"))
    with pytest.raises(ValueError, match="unknown backbone family 'resnet'. Known: resnet_v1"):
        get_family("resnet")
