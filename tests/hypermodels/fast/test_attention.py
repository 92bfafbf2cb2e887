"""The fast way of training is held to the plain definition: values, gradients, statistics."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.attention import AttentionLayer, get_mechanism
from hypermodels.fast import attention as fused
from hypermodels.fast.convolution import WIDEST, convolve_to_one, convolve_to_one_banded
from hypermodels.knobs import Value
from tests.hypermodels.helpers import maps, numpy

POOLINGS = ("avg", "max", "avg+max")
SHAPE = (9, 7, 6)


def cases() -> Iterator[tuple[str, dict[str, Value]]]:
    for pooling, gate in itertools.product(POOLINGS, ("sigmoid", "identity_start")):
        yield "channel", {"channel_pooling": pooling, "gate": gate}
    for pooling, size, norm in itertools.product(POOLINGS, (3, 5, 7), ("none", "bn")):
        yield (
            "spatial",
            {"spatial_pooling": pooling, "spatial_kernel_size": size, "spatial_norm": norm},
        )
    for order, (one, other), norm in itertools.product(
        ("channel_first", "spatial_first", "parallel"),
        (("avg+max", "avg+max"), ("avg", "max"), ("max", "avg")),
        ("none", "bn", "bn_zero_gamma"),
    ):
        yield (
            "cbam",
            {
                "order": order,
                "channel_pooling": one,
                "spatial_pooling": other,
                "spatial_norm": norm,
                "gate": "hard_sigmoid" if norm == "bn" else "sigmoid",
            },
        )


def with_ties(x: np.ndarray) -> np.ndarray:
    """What a ReLU leaves: dead channels, dead positions, maxima that several share."""
    x = np.maximum(x, 0.0)
    x[..., 2] = 0.0
    x[:, 3] = 0.0
    x[0, 4, 5, :4] = x[0, 5, 5, :4] = 9.0
    return x


def gradients(
    layer: AttentionLayer, call: Callable[[Any], Any], x: np.ndarray
) -> dict[str, np.ndarray]:
    """Output, gradients and what the call left in the layer's statistics."""
    above = tf.constant(maps(*x.shape, seed=3))
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = call(inputs)
    sources = [inputs, *(weight.value for weight in layer.trainable_weights)]
    found = tape.gradient(outputs, sources, output_gradients=above)
    names = ["input", *(weight.path for weight in layer.trainable_weights)]
    return {
        "output": numpy(outputs),
        **{name: numpy(gradient) for name, gradient in zip(names, found, strict=True)},
        **{f"after {w.path}": numpy(w) for w in layer.non_trainable_weights},
    }


@pytest.mark.parametrize("prepared", [lambda x: x, with_ties], ids=["distinct", "ties"])
@pytest.mark.parametrize(
    ("name", "settings"), list(cases()), ids=lambda part: str(part)[:90].replace("'", "")
)
def test_fused_is_the_plain_definition(
    name: str, settings: dict[str, Value], prepared: Callable[[np.ndarray], np.ndarray]
) -> None:
    layer = get_mechanism(name).build({**settings, "reduction_ratio": 2}, name="attn", seed=1)
    x = prepared(maps(4, *SHAPE))
    layer.build(x.shape)
    random = np.random.default_rng(2)
    for weight in layer.weights:
        weight.assign(np.abs(random.normal(0.2, 0.2, weight.shape)) + 0.05)
    before = [np.array(weight) for weight in layer.weights]
    training = {} if name == "channel" else {"training": True}
    assert fused.usable(tf.constant(x), training=True)
    plain = gradients(layer, lambda inputs: layer.attend(inputs, **training)[0], x)
    for weight, value in zip(layer.weights, before, strict=True):
        weight.assign(value)
    fast = gradients(layer, tf.function(lambda inputs: layer(inputs, training=True)), x)
    assert plain.keys() == fast.keys()
    for key, expected in plain.items():
        scale = np.abs(expected).max() + 1e-3
        # Batch norm's gradients are small differences of large sums, in float32.
        atol = 1e-4 if "norm/" in key else 1e-5
        np.testing.assert_allclose(fast[key] / scale, expected / scale, atol=atol, err_msg=key)


@pytest.mark.parametrize("shape", [(32, 32), (5, 9), (1, 1), (2, 7), (3, WIDEST)])
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_banded_product_is_the_convolution(
    shape: tuple[int, int], size: int, channels: int
) -> None:
    x, kernel = maps(2, *shape, channels), maps(size, size, channels, 1, seed=1)
    found = []
    for convolve in (convolve_to_one, convolve_to_one_banded):
        inputs, weights = tf.constant(x), tf.constant(kernel)
        with tf.GradientTape() as tape:
            tape.watch([inputs, weights])
            outputs = convolve(inputs, weights)
        above = tf.constant(maps(2, *shape, 1, seed=2))
        found.append([outputs, *tape.gradient(outputs, [inputs, weights], above)])
    for plain, banded in zip(*found, strict=True):
        expected = numpy(plain)
        np.testing.assert_allclose(numpy(banded), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["channel", "spatial", "cbam"])
def test_half_precision_is_computed_in_float32(name: str) -> None:
    layer = get_mechanism(name).build({"reduction_ratio": 2}, name="attn", seed=1)
    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    x = tf.cast(maps(4, *SHAPE), "bfloat16")
    above = tf.cast(maps(4, *SHAPE, seed=3), "bfloat16")
    layer.build(x.shape)
    half.build(x.shape)
    half.set_weights(layer.get_weights())
    found = []
    for each, kind in ((layer, "float32"), (half, "bfloat16")):
        inputs = tf.cast(x, kind)
        assert fused.usable(inputs, training=True)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = each(inputs, training=True)
        gradient = tape.gradient(outputs, inputs, tf.cast(above, kind))
        assert outputs.dtype == gradient.dtype == kind
        found.append((outputs, gradient))
    for exact, rounded in zip(*found, strict=True):
        np.testing.assert_array_equal(numpy(tf.cast(exact, "bfloat16")), numpy(rounded))


def test_only_training_on_known_sizes_goes_the_fast_way() -> None:
    x = tf.zeros((2, 8, 8, 4))
    assert fused.usable(x, True)
    assert fused.usable(tf.cast(x, "bfloat16"), True)
    for inputs, training in (
        (x, False),
        (x, None),
        (tf.cast(x, "float16"), True),
        (tf.cast(x, "float64"), True),
        (tf.zeros((2, 4, WIDEST + 1, 4)), True),
        (keras.Input((8, 8, 4)), True),
    ):
        assert not fused.usable(inputs, training)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 4))])
    def unknown(inputs: Any) -> bool:
        assert not fused.usable(inputs, True)
        return True

    unknown(x)


def test_what_is_exported_has_plain_operations_alone(tmp_path: Any) -> None:
    inputs = keras.Input((8, 8, 4))
    layer = get_mechanism("cbam").build({"reduction_ratio": 2}, name="attn", seed=1)
    model = keras.Model(inputs, layer(inputs))
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    graph = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"].graph
    definition = graph.as_graph_def(add_shapes=False)
    operations = [node.op for node in definition.node]
    compiled = [
        function.signature.name
        for function in definition.library.function
        if "_XlaMustCompile" in function.attr and function.attr["_XlaMustCompile"].b
    ]
    for function in definition.library.function:
        operations += [node.op for node in function.node_def]
    assert not compiled
    assert operations.count("Conv2D") == 1
    assert "IdentityN" not in operations  # which a custom gradient leaves behind
