"""The contract of backbone families, run over every one of them at its smallest."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.attention import AttentionLayer
from hypermodels.backbones import families, get_family
from hypermodels.backbones.family import RESIZE
from hypermodels.errors import BackboneError
from hypermodels.graph.attach import attach
from hypermodels.graph.graft import copy_weights
from hypermodels.graph.taps import tap_shape
from hypermodels.image import ImageSpec
from hypermodels.networks import network
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import backbone_model, build_backbone, build_network, insertions
from hypermodels.settings.configuration import Configuration
from tests.hypermodels.helpers import (
    SMALLEST,
    configuration,
    consumers,
    counted,
    fingerprint,
    images,
    maps,
    numpy,
    producer,
)
from tests.script import script

IMAGE = ImageSpec((32, 32, 3), 4)
COSTS = CostModel(IMAGE)
ATTENTION: dict[str, dict[str, Any]] = {
    "none": {"type": "none"},
    "se": {"type": "se", "reduction_ratio": 2},
    "cbam": {"type": "cbam", "reduction_ratio": 2, "spatial_norm": "bn"},
}
SLOW = ("inception_resnet_v2",)
"""Families that take more than a few seconds even at their smallest."""


NAMED = [entry for entry in families() if entry.name not in ("application", "model")]
"""Those whose sites this package names; `test_applications.py` and `test_user_model.py` have
the others, whose sites are found."""


def marked(*values: Any) -> Any:
    """A parameter whose first value is a family's name; short words are its id."""
    words = [str(value) for value in values if isinstance(value, str | int)]
    name = "-".join(word for word in words if " " not in word)
    slow = values[0] in SLOW or values[:2] in (("inception_v3", "none"), ("inception_v3", "se"))
    return pytest.param(*values, marks=[pytest.mark.slow] if slow else [], id=name)


each_family = pytest.mark.parametrize("name", [marked(name) for name in SMALLEST])
each_network = pytest.mark.parametrize(
    ("name", "attention"),
    [marked(*pair) for pair in itertools.product(SMALLEST, ATTENTION)],
)


def fresh(name: str, attention: str, **changes: Any) -> keras.Model:
    chosen = configuration(name, **{**ATTENTION[attention], **changes})
    return build_network(chosen, IMAGE, seed=7)


built = functools.cache(fresh)
"""Networks that no test changes."""


def attention_layers(model: keras.Model) -> list[AttentionLayer]:
    return [layer for layer in model.layers if isinstance(layer, AttentionLayer)]


def test_every_registered_family_is_tested() -> None:
    assert list(SMALLEST) == [entry.name for entry in NAMED]


@each_network
def test_names_and_weights_are_the_same_in_two_builds(name: str, attention: str) -> None:
    """Whatever Keras's process-wide counters stand at."""

    def prints(model: keras.Model) -> dict[str, str]:
        return {layer.name: fingerprint(layer.get_weights()) for layer in model.layers}

    def paths(model: keras.Model) -> list[str]:
        return [model.name, *(weight.path for weight in model.weights)]

    one = built(name, attention)
    keras.utils.set_random_seed(99)
    two = fresh(name, attention)
    assert list(prints(one).items()) == list(prints(two).items())
    assert paths(one) == paths(two)
    assert len(set(paths(one))) == len(paths(one))
    for layer in one.layers:
        kind = re.sub("([a-z])([A-Z])", r"\1_\2", type(layer).__name__).lower()
        assert not re.fullmatch(rf"{kind}(_\d\d?)?", layer.name), layer.name
    plain = prints(built(name, "none"))
    assert prints(one).items() >= plain.items(), "the backbone starts the same"


@each_network
def test_cost_is_what_is_built(name: str, attention: str) -> None:
    model = built(name, attention)
    chosen = configuration(name, **ATTENTION[attention])
    assert COSTS.infeasible(chosen) is None
    assert COSTS.cost(chosen) == cost_of(model) == counted(model)


PLACEMENTS = [marked(each.name, port) for each in NAMED for port in each.placements]


