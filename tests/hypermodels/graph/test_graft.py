"""Grafting: names, shared layers, bare operations, changes, weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from hypermodels.errors import BackboneError
from hypermodels.graph.graft import bn_momentum_overrides, canonical_names, copy_weights, graft
from tests.hypermodels.helpers import consumers, fingerprint, maps, numpy


def model(side: int | None = 8) -> keras.Model:
    """Named and unnamed layers, a shared one, and bare operations."""
    inputs = keras.Input((side, side, 3), name="photo")
    shared = layers.Conv2D(3, 3, padding="same")
    x = shared(shared(inputs))
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(name="middle")(x + inputs * 2.0)
    y = layers.Conv2D(3, 1, name="side")(x)
    x = layers.Concatenate()([x, keras.ops.relu(y), keras.ops.mean(x, axis=-1, keepdims=True)])
    x = layers.Dropout(0.5)(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    return keras.Model(inputs, layers.ReLU()(x), name="example")


NAMES = [
    "conv2d_001",
    "batch_normalization_001",
    "multiply_001",
    "add_001",
    "middle",
    "side",
    "relu_001",
    "mean_001",
    "concatenate_001",
    "dropout_001",
    "conv2d_002",
    "re_lu_001",
]


def grafted(source: keras.Model, shape: tuple[int, ...] = (8, 8, 3), **kwargs: Any) -> keras.Model:
    inputs = keras.Input(shape, name="image")
    return keras.Model(inputs, graft(source, inputs, **kwargs), name="ours")


def names(found: keras.Model) -> list[str]:
    return [operation.name for operation in found.operations[1:]]


def test_names_come_from_the_model_alone() -> None:
    first = model()
    layers.Conv2D(1, 1), layers.ReLU(), layers.Concatenate()  # move Keras's counters
    second = model()
    assert set(names(first)) != set(names(second))
    for each in (first, second):
        assert sorted(names(grafted(each))) == sorted(NAMES)
        assert sorted(canonical_names(each).values()) == sorted(NAMES)
        assert canonical_names(each)["middle"] == "middle"
    assert names(grafted(first)) == names(grafted(second))


def test_grafting_a_graft_changes_no_name() -> None:
    once = grafted(model())
    assert names(grafted(once)) == names(once)


def test_it_computes_the_same_with_the_same_weights() -> None:
    source = model()
    before = fingerprint(source.get_weights())
    ours = grafted(source)
    x = maps(2, 8, 8, 3)
    assert np.abs(numpy(ours(x)) - numpy(source(x))).max() > 1e-3
    assert copy_weights(source, ours) == (
        "conv2d_001",
        "batch_normalization_001",
        "side",
        "conv2d_002",
    )
    np.testing.assert_array_equal(numpy(ours(x)), numpy(source(x)))
    assert ours.count_params() == source.count_params()
    assert not {id(layer) for layer in ours.layers} & {id(layer) for layer in source.layers}
    for weight in ours.weights:
        weight.assign(weight * 0)
    assert fingerprint(source.get_weights()) == before
    assert copy_weights(source, ours, except_for=("side", "conv2d_002")) == (
        "conv2d_001",
        "batch_normalization_001",
    )
    assert not numpy(ours.get_layer("side").kernel).any()


def test_a_shared_layer_stays_shared() -> None:
    ours = grafted(model())
    shared = ours.get_layer("conv2d_001")
    assert "conv2d_001" in consumers(ours, shared)
    assert names(ours).count("conv2d_001") == 1


def test_images_of_another_size() -> None:
    ours = grafted(model(None), (12, 10, 3))
    assert ours.output_shape == (None, 6, 5, 4)


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    ours = grafted(model())
    ours.save(tmp_path / "ours.keras")
    loaded = keras.models.load_model(tmp_path / "ours.keras")
    assert names(loaded) == names(ours)
    x = maps(2, 8, 8, 3)
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(ours(x)))


def test_changed_dropped_joined_replaced() -> None:
    source = model()
    ours = grafted(
        source,
        changed={"conv2d_002": {"strides": 1}, **bn_momentum_overrides(source)},
        dropped=("dropout_001",),
        joined={"before_both": ("side", "mean_001")},
        replaced={
            "re_lu_001": layers.Activation("tanh", name="tanh"),
            "concatenate_001": lambda tensors: layers.Concatenate(name="some")(tensors[1:]),
        },
    )
    assert ours.output_shape == (None, 8, 8, 4)
    assert ours.get_layer("batch_normalization_001").momentum == 0.9
    gone = {"dropout_001", "re_lu_001", "concatenate_001"}
    assert set(names(ours)) == set(NAMES) - gone | {"before_both", "tanh", "some"}
    assert consumers(ours, ours.get_layer("some")) == {"conv2d_002"}
    assert consumers(ours, ours.get_layer("middle")) == {"before_both"}
    assert consumers(ours, ours.get_layer("before_both")) == {"side"}  # and the bare `mean`
    assert sorted(canonical_names(source).values()) == sorted(NAMES)


@pytest.mark.parametrize(
    "arguments",
    [
        {"changed": {"conv2d_009": {}}},
        {"dropped": ("conv2d_009",)},
        {"joined": {"x": ("conv2d_009",)}},
        {"replaced": {"conv2d_009": layers.ReLU()}},
    ],
)
def test_unknown_names(arguments: dict[str, Any]) -> None:
    with pytest.raises(BackboneError, match="'example' has no layer called conv2d_009. It has 12"):
        grafted(model(), **arguments)


def test_layers_that_take_different_tensors_are_not_joined() -> None:
    with pytest.raises(
        BackboneError, match="'both' joins must take one tensor. Received: side, r"
    ):
        grafted(model(), joined={"both": ("side", "relu_001")})


def test_models_that_cannot_be_grafted() -> None:
    class Own(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    inputs = keras.Input((8, 8, 3))
    two = keras.Model([inputs, keras.Input((8, 8, 3))], layers.ReLU()(inputs))
    both = keras.Model(inputs, [layers.ReLU()(inputs), inputs])
    sequential = keras.Sequential([keras.Input((8, 8, 3)), layers.ReLU()])
    for unfit in (Own(), sequential, two, both):
        with pytest.raises(BackboneError, match=f"one input.*Received: a {type(unfit).__name__}"):
            grafted(unfit)
