"""Networks of `keras.applications`: their sites, their cost, their own SE, their weights."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.attention import AttentionLayer, mechanisms
from hypermodels.backbones.foreign.applications import APPLICATIONS, load
from hypermodels.errors import BackboneError
from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import Backbone, build_backbone, build_network, insertions
from hypermodels.settings.configuration import Configuration
from tests.hypermodels.helpers import images, numpy

SMALL = (
    "MobileNetV2",
    "MobileNetV3Small",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "ResNet50",
    "VGG16",
)
LARGE = (
    "ResNet50V2",
    "MobileNet",
    "MobileNetV3Large",
    "InceptionV3",
    "InceptionResNetV2",
    "Xception",
    "NASNetMobile",
    "DenseNet121",
    "ConvNeXtTiny",
)
slow = pytest.mark.slow
each = pytest.mark.parametrize(
    "name", [*SMALL, *(pytest.param(name, marks=slow) for name in LARGE)]
)
BLOCKS = {
    "MobileNetV2": 17,
    "MobileNetV3Small": 11,
    "EfficientNetB0": 16,
    "EfficientNetV2B0": 21,
    "ResNet50": 16,
    "VGG16": 5,
    "ResNet50V2": 16,
    "MobileNet": 13,
    "MobileNetV3Large": 15,
    "InceptionV3": 11,
    "InceptionResNetV2": 40,
    "Xception": 13,
    "NASNetMobile": 16,
    "DenseNet121": 58,
    "ConvNeXtTiny": 18,
}
"""Blocks of each network as its paper counts them."""
OWN_GATES = {"MobileNetV3Small": 9, "MobileNetV3Large": 8, "EfficientNetB0": 16}
OWN_GATES["EfficientNetV2B0"] = 16
IMAGE = ImageSpec((64, 64, 3), 5)
LARGER = ImageSpec((75, 75, 3), 5)
NEEDS_MORE = ("InceptionV3", "InceptionResNetV2", "Xception")
SETTINGS: dict[str, dict[str, Any]] = {
    "se": {"type": "se", "reduction_ratio": 4},
    "cbam": {"type": "cbam", "reduction_ratio": 8, "spatial_kernel_size": 3},
}


def configuration(name: str, backbone: Any = None, **attention: Any) -> Configuration:
    return Configuration.resolve(
        {"backbone": {"application": name, **(backbone or {})}, "attention": attention}
    )


def image_of(name: str) -> ImageSpec:
    """The smallest images that suit the network and most others."""
    return LARGER if name in NEEDS_MORE else IMAGE


@functools.cache
def backbone(name: str) -> Backbone:
    return build_backbone(configuration(name).backbone, image_of(name))


@functools.cache
def costs(name: str) -> CostModel:
    return CostModel(image_of(name))


def attention_layers(model: keras.Model) -> dict[str, AttentionLayer]:
    return {layer.name: layer for layer in model.layers if isinstance(layer, AttentionLayer)}


def test_every_network_is_known() -> None:
    """Every classifier that `keras.applications` exports."""
    exported = {
        name
        for name, value in vars(keras.applications).items()
        if callable(value) and name[0].isupper()
    }
    assert set(APPLICATIONS) == exported


# ---- sites and cost ---------------------------------------------------------------------


@each
def test_sites_are_the_blocks(name: str) -> None:
    sites = backbone(name).sites
    assert len(sites) == BLOCKS[name] == len({site.name for site in sites})
    assert sum(site.own is not None for site in sites) == OWN_GATES.get(name, 0)
    standard = next(iter(APPLICATIONS[name].blocks.ports))
    assert configuration(name, type="se").attention["placement"] == standard
    assert all(standard in site.ports for site in sites)
    stages = [site.stage for site in sites]
    assert stages == sorted(stages) and set(stages) == set(range(1, max(stages) + 1))
    # No port is declared that no block has.
    assert {port for site in sites for port in site.ports} == set(APPLICATIONS[name].blocks.ports)


def check_port(name: str, port: str) -> None:
    """Attention is where it is said to be; Keras and every layer's formula count the same."""
    chosen = configuration(name, **SETTINGS["se"], placement=port)
    model = build_network(chosen, image_of(name), seed=1)
    expected = [each.name for each in insertions(chosen, backbone(name).sites)]
    assert list(attention_layers(model)) == expected != []
    assert costs(name).cost(chosen) == cost_of(model)


