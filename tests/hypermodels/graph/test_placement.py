"""Placement: where attention lands in the graph, what it does there, what is refused."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.attention import AttentionLayer, ChannelAttention, get_mechanism
from hypermodels.backbones import RESIDUAL_PLACEMENTS, Site
from hypermodels.errors import PlacementError
from hypermodels.graph.attach import attach
from hypermodels.graph.taps import Tap, tap_shape
from hypermodels.networks.insertions import chosen_sites
from hypermodels.networks.network import (
    attention_gates,
    backbone_model,
    build_backbone,
    build_network,
    insertions,
)
from tests.hypermodels.helpers import (
    RESNETS,
    SMALLEST,
    TINY,
    configuration,
    consumers,
    fingerprint,
    images,
    maps,
    numpy,
    producer,
    randomize,
)

each_resnet = pytest.mark.parametrize("name", RESNETS)


class Constant(AttentionLayer):
    """A stand-in whose gate is the same number everywhere."""

    factor = 0.5

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        return inputs * self.factor, {}


def constant(factor: float, name: str = "stub") -> Constant:
    layer = Constant(name=name)
    layer.factor = factor
    return layer


V1 = {
    # port: for each of s1b1, s1b2, s2b1, s3b2: producer and consumers
    "residual": {
        "s1b1": ("s1b1_bn2", {"s1b1_add"}),
        "s1b2": ("s1b2_bn2", {"s1b2_add"}),
        "s2b1": ("s2b1_bn2", {"s2b1_add"}),
        "s3b2": ("s3b2_bn2", {"s3b2_add"}),
    },
    "pre": {
        "s1b1": ("stem_relu", {"s1b1_conv1"}),
        "s1b2": ("s1b1_out", {"s1b2_conv1"}),
        "s2b1": ("s1b2_out", {"s2b1_conv1"}),
        "s3b2": ("s3b1_out", {"s3b2_conv1"}),
    },
    "post": {
        "s1b1": ("s1b1_out", {"s1b2_conv1", "s1b2_add"}),
        "s1b2": ("s1b2_out", {"s2b1_conv1", "s2b1_shortcut"}),
        "s2b1": ("s2b1_out", {"s2b2_conv1", "s2b2_add"}),
        "s3b2": ("s3b2_out", {"pool"}),
    },
    "identity": {
        "s1b1": ("stem_relu", {"s1b1_add"}),
        "s1b2": ("s1b1_out", {"s1b2_add"}),
        "s2b1": ("s2b1_shortcut", {"s2b1_add"}),
        "s3b2": ("s3b1_out", {"s3b2_add"}),
    },
}
V2 = {
    "residual": {
        "s1b1": ("s1b1_conv3", {"s1b1_add"}),
        "s1b2": ("s1b2_conv3", {"s1b2_add"}),
        "s2b1": ("s2b1_conv3", {"s2b1_add"}),
        "s3b2": ("s3b2_conv3", {"s3b2_add"}),
    },
    "pre": {
        "s1b1": ("stem_relu", {"s1b1_conv1"}),
        "s1b2": ("s1b1_add", {"s1b2_bn1"}),
        "s2b1": ("s1b2_add", {"s2b1_bn1"}),
        "s3b2": ("s3b1_add", {"s3b2_bn1"}),
    },
    "post": {
        "s1b1": ("s1b1_add", {"s1b2_bn1", "s1b2_add"}),
        "s1b2": ("s1b2_add", {"s2b1_bn1", "s2b1_shortcut"}),
        "s2b1": ("s2b1_add", {"s2b2_bn1", "s2b2_add"}),
        "s3b2": ("s3b2_add", {"head_bn1"}),
    },
    "identity": {
        "s1b1": ("s1b1_shortcut", {"s1b1_add"}),
        "s1b2": ("s1b1_add", {"s1b2_add"}),
        "s2b1": ("s2b1_shortcut", {"s2b1_add"}),
        "s3b2": ("s3b1_add", {"s3b2_add"}),
    },
}


@pytest.mark.parametrize("port", RESIDUAL_PLACEMENTS)
@pytest.mark.parametrize(
    ("name", "depth", "expected"), [("resnet_v1", 14, V1), ("resnet_v2", 20, V2)]
)
def test_attention_sits_where_it_is_meant_to(
    name: str, depth: int, expected: dict[str, Any], port: str
) -> None:
    """Sites are placed one at a time: neighbors would stand between a layer and its own."""
    settings = {"family": name, "depth": depth}
    plain = backbone_model(settings, TINY)
    for site in build_backbone(settings, TINY).sites:
        if site.name not in expected[port]:
            continue
        layer = ChannelAttention(name=f"{site.name}_attn", seed=1)
        model = attach(plain, {site.ports[port]: layer}, seed=1)
        placed = model.get_layer(f"{site.name}_attn")
        assert (producer(placed), consumers(model, placed)) == expected[port][site.name]
        assert len(model.layers) == len(plain.layers) + 1


@pytest.mark.parametrize("port", RESIDUAL_PLACEMENTS)
@each_resnet
def test_every_site_is_hit_once(name: str, port: str) -> None:
    chosen = configuration(name, type="se", placement=port)
    model = build_network(chosen, TINY, seed=1)
    layers = [layer for layer in model.layers if isinstance(layer, AttentionLayer)]
    assert [layer.name for layer in layers] == ["s1b1_attn", "s2b1_attn", "s3b1_attn"]
    assert all(len(layer._inbound_nodes) == 1 for layer in layers)
    plain = build_backbone(chosen.backbone, TINY)
    for layer, insertion in zip(layers, insertions(chosen, plain.sites), strict=True):
        assert layer.name == insertion.name
        assert tuple(layer.input.shape[1:]) == tap_shape(plain.model, insertion.tap)


@pytest.mark.parametrize("port", RESIDUAL_PLACEMENTS)
@each_resnet
def test_values_change_as_computed(name: str, port: str) -> None:
    """A gate of 0.25 at the last block, against the block's equation written out."""
    settings = {"family": name, **SMALLEST[name]}
    plain = backbone_model(settings, TINY)
    for layer in plain.layers:
        if layer.weights:
            randomize(layer, scale=0.3)
    site = build_backbone(settings, TINY).sites[-1]
    gated = attach(plain, {site.ports[port]: constant(0.25)}, seed=1, copy_weights=True)

    def run(layer: str, x: Any) -> Any:
        return plain.get_layer(layer)(x)

    v1 = name == "resnet_v1"
    entry = keras.Model(plain.input, plain.get_layer("s2b1_out" if v1 else "s2b1_add").output)
    x = entry(images(3))
    before = 0.25 * x if port == "pre" else x
    branch = before if v1 else run("s3b1_relu1", run("s3b1_bn1", before))
    names = (
        ("conv1", "bn1", "relu1", "conv2", "bn2")
        if v1
        else ("conv1", "bn2", "relu2", "conv2", "bn3", "relu3", "conv3")
    )
    for step in names:
        branch = run(f"s3b1_{step}", branch)
    shortcut = run("s3b1_shortcut", x)
    factor = {port: 0.25}
    total = factor.get("residual", 1.0) * branch + factor.get("identity", 1.0) * shortcut
    total = factor.get("post", 1.0) * (keras.ops.relu(total) if v1 else total)
    head = total if v1 else run("head_relu1", run("head_bn1", total))
    expected = numpy(run("classes", run("pool", head)))
    np.testing.assert_allclose(numpy(gated(images(3))), expected, rtol=1e-4, atol=1e-6)
    assert np.abs(expected - numpy(plain(images(3)))).max() > 1e-3


