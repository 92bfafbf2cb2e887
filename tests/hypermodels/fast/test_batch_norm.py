"""Batch norm's fast way of training is held to Keras's: values, gradients, statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.fast.batch_norm import fuse_batch_norms
from tests.hypermodels.helpers import maps, numpy


def model(layer: keras.layers.Layer, shape: tuple[int, ...]) -> keras.Model:
    inputs = keras.Input(shape)
    made = keras.Model(inputs, layer(inputs))
    random = np.random.default_rng(5)
    for weight in made.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return made


def trained(made: keras.Model, x: np.ndarray, compiled: bool) -> dict[str, np.ndarray]:
    """Outputs, gradients and statistics after a training call."""

    def step(inputs: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = made(inputs, training=True)
        sources = [inputs, *(weight.value for weight in made.trainable_weights)]
        above = tf.constant(maps(*x.shape, seed=3))
        return outputs, tape.gradient(outputs, sources, output_gradients=above)

    call = tf.function(step) if compiled else step
    outputs, gradients = call(tf.constant(x))
    return {
        "outputs": numpy(outputs),
        **{f"gradient {place}": numpy(each) for place, each in enumerate(gradients)},
        **{weight.path: numpy(weight) for weight in made.non_trainable_weights},
    }


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape", [(6, 9, 7, 4), (8, 1, 1, 5), (2, 1, 1, 1), (3, 4, 4, 33)])
@pytest.mark.parametrize(
    "settings",
    [{}, {"scale": False}, {"center": False}, {"axis": 3, "epsilon": 1.001e-5, "momentum": 0.9}],
    ids=str,
)
def test_fused_is_what_keras_computes(
    settings: dict[str, Any], shape: tuple[int, ...], compiled: bool
) -> None:
    x = maps(*shape) * 3.0 + 2.0
    plain = model(keras.layers.BatchNormalization(name="bn", **settings), shape[1:])
    fused = model(keras.layers.BatchNormalization(name="bn", **settings), shape[1:])
    fuse_batch_norms(fused)
    expected, found = trained(plain, x, compiled), trained(fused, x, compiled)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, atol=2e-5, err_msg=name)


def test_one_operation_takes_the_place_of_many() -> None:
    counts = []
    for fuse in (False, True):
        made = model(keras.layers.BatchNormalization(), (8, 8, 4))
        if fuse:
            fuse_batch_norms(made)
        call = tf.function(lambda x, made=made: made(x, training=True))
        graph = call.get_concrete_function(tf.TensorSpec((4, 8, 8, 4))).graph
        kinds = [operation.type for operation in graph.get_operations()]
        assert ("FusedBatchNormV3" in kinds) == fuse
        counts.append(len(kinds))
    assert counts[1] < counts[0]


def test_an_unknown_batch_size() -> None:
    made = model(keras.layers.BatchNormalization(momentum=0.0), (4, 4, 2))
    fuse_batch_norms(made)
    call = tf.function(lambda x: made(x, training=True))
    call.get_concrete_function(tf.TensorSpec((None, 4, 4, 2)))(tf.constant(maps(3, 4, 4, 2)))
    _, variance = made.non_trainable_weights
    np.testing.assert_allclose(
        numpy(variance), maps(3, 4, 4, 2).var(axis=(0, 1, 2)), rtol=1e-4, atol=1e-6
    )


def test_what_is_not_trained_is_left_to_keras() -> None:
    x = maps(4, 5, 5, 3)
    frozen = keras.layers.BatchNormalization()
    frozen.trainable = False
    for layer, training in ((keras.layers.BatchNormalization(), False), (frozen, True)):
        made = model(layer, x.shape[1:])
        before = [numpy(weight) for weight in made.weights]
        expected = numpy(made(x, training=training))
        fuse_batch_norms(made)
        np.testing.assert_array_equal(numpy(made(x, training=training)), expected)
        for weight, value in zip(made.weights, before, strict=True):
            np.testing.assert_array_equal(numpy(weight), value)


@pytest.mark.parametrize("settings", [{"axis": 1}, {"renorm": True}, {"synchronized": True}])
def test_other_kinds_of_batch_norm_are_left_to_keras(settings: dict[str, Any]) -> None:
    layer = keras.layers.BatchNormalization(**settings)
    made = model(layer, (4, 4, 4))
    fuse_batch_norms(made)
    assert "call" not in vars(layer)


def test_a_subclass_and_maps_of_one_dimension() -> None:
    class Own(keras.layers.BatchNormalization):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return inputs * 2.0

    made = model(Own(), (4, 4, 4))
    fuse_batch_norms(made)
    x = maps(2, 4, 4, 4)
    np.testing.assert_array_equal(numpy(made(x, training=True)), x * 2.0)
    vector = keras.layers.BatchNormalization(momentum=0.0)
    made = model(vector, (4,))
    fuse_batch_norms(made)
    made(maps(9, 1, 1, 4)[:, 0, 0], training=True)
    np.testing.assert_allclose(
        numpy(vector.moving_mean), maps(9, 1, 1, 4).mean(axis=(0, 1, 2)), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("fuse", [False, True])
def test_half_precision_keeps_its_statistics_in_float32(fuse: bool) -> None:
    layer = keras.layers.BatchNormalization(dtype="mixed_bfloat16", momentum=0.0)
    inputs = keras.Input((4, 4, 3), dtype="bfloat16")
    made = keras.Model(inputs, layer(inputs))
    if fuse:
        fuse_batch_norms(made)
    x = tf.cast(maps(8, 4, 4, 3), "bfloat16")
    outputs = made(x, training=True)
    assert outputs.dtype == "bfloat16" and layer.moving_mean.dtype == "float32"
    exact = numpy(tf.cast(x, "float32"))
    mean, variance = exact.mean(axis=(0, 1, 2)), exact.var(axis=(0, 1, 2))
    np.testing.assert_allclose(numpy(layer.moving_mean), mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(numpy(layer.moving_variance), variance, rtol=1e-4)
    expected = (exact - mean) / np.sqrt(variance + layer.epsilon)
    np.testing.assert_allclose(numpy(tf.cast(outputs, "float32")), expected, atol=2e-2)


def test_a_saved_model_has_keras_own_layers(tmp_path: Path) -> None:
    inner = model(keras.layers.BatchNormalization(name="inner"), (4, 4, 3))
    inputs = keras.Input((4, 4, 3))
    made = keras.Model(inputs, keras.layers.BatchNormalization(name="outer")(inner(inputs)))
    fuse_batch_norms(made)
    assert all("call" in vars(x) for x in (made.get_layer("outer"), inner.get_layer("inner")))
    made.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.get_layer("outer")) is keras.layers.BatchNormalization
    x = maps(2, 4, 4, 3)
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(made(x)))