@each
def test_the_standard_port_is_hit_once_and_counted(name: str) -> None:
    check_port(name, next(iter(APPLICATIONS[name].blocks.ports)))


@pytest.mark.parametrize(
    ("name", "port"),
    [
        pytest.param(name, port, marks=() if name == "MobileNetV3Small" else slow)
        for name in BLOCKS
        for port in list(APPLICATIONS[name].blocks.ports)[1:]
    ],
)
def test_every_other_port_is_hit_once_and_counted(name: str, port: str) -> None:
    check_port(name, port)


@pytest.mark.parametrize(
    ("name", "kind", "stages", "builtin"),
    [
        ("MobileNetV3Small", "se", "last", "keep"),
        ("MobileNetV3Small", "cbam", "1,2", "keep"),
        ("MobileNetV3Small", "cbam", "last", "remove"),
        ("MobileNetV2", "cbam", "1,2", "remove"),
        pytest.param("EfficientNetB0", "se", "last", "remove", marks=slow),
        pytest.param("EfficientNetV2B0", "cbam", "4", "keep", marks=slow),
    ],
)
def test_cost_of_some_blocks(name: str, kind: str, stages: str, builtin: str) -> None:
    chosen = configuration(name, {"builtin_attention": builtin}, **SETTINGS[kind], stages=stages)
    assert costs(name).cost(chosen) == cost_of(build_network(chosen, IMAGE, seed=1))


def test_resized_images_are_counted_at_their_new_size() -> None:
    image = ImageSpec((20, 24, 3), 5)
    chosen = configuration("MobileNetV3Small", {"resize": 32}, type="cbam")
    model = build_network(chosen, image, seed=1)
    assert model.get_layer("resize").output.shape[1:] == (32, 32, 3)
    assert CostModel(image).cost(chosen) == cost_of(model)
    assert model(images(2, image)).shape == (2, 5)


# ---- a network's own attention ----------------------------------------------------------


gated = pytest.mark.parametrize(
    "name",
    ["MobileNetV3Small", *(pytest.param(n, marks=slow) for n in OWN_GATES if n[-5:] != "Small")],
)


def gates(name: str, model: keras.Model) -> set[str]:
    """The blocks that multiply themselves by an SE gate of the network's own."""
    form = re.escape(APPLICATIONS[name].blocks.own).replace(r"\{\}", "(.+)")
    matches = (re.fullmatch(form, layer.name) for layer in model.layers)
    return {match[1] for match in matches if match}


@gated
def test_a_network_keeps_its_own_attention_where_it_gets_none(name: str) -> None:
    none = build_network(configuration(name), IMAGE, seed=1)
    assert len(gates(name, none)) == OWN_GATES[name]
    published = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=IMAGE.shape
    )
    head = none.get_layer("classes").count_params()
    assert none.count_params() - head == published.count_params()


@gated
def test_attention_replaces_it_and_is_never_stacked(name: str) -> None:
    sites = backbone(name).sites
    for port in APPLICATIONS[name].blocks.ports:
        chosen = configuration(name, **SETTINGS["cbam"], placement=port, stages="1,3")
        model = build_network(chosen, IMAGE, seed=1)
        attended = {each.site.name for each in insertions(chosen, sites)}
        had = {site.name for site in sites if site.own}
        assert attended and gates(name, model) == had - attended
        # What fed the gates that are gone is gone too: nothing is computed for nobody.
        assert not [
            layer.name
            for layer in model.layers
            for block in attended & had
            if re.match(rf"{re.escape(block)}_(se_|squeeze_excite)", layer.name)
        ]


@gated
def test_it_can_be_removed_everywhere(name: str) -> None:
    bare = build_network(configuration(name, {"builtin_attention": "remove"}), IMAGE, seed=1)
    assert gates(name, bare) == set() and not attention_layers(bare)
    kept = build_network(configuration(name), IMAGE, seed=1)
    assert bare.count_params() < kept.count_params()
    chosen = configuration(name, {"builtin_attention": "remove"}, type="se", stages="last")
    model = build_network(chosen, IMAGE, seed=1)
    assert gates(name, model) == set() and attention_layers(model)


# ---- pretrained weights -----------------------------------------------------------------