def test_the_original_is_left_as_it_is() -> None:
    plain = backbone_model({"family": "resnet_v1", "depth": 8}, TINY)
    config, weights = plain.get_config(), fingerprint(plain.get_weights())
    scores = numpy(plain(images(2)))
    taps = {
        Tap("s1b1_bn2", "output"): constant(0.5),
        Tap("s3b1_add", "input", 0): constant(2, "b"),
    }
    gated = attach(plain, taps, seed=1, copy_weights=True)
    for variable in gated.variables:
        variable.assign(variable * 0)
    assert plain.get_config() == config
    assert fingerprint(plain.get_weights()) == weights
    np.testing.assert_array_equal(numpy(plain(images(2))), scores)
    assert not {id(layer) for layer in plain.layers} & {id(layer) for layer in gated.layers}
    assert gated.get_layer("s1b1_add").output is not plain.get_layer("s1b1_add").output


def test_nothing_to_place_gives_a_copy() -> None:
    plain = backbone_model({"family": "resnet_v1", "depth": 8}, TINY)
    copy = attach(plain, {}, seed=1, copy_weights=True)
    assert [layer.name for layer in copy.layers] == [layer.name for layer in plain.layers]
    np.testing.assert_array_equal(numpy(copy(images(2))), numpy(plain(images(2))))