@pytest.mark.parametrize(("name", "placement"), PLACEMENTS)
def test_every_site_is_hit_once(name: str, placement: str) -> None:
    chosen = configuration(name, **ATTENTION["se"], placement=placement)
    plain = build_backbone(chosen.backbone, IMAGE)
    wanted = insertions(chosen, plain.sites)
    taps = [insertion.tap for insertion in wanted]
    ports = placement.split("+")
    assert (
        len(set(taps))
        == len(taps)
        == sum(port in site.ports for site in plain.sites for port in ports)
    )
    model = build_network(chosen, IMAGE, seed=7)
    layers = {layer.name: layer for layer in attention_layers(model)}
    assert set(layers) == {insertion.name for insertion in wanted}
    assert len(layers) == len(wanted) > 0
    for insertion in wanted:
        layer = layers[insertion.name]
        assert len(layer._inbound_nodes) == 1
        assert tuple(layer.input.shape[1:]) == tap_shape(plain.model, insertion.tap)
    assert COSTS.cost(chosen) == cost_of(model)


@each_family
def test_a_blank_backbone_makes_the_same_network(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of the backbone are never drawn, those of the network are the same."""
    chosen = configuration(name, **ATTENTION["cbam"])
    made = build_network(chosen, IMAGE, seed=3)
    monkeypatch.setattr(network, "without_initial_values", contextlib.nullcontext)
    expected = build_network(chosen, IMAGE, seed=3)
    assert [layer.name for layer in made.layers] == [layer.name for layer in expected.layers]
    assert fingerprint(made.get_weights()) == fingerprint(expected.get_weights())


def test_weights_that_were_never_drawn_are_not_drawn_later() -> None:
    settings = configuration("resnet_v1").backbone
    with keras.StatelessScope():  # such as draws what it made when it ends
        kept = keras.layers.Dense(2)
        kept.build((None, 3))
        blank = build_backbone(settings, IMAGE, blank=True).model
    assert all(weight._value is None for weight in blank.weights)
    assert np.isfinite(numpy(kept.kernel)).all()
    whole = build_backbone(settings, IMAGE).model
    assert [weight.shape for weight in whole.weights] == [w.shape for w in blank.weights]
    assert all(weight._value is not None for weight in whole.weights)


@each_family
def test_sites_follow_the_network(name: str) -> None:
    backbone = build_backbone(configuration(name).backbone, IMAGE)
    sites = backbone.sites
    offered = {port for each in get_family(name).placements for port in each.split("+")}
    assert {port for site in sites for port in site.ports} == offered
    stages = [site.stage for site in sites]
    assert sorted(set(stages)) == list(range(1, max(stages) + 1))
    assert [site.block for site in sites] == [
        stages[: place + 1].count(stage) for place, stage in enumerate(stages)
    ]
    assert stages == sorted(stages)
    standard = get_family(name).placements[0].split("+")[0]
    sides = [
        tap_shape(backbone.model, site.ports[standard])[0]
        for site in sites
        if standard in site.ports
    ]
    assert sides == sorted(sides, reverse=True)


@each_network
def test_one_step_reaches_every_weight_of_the_attention(name: str, attention: str) -> None:
    model = fresh(name, attention)
    model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy", run_eagerly=True)
    layers = attention_layers(model) or [
        layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)
    ]
    before = {w.path: numpy(w) for layer in layers for w in layer.trainable_weights}
    loss = model.train_on_batch(images(8, IMAGE), np.eye(4)[np.arange(8) % 4])
    assert np.isfinite(loss)
    assert before
    after = {w.path: numpy(w) for layer in layers for w in layer.trainable_weights}
    assert all(np.isfinite(values).all() for values in after.values())
    assert [path for path in before if (before[path] == after[path]).all()] == []


@each_network
def test_saved_and_loaded(name: str, attention: str, tmp_path: Path) -> None:
    model = built(name, attention)
    model.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    raw = images(2, IMAGE)
    np.testing.assert_array_equal(numpy(loaded(raw)), numpy(model(raw)))


@each_family
def test_identity_start_keeps_the_network(name: str) -> None:
    model = fresh(name, "cbam", gate="identity_start")
    raw = images(2, IMAGE)
    np.testing.assert_allclose(numpy(model(raw)), numpy(built(name, "none")(raw)), atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [marked(entry.name) for entry in NAMED if RESIZE in entry.knobs],
)
def test_images_that_are_resized_within(name: str) -> None:
    image = ImageSpec((5, 9, 1), 3)
    model = backbone_model({**configuration(name).backbone, "resize": 32}, image)
    assert cost_of(model) == counted(model)
    scores = numpy(model(images(2, image)))
    assert scores.shape == (2, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)


# --- each family's own ----------------------------------------------------------------


WHERE: list[tuple[str, str, str, str, set[str]]] = [
    # family, site, port, what the attention takes, what takes the attention's
    ("resnext", "s2b1", "residual", "s2b1_bn3", {"s2b1_add"}),
    ("resnext", "s2b1", "pre", "s1b1_out", {"s2b1_conv1"}),
    ("resnext", "s2b1", "post", "s2b1_out", {"s3b1_conv1", "s3b1_shortcut"}),
    ("resnext", "s2b1", "identity", "s2b1_shortcut_bn", {"s2b1_add"}),
    ("mobilenet", "block1", "post", "conv_pw_1_relu", {"conv_pad_2"}),
    ("mobilenet", "block3", "depthwise", "conv_dw_3_relu", {"conv_pw_3"}),
    ("mobilenet", "block13", "post", "conv_pw_13_relu", {"pool"}),
    ("densenet", "s1b1", "layer", "s1b1_growth", {"s1b1_concat"}),
    ("densenet", "s1b1", "post", "s1b1_concat", {"s1_transition_bn"}),
    (
        "densenet",
        "s1b1",
        "transition",
        "s1_transition_pool",
        {"s2b1_bottleneck_bn", "s2b1_concat"},
    ),
    ("densenet", "s3b1", "post", "s3b1_concat", {"head_bn"}),
    ("inception_v3", "mixed10", "post", "mixed10", {"pool"}),
    ("inception_resnet_v2", "block35_2", "residual", "block35_2_conv", {"block35_2_scale"}),
    ("inception_resnet_v2", "block35_2", "identity", "block35_1_ac", {"block35_2_add"}),
    (
        "inception_resnet_v2",
        "block35_2",
        "post",
        "block35_2_ac",
        {"block35_3_in", "block35_3_add"},
    ),
    ("inception_resnet_v2", "block8_10", "post", "block8_10_add", {"conv_7b"}),
]


@pytest.mark.parametrize(
    ("name", "site", "port", "takes", "taken_by"), [marked(*place) for place in WHERE]
)
def test_attention_sits_where_it_is_meant_to(
    name: str, site: str, port: str, takes: str, taken_by: set[str]
) -> None:
    backbone = build_backbone(configuration(name).backbone, IMAGE)
    tap = next(each.ports[port] for each in backbone.sites if each.name == site)
    layer = keras.layers.Activation("tanh", name="attn")
    model = attach(backbone.model, {tap: layer}, seed=1)
    placed = model.get_layer("attn")
    assert (producer(placed), consumers(model, placed)) == (takes, taken_by)


@pytest.mark.slow
def test_all_branches_of_an_inception_resnet_block_are_behind_one_tensor() -> None:
    model = built("inception_resnet_v2", "none")
    for block, branches in (("block35_1", 3), ("block17_20", 2), ("block8_10", 2)):
        entrance = model.get_layer(f"{block}_in")
        heads = consumers(model, entrance)
        assert len(heads) == branches and all(head.startswith("conv2d_") for head in heads)
        assert f"{block}_add" in consumers(model, model.get_layer(producer(entrance)))


@pytest.mark.parametrize(
    ("name", "application", "side"),
    [
        marked("mobilenet", "MobileNet", 32),
        marked("inception_v3", "InceptionV3", 75),
        marked("inception_resnet_v2", "InceptionResNetV2", 75),
    ],
)
def test_a_wrapped_network_computes_what_keras_s_does(
    name: str, application: str, side: int
) -> None:
    image = ImageSpec((side, side, 3), 4)
    settings = {"family": name, "alpha": 1.0, "stem": "imagenet"}
    ours = backbone_model(settings, image)
    original = getattr(keras.applications, application)(
        input_shape=image.shape, include_top=False, weights=None, pooling="avg"
    )
    random = np.random.default_rng(3)
    for layer in original.layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # so that order matters
            layer.set_weights(
                [weight + random.uniform(0.1, 0.3, weight.shape) for weight in layer.get_weights()]
            )
    copied = copy_weights(original, ours)
    assert len(copied) == sum(bool(layer.weights) for layer in original.layers)
    inputs = maps(2, *image.shape)
    features = keras.Model(ours.get_layer("normalise").output, ours.get_layer("pool").output)
    expected = numpy(original(inputs))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(numpy(features(inputs)), expected, rtol=1e-3, atol=1e-4)
    momenta = {layer.momentum for layer in ours.layers if hasattr(layer, "momentum")}
    assert momenta == {0.9}


def test_densenet_121_has_the_weights_of_keras_s() -> None:
    settings = {**configuration("densenet").backbone, "depth": 121, "growth_rate": 32}
    ours = backbone_model({**settings, "stem": "imagenet"}, ImageSpec((32, 32, 3), 4))
    original = keras.applications.DenseNet121(input_shape=(32, 32, 3), weights=None, classes=4)
    shapes = [
        sorted(tuple(weight.shape) for weight in model.weights) for model in (ours, original)
    ]
    assert shapes[0] == shapes[1]


def test_resnext_has_the_published_widths() -> None:
    settings = {**configuration("resnext").backbone, "depth": 29, "cardinality": 8, "width": 64}
    model = backbone_model(settings, IMAGE)
    for stage, width in ((1, 256), (2, 512), (3, 1024)):
        grouped = model.get_layer(f"s{stage}b3_conv2")
        assert (grouped.groups, grouped.filters) == (8, 256 * 2**stage)
        assert grouped.kernel.shape[2] == grouped.filters // 8
        assert model.get_layer(f"s{stage}b3_out").output.shape[-1] == width
        assert model.get_layer(f"s{stage}b3_out").output.shape[1] == 64 >> stage
    depth = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
        and not layer.name.endswith("_shortcut")
    ]
    assert len(depth) == 29


@pytest.mark.parametrize(("depth", "bottleneck"), [(40, True), (40, False), (121, True)])
def test_densenet_s_depth_is_the_number_of_weighted_layers(depth: int, bottleneck: bool) -> None:
    settings = {**configuration("densenet").backbone, "depth": depth, "bottleneck": bottleneck}
    model = backbone_model(settings, IMAGE)
    kinds = (keras.layers.Conv2D, keras.layers.Dense)
    assert sum(isinstance(layer, kinds) for layer in model.layers) == depth


MAPS = {
    # family: stem to the sides of the maps of each stage, for images of some size
    "mobilenet": {("small", 32): [32, 16, 8, 4, 2], ("imagenet", 224): [112, 56, 28, 14, 7]},
    "inception_v3": {("small", 32): [8, 3, 1], ("imagenet", 299): [35, 17, 8]},
    "inception_resnet_v2": {("small", 32): [8, 3, 1], ("imagenet", 299): [35, 17, 8]},
    "resnext": {("small", 32): [32, 16, 8], ("imagenet", 224): [56, 28, 14]},
    "densenet": {("small", 32): [32, 16, 8], ("imagenet", 224): [56, 28, 14]},
}


@pytest.mark.parametrize("name", [marked(name) for name in MAPS])
def test_stems(name: str) -> None:
    for (stem, side), sides in MAPS[name].items():
        settings = {**configuration(name).backbone, "stem": stem}
        backbone = build_backbone(settings, ImageSpec((side, side, 3), 4))
        ends = {site.stage: site for site in backbone.sites}
        found = [tap_shape(backbone.model, site.ports["post"])[:2] for site in ends.values()]
        assert found == [(each, each) for each in sides]


TOO_SMALL = [
    ("mobilenet", {}, 15, "at least 16x16. Received: 15x30. Use `resize: 16`[.]"),
    ("mobilenet", {"stem": "imagenet"}, 30, "31x31.*`resize: 31` or `stem: small`"),
    ("densenet", {}, 3, "at least 4x4. Received: 3x6. Use `resize: 4`[.]"),
    ("densenet", {"depth": 121}, 7, "at least 8x8"),
    ("densenet", {"depth": 121, "stem": "imagenet"}, 28, "29x29.*or `stem: small`"),
    ("inception_v3", {}, 24, "at least 25x25"),
    ("inception_v3", {"stem": "imagenet"}, 74, "at least 75x75. Received: 74x148"),
    ("inception_resnet_v2", {"stem": "imagenet"}, 74, "at least 75x75"),
]


@pytest.mark.parametrize(
    ("name", "changes", "side", "message"), [marked(*case) for case in TOO_SMALL]
)
def test_images_that_are_too_small(
    name: str, changes: dict[str, Any], side: int, message: str
) -> None:
    settings = {**configuration(name).backbone, **changes}
    with pytest.raises(BackboneError, match=message):
        backbone_model(settings, ImageSpec((side, 2 * side, 3), 4))
    larger = ImageSpec((2 * side, side + 1, 3), 4)
    assert min(backbone_model(settings, larger).get_layer("pool").input.shape[1:3]) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"depth": 121, "bottleneck": False},
            "depth 121 has bottlenecks.*choose a depth of 3n[+]4",
        ),
        ({"depth": 43}, "has 6n[+]4 layers. Received: `depth: 43`. Use 40 or 46"),
        ({"depth": 7}, "Received: `depth: 7`. Use 10 or 16"),
        (
            {"depth": 41, "bottleneck": False},
            "has 3n[+]4 layers. Received: `depth: 41`. Use 40 or 43",
        ),
    ],
)
def test_depths_that_do_not_go_with_the_bottlenecks(changes: dict[str, Any], message: str) -> None:
    settings = {**configuration("densenet").backbone, **changes}
    with pytest.raises(BackboneError, match=message):
        backbone_model(settings, IMAGE)
    chosen = Configuration.resolve({"backbone": settings})
    assert re.search(message, COSTS.infeasible(chosen) or "")


# --- another backend ------------------------------------------------------------------

ON_NUMPY = """
import json, sys
from search.imports.keras_in_driver import import_keras_without_tensorflow
import_keras_without_tensorflow()
import keras
from tests.hypermodels.helpers import configuration
from hypermodels.networks.cost import CostModel
from hypermodels.image import ImageSpec
from hypermodels.networks.network import build_backbone
assert keras.backend.backend() == "numpy"
image = ImageSpec((32, 32, 3), 4)
costs = CostModel(image)
found = []
for name in json.loads(sys.argv[1]):
    cost = costs.cost(configuration(name, **json.loads(sys.argv[2])))
    layers = build_backbone(configuration(name).backbone, image).model.layers
    found.append([cost.parameters, cost.macs, [layer.name for layer in layers]])
print(json.dumps(found))
"""


@pytest.mark.parametrize(
    "names",
    [
        [name for name in SMALLEST if name not in SLOW],
        pytest.param(list(SLOW), marks=pytest.mark.slow),
    ],
    ids=["quick", "slow"],
)
def test_the_numpy_backend_counts_the_same(names: list[str]) -> None:
    """The driver counts there, in a process that knows nothing of TensorFlow's."""
    printed = script(ON_NUMPY, json.dumps(names), json.dumps(ATTENTION["cbam"]))
    found = json.loads(printed.splitlines()[-1])
    for name, (parameters, macs, layers) in zip(names, found, strict=True):
        cost = COSTS.cost(configuration(name, **ATTENTION["cbam"]))
        assert (parameters, macs) == (cost.parameters, cost.macs)
        assert layers == [layer.name for layer in built(name, "none").layers]