PREPROCESSING = {
    "MobileNetV2": keras.applications.mobilenet_v2,
    "MobileNetV3Small": keras.applications.mobilenet_v3,
    "EfficientNetB0": keras.applications.efficientnet,
    "EfficientNetV2B0": keras.applications.efficientnet_v2,
    "ResNet50": keras.applications.resnet,
    "VGG16": keras.applications.vgg16,
    "ResNet50V2": keras.applications.resnet_v2,
    "MobileNet": keras.applications.mobilenet,
    "MobileNetV3Large": keras.applications.mobilenet_v3,
    "InceptionV3": keras.applications.inception_v3,
    "InceptionResNetV2": keras.applications.inception_resnet_v2,
    "Xception": keras.applications.xception,
    "NASNetMobile": keras.applications.nasnet,
    "DenseNet121": keras.applications.densenet,
    "ConvNeXtTiny": keras.applications.convnext,
}


def images_that_differ(count: int, image: ImageSpec) -> np.ndarray:
    """Random images of different brightness and contrast: their features differ too."""
    raw = images(count, image).astype("float64")
    low, high = np.linspace(0, 0.6, count), np.linspace(0.5, 1, count)
    shape = (count, 1, 1, 1)
    return (raw * (high - low).reshape(shape) + 255 * low.reshape(shape)).astype("uint8")


def randomized(name: str, **options: Any) -> keras.Model:
    """A network of Keras's own as if it had been trained: its statistics suit its maps."""
    arguments = {"weights": None, "input_shape": (64, 64, 3), **options}
    model = getattr(keras.applications, name)(**arguments)
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, *statistics = layer.get_weights()
            gamma, beta = gamma * random.uniform(0.8, 1.2, gamma.shape), beta + 0.1
            layer.set_weights([gamma, beta, *statistics])
            layer.momentum = 0.0
        elif isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.1]), np.array(9)])
            layer.finalize_state()
    height, width, _ = arguments["input_shape"]
    raw = images_that_differ(4, ImageSpec((height, width, 3), 5)).astype("float32")
    model(PREPROCESSING[name].preprocess_input(raw), training=True)
    return model


def features(model: keras.Model, raw: np.ndarray) -> np.ndarray:
    """What goes into the classifier of one of our networks."""
    return numpy(keras.Model(model.input, model.get_layer("pool").output)(raw, training=False))