@pytest.mark.parametrize("port", RESIDUAL_PLACEMENTS)
@each_resnet
def test_identity_start_keeps_a_pretrained_network(name: str, port: str) -> None:
    settings = {"family": name, **SMALLEST[name]}
    plain = backbone_model(settings, TINY)
    for layer in plain.layers:
        if layer.weights:
            randomize(layer, scale=0.3)
    chosen = configuration(
        name, type="cbam", gate="identity_start", spatial_norm="bn", placement=port
    )
    layers: dict[Tap, AttentionLayer] = {}
    for insertion in insertions(chosen, build_backbone(settings, TINY).sites):
        layers[insertion.tap] = get_mechanism("cbam").build(
            chosen.attention, name=insertion.name, seed=2
        )
    gated = attach(plain, layers, seed=5, copy_weights=True)
    np.testing.assert_allclose(numpy(gated(images(4))), numpy(plain(images(4))), atol=1e-5)
    assert gated.count_params() > plain.count_params()


# --- refusals -----------------------------------------------------------------------


def small() -> keras.Model:
    inputs = keras.Input((8, 8, 4), name="image")
    shared = keras.layers.Conv2D(4, 3, padding="same", name="shared")
    x = keras.layers.Conv2D(4, 3, padding="same", name="once")(inputs)
    x = shared(shared(x))
    x = keras.layers.Add(name="sum")([x, inputs])
    return keras.Model(inputs, x, name="small")


def test_missing_layer() -> None:
    message = r"'small' has no layer called else, other.*4 layers, such as image, once"
    with pytest.raises(PlacementError, match=message):
        attach(
            small(),
            {
                Tap("other", "output"): constant(1),
                Tap("once", "output"): constant(1),
                Tap("else", "input"): constant(1),
            },
            seed=0,
        )


@pytest.mark.parametrize(
    ("tap", "details"),
    [
        (Tap("shared", "output"), "output 0 of shared 2 times"),
        (Tap("shared", "input"), "input 0 of shared 2 times"),
        (Tap("sum", "input", 2), "input 2 of sum 0 times"),
        (Tap("once", "input", 1), "input 1 of once 0 times"),
        (Tap("image", "output"), "output 0 of image 0 times"),
    ],
)
def test_not_passed_exactly_once(tap: Tap, details: str) -> None:
    with pytest.raises(PlacementError, match=rf"exactly once, but the model passes {details}"):
        attach(small(), {tap: constant(1), Tap("once", "output"): constant(1, "fine")}, seed=0)


def test_models_that_are_not_functional() -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    sequential = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Conv2D(2, 3, name="conv")])
    for model in (Own(), sequential, keras.Sequential()):
        with pytest.raises(PlacementError, match=f"Received: a {type(model).__name__}"):
            attach(model, {Tap("conv", "output"): constant(1)}, seed=0)


def test_tap_shape_needs_a_map_of_known_size() -> None:
    assert tap_shape(small(), Tap("sum", "input", 1)) == (8, 8, 4)
    inputs = keras.Input((None, 8, 4), name="image")
    open_ended = keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(inputs))
    with pytest.raises(PlacementError, match=r"known size. Received: .*None.* output of 'conv'"):
        tap_shape(open_ended, Tap("conv", "output"))
    flat = keras.Input((4,), name="flat")
    dense = keras.Model(flat, keras.layers.Dense(2, name="dense")(flat))
    with pytest.raises(PlacementError, match="needs a feature map"):
        tap_shape(dense, Tap("dense", "output"))


# --- stages and blocks --------------------------------------------------------------

SITES = tuple(
    Site(f"s{stage}b{block}", stage, block, {}) for stage in (1, 2, 3) for block in (1, 2, 3, 4)
)


@pytest.mark.parametrize(
    ("stages", "blocks", "expected"),
    [
        ("all", "all", "1.1 1.2 1.3 1.4 2.1 2.2 2.3 2.4 3.1 3.2 3.3 3.4"),
        ("first", "all", "1.1 1.2 1.3 1.4"),
        ("last", "first", "3.1"),
        ("2,3", "last", "2.4 3.4"),
        ("3,1", "alternate", "1.1 1.3 3.1 3.3"),
        ("all", "first", "1.1 2.1 3.1"),
        ("1,2,3", "last", "1.4 2.4 3.4"),
        ("7", "all", ""),
    ],
)
def test_stages_and_blocks(stages: str, blocks: str, expected: str) -> None:
    chosen = chosen_sites(SITES, stages=stages, blocks=blocks)
    assert " ".join(f"{site.stage}.{site.block}" for site in chosen) == expected


def test_selected_blocks_get_attention_and_no_others() -> None:
    chosen = configuration("resnet_v1", 14, type="se", stages="2,3", blocks="last")
    model = build_network(chosen, TINY, seed=1)
    names = [layer.name for layer in model.layers if isinstance(layer, AttentionLayer)]
    assert names == ["s2b2_attn", "s3b2_attn"]


# --- common random numbers ----------------------------------------------------------


def weights_by_layer(seed: int = 11, **attention: Any) -> dict[str, str]:
    model = build_network(configuration(**attention), TINY, seed=seed)
    return {layer.name: fingerprint(layer.get_weights()) for layer in model.layers}


@each_resnet
def test_the_backbone_starts_the_same_whatever_the_attention(name: str) -> None:
    plain = weights_by_layer(family=name)
    keras.utils.set_random_seed(123)
    for attention in (
        {"type": "se", "placement": "pre"},
        {"type": "cbam", "stages": "last"},
        {"type": "spatial", "placement": "identity", "blocks": "first"},
    ):
        attended = weights_by_layer(family=name, **attention)
        assert attended.items() >= plain.items()
        assert len(attended) > len(plain)


def test_other_seeds_and_other_layers_differ() -> None:
    one = build_network(configuration(type="se", reduction_ratio=2), TINY, seed=1)
    two = build_network(configuration(type="se", reduction_ratio=2), TINY, seed=2)
    kernels = {}
    for layer in one.layers:
        for weight, other in zip(layer.weights, two.get_layer(layer.name).weights, strict=True):
            if "kernel" in weight.name and "bias" not in weight.name:
                assert (numpy(weight) != numpy(other)).any(), weight.path
                kernels[weight.path] = tuple(numpy(weight).ravel()[:8])
    assert len(kernels) > 15
    assert len(set(kernels.values())) == len(kernels)


def test_the_same_weights_in_another_process(fresh_process: dict[str, Any]) -> None:
    assert fresh_process["prints_there"] == fresh_process["prints_here"]
    assert len(fresh_process["prints_here"]["cbam"]) == 3 + len(
        fresh_process["prints_here"]["none"]
    )


def test_kernels_are_drawn_as_he_et_al_do() -> None:
    model = build_network(configuration(), TINY, seed=1)
    kernel = numpy(model.get_layer("s3b1_conv2").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / (3 * 3 * 64)), rel=0.03)


# --- gates of a network ---------------------------------------------------------------


def test_attention_gates_are_those_the_network_applies() -> None:
    assert attention_gates(build_network(configuration(), TINY, seed=1), images(2)) == {}
    model = build_network(configuration(type="cbam"), TINY, seed=1)
    gates = attention_gates(model, images(2))
    assert list(gates) == ["s1b1_attn", "s2b1_attn", "s3b1_attn"]
    assert gates["s2b1_attn"]["channel"].shape == (2, 1, 1, 32)
    assert gates["s2b1_attn"]["spatial"].shape == (2, 4, 4, 1)
    layer = model.get_layer("s2b1_attn")
    seen, made = keras.Model(model.input, [layer.input, layer.output])(images(2))
    product = numpy(gates["s2b1_attn"]["channel"]) * numpy(gates["s2b1_attn"]["spatial"])
    np.testing.assert_allclose(numpy(made), numpy(seen) * product, rtol=1e-5, atol=1e-6)


def test_names_in_a_message_are_all_there() -> None:
    """A tap of a nested model is missing: the outer graph alone is searched."""
    inputs = keras.Input((8, 8, 4))
    outer = keras.Model(inputs, small()(inputs), name="outer")
    with pytest.raises(PlacementError, match=re.escape("'outer' has no layer called once")):
        attach(outer, {Tap("once", "output"): constant(1)}, seed=0)


def test_a_nested_model_is_re_seeded_and_copied_like_any_layer() -> None:
    inputs = keras.Input((8, 8, 4), name="outside")
    x = keras.layers.Conv2D(4, 1, name="before")(inputs)
    outer = keras.Model(inputs, small()(x), name="outer")
    again = attach(outer, {Tap("small", "output"): constant(0.5)}, seed=3, copy_weights=True)
    x = maps(2, 8, 8, 4)
    np.testing.assert_allclose(numpy(again(x)), 0.5 * numpy(outer(x)), rtol=1e-5, atol=1e-6)
    one, two = (attach(outer, {}, seed=3).get_weights() for _ in range(2))
    assert fingerprint(one) == fingerprint(two)