@pytest.mark.parametrize(
    "name",
    [
        "MobileNetV2",
        "MobileNetV3Small",
        "EfficientNetB0",
        "ResNet50",
        *(pytest.param(n, marks=slow) for n in ("EfficientNetV2B0", "VGG16", *LARGE)),
    ],
)
def test_pretrained_features_are_those_of_keras(name: str, tmp_path: Path) -> None:
    image = image_of(name)
    source = randomized(name, include_top=False, input_shape=image.shape)
    source.save_weights(tmp_path / "w.weights.h5")
    raw = images_that_differ(3, image)
    scaled = PREPROCESSING[name].preprocess_input(raw.astype("float32"))
    expected = numpy(source(scaled, training=False)).mean(axis=(1, 2))
    chosen = configuration(name, {"weights": str(tmp_path / "w.weights.h5")})
    model = build_network(chosen, image, seed=1)
    got = features(model, raw)
    assert np.abs(expected[0] - expected[2]).max() > 0.1  # features that say something
    # On their own scale: of fifty layers with random weights, the last one magnifies what
    # the order of a sum in the first one did to its last bits. On a busy machine, where
    # threads share the sums out differently, 1.04e-4 was seen; images scaled wrongly or a
    # layer with another's weights change all of it.
    np.testing.assert_allclose(got, expected, atol=3e-4 * float(np.abs(expected).max()))
    # The classifier is new: drawn from the seed, as without pretrained weights.
    scratch = build_network(configuration(name), image, seed=1)
    for ours, theirs in zip(
        model.get_layer("classes").get_weights(),
        scratch.get_layer("classes").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def save(model: keras.Model, path: Path) -> None:
    """In the format of the file's name; `.h5` is that of the files which Keras offers."""
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize(
    ("suffix", "classes"), [(".weights.h5", 7), (".keras", 7), (".h5", 5), (".h5", 1000)]
)
def test_a_file_with_its_own_classifier(suffix: str, classes: int, tmp_path: Path) -> None:
    source = randomized("MobileNetV3Small", include_top=True, classes=classes)
    save(source, tmp_path / f"w{suffix}")
    raw = images_that_differ(2, IMAGE)
    pools = (each for each in source.layers if each.name.startswith("global_average_pooling"))
    *_, last = pools  # the others are of the network's own SE
    pooled = keras.ops.reshape(last.output, (-1, last.output.shape[-1]))
    given = {"weights": str(tmp_path / f"w{suffix}")}
    model = build_network(configuration("MobileNetV3Small", given), IMAGE, seed=1)
    expected = numpy(keras.Model(source.input, pooled)(raw.astype("float32")))
    scale = float(np.abs(expected).max())
    np.testing.assert_allclose(features(model, raw), expected, rtol=0, atol=1e-4 * scale)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_a_classifier_behind_a_flattened_map(tmp_path: Path) -> None:
    """VGG's own classifier fits one image size; its convolutions fit all."""
    source = keras.applications.VGG16(weights=None, input_shape=IMAGE.shape, classes=5)
    save(source, tmp_path / "vgg.h5")
    chosen = configuration("VGG16", {"weights": str(tmp_path / "vgg.h5")})
    model = build_network(chosen, IMAGE, seed=1)
    ours = model.get_layer("block1_conv1").get_weights()[0]
    theirs = source.get_layer("block1_conv1").get_weights()[0]
    np.testing.assert_array_equal(ours, theirs[:, :, ::-1])  # RGB in the place of BGR


def test_imagenet_weights_come_from_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The download is Keras's own; its EfficientNet divides its images once more."""
    source = randomized("EfficientNetB0", include_top=False)
    source.save_weights(tmp_path / "w.weights.h5")
    asked = []

    def get_file(name: str, *arguments: Any, **options: Any) -> str:
        asked.append(name)
        return str(tmp_path / "w.weights.h5")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    published = keras.applications.EfficientNetB0(
        include_top=False, weights="imagenet", input_shape=(64, 64, 3)
    )
    raw = images_that_differ(2, IMAGE)
    expected = numpy(published(raw.astype("float32"), training=False)).mean(axis=(1, 2))
    plain = numpy(source(raw.astype("float32"), training=False)).mean(axis=(1, 2))
    assert np.abs(expected - plain).max() > 0.1
    chosen = configuration("EfficientNetB0", {"weights": "imagenet"}, type="none")
    model = build_network(chosen, IMAGE, seed=1)
    assert len(asked) == 2 and asked[0] == asked[1] and "notop" in asked[1]
    scale = float(np.abs(expected).max())  # tens of thousands: sums are shared out by threads
    assert np.abs(expected - plain).max() > 0.01 * scale
    np.testing.assert_allclose(features(model, raw), expected, rtol=0, atol=1e-4 * scale)
    assert CostModel(IMAGE).cost(chosen) == cost_of(model)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "w.weights.h5"
    randomized("MobileNetV2", include_top=False).save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def without_attention(weights: str) -> keras.Model:
    return build_network(configuration("MobileNetV2", {"weights": weights}), IMAGE, seed=1)


STARTS_AT_IDENTITY = [
    entry.name for entry in mechanisms() if any(knob.name == "gate" for knob in entry.knobs)
]


@pytest.mark.parametrize("kind", STARTS_AT_IDENTITY)
def test_gates_that_start_at_identity_leave_a_pretrained_network_as_it_is(
    kind: str, weights: str, without_attention: keras.Model
) -> None:
    raw = images_that_differ(2, IMAGE)
    chosen = configuration(
        "MobileNetV2",
        {"weights": weights},
        type=kind,
        gate="identity_start",
        blocks="first",
        stages="2,3",
    )
    attended = build_network(chosen, IMAGE, seed=1)
    assert len(attention_layers(attended)) == 2
    scores = numpy(without_attention(raw, training=False))
    assert np.abs(scores[0] - scores[1]).max() > 1e-3
    np.testing.assert_allclose(numpy(attended(raw, training=False)), scores, atol=1e-5)


def test_the_kinds_that_start_at_identity_are_many() -> None:
    assert {"se", "cbam", "eca", "coord"} <= set(STARTS_AT_IDENTITY)


def test_a_block_that_loses_its_gate_keeps_the_rest_of_its_weights(tmp_path: Path) -> None:
    source = randomized("MobileNetV3Small", include_top=False)
    source.save_weights(tmp_path / "w.weights.h5")
    given = {"weights": str(tmp_path / "w.weights.h5")}
    model = build_network(
        configuration("MobileNetV3Small", given, **SETTINGS["se"]), IMAGE, seed=1
    )
    for layer in model.layers:
        if layer.weights and layer.name not in attention_layers(model) | {"classes": None}:
            for ours, theirs in zip(
                layer.get_weights(), source.get_layer(layer.name).get_weights(), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)


# ---- what cannot be had -----------------------------------------------------------------


def refused(name: str, image: ImageSpec, **given: Any) -> str:
    with pytest.raises(BackboneError) as caught:
        build_network(configuration(name, given), image, seed=1)
    said = str(caught.value)
    assert "\n" not in said and not said.endswith(".")
    return said


@pytest.mark.parametrize(
    ("name", "least"), [("MobileNetV2", 32), ("InceptionV3", 75), ("Xception", 71)]
)
def test_images_that_are_too_small(name: str, least: int) -> None:
    said = refused(name, ImageSpec((28, 28, 3), 10))
    assert said == (
        f"{name} cannot be built on images of 28x28x3. Set backbone.resize to at least {least}"
    )
    image = ImageSpec((28, 28, 3), 10)
    assert build_backbone(configuration(name, {"resize": least}).backbone, image).sites


@pytest.mark.parametrize("name", ["ResNet50", "DenseNet121"])
def test_gray_images_where_colors_are_needed(name: str) -> None:
    said = refused(name, ImageSpec((64, 64, 1), 10))
    assert said.startswith(f"{name} takes color images of 3 channels. Received: images of 1")


@pytest.mark.parametrize("name", ["MobileNetV2", "MobileNetV3Small", "EfficientNetB0"])
def test_gray_images_where_they_will_do(name: str) -> None:
    image = ImageSpec((64, 64, 1), 4)
    model = build_network(configuration(name, type="se"), image, seed=1)
    assert model(images(2, image)).shape == (2, 4)
    assert "with pretrained weights takes color" in refused(name, image, weights="imagenet")


def test_a_missing_weights_file(tmp_path: Path) -> None:
    said = refused("MobileNetV2", IMAGE, weights=str(tmp_path / "no.h5"))
    assert "there is no file" in said and "no.h5" in said and "imagenet" in said


@pytest.mark.parametrize("suffix", [".weights.h5", ".h5", ".keras", ".txt"])
def test_a_file_that_holds_no_weights(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"no weights at all")
    said = refused("MobileNetV2", IMAGE, weights=str(path))
    assert f"{path} is no weights file of MobileNetV2" in said and "save_weights" in said


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
@pytest.mark.parametrize("suffix", [".weights.h5", ".h5"])
@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("MobileNetV3Small", "MobileNet"),
        ("MobileNetV3Small", "MobileNetV3Large"),
        pytest.param("VGG16", "VGG19", marks=slow),
        pytest.param("VGG19", "VGG16", marks=slow),
        pytest.param("ResNet50", "ResNet101", marks=slow),
    ],
)
def test_weights_of_another_network(name: str, other: str, suffix: str, tmp_path: Path) -> None:
    """Of another kind, and of the same kind but larger or smaller."""
    source = getattr(keras.applications, other)(weights=None, include_top=False)
    save(source, tmp_path / f"w{suffix}")
    said = refused(name, IMAGE, weights=str(tmp_path / f"w{suffix}"))
    assert f"is no weights file of {name}" in said


def test_a_download_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def get_file(*arguments: Any, **options: Any) -> str:
        raise Exception("URL fetch failure on https://example.org: None -- no route to host")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    said = refused("MobileNetV2", IMAGE, weights="imagenet")
    assert "ImageNet weights of MobileNetV2 cannot be had" in said
    assert "no route to host" in said and "path of a weights file" in said


def test_without_weights_nothing_is_loaded() -> None:
    model = backbone("MobileNetV2").model
    assert load(model, configuration("MobileNetV2").backbone) is None


def test_initial_weights_depend_on_seed_and_layer_alone() -> None:
    """The same for every attention setting, whatever Keras named before."""
    first = build_network(configuration("MobileNetV3Small"), IMAGE, seed=4)
    second = build_network(
        configuration("MobileNetV3Small", type="cbam", placement="residual"), IMAGE, seed=4
    )
    named = {layer.name: layer.get_weights() for layer in second.layers}
    shared = [layer for layer in first.layers if layer.weights and layer.name in named]
    assert len(shared) > 60
    for layer in shared:
        for ours, theirs in zip(layer.get_weights(), named[layer.name], strict=True):
            np.testing.assert_array_equal(ours, theirs)
