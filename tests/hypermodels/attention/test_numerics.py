"""Values and gradients of the attention layers against NumPy references in float64."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.attention import get_mechanism
from hypermodels.knobs import Value
from tests.hypermodels.attention import reference, reference_common
from tests.hypermodels.helpers import built, maps, named_weights, numpy, randomize

POOLINGS = ("avg", "max", "avg+max")
GATES = ("sigmoid", "hard_sigmoid", "identity_start")
NORMS = ("none", "bn", "bn_zero_gamma")
ORDERS = ("channel_first", "spatial_first", "parallel")
SHAPE = (5, 6, 8)
Settings = dict[str, Value]


def settings_of(name: str, **changes: Value) -> Settings:
    own = get_mechanism(name).settings({"reduction_ratio": 1})  # wide: no weight behind dead units
    return {**own, **changes}


def channel_cases() -> Iterator[Settings]:
    for pooling, bias, gate in itertools.product(POOLINGS, (True, False), GATES):
        yield settings_of("channel", channel_pooling=pooling, mlp_bias=bias, gate=gate)


def spatial_cases() -> Iterator[Settings]:
    for pooling, size, norm, gate in itertools.product(POOLINGS, (3, 5, 7), NORMS, GATES):
        yield settings_of(
            "spatial",
            spatial_pooling=pooling,
            spatial_kernel_size=size,
            spatial_norm=norm,
            gate=gate,
        )


def cbam_cases() -> Iterator[Settings]:
    for order, norm, gate, bias in itertools.product(ORDERS, NORMS, GATES, (True, False)):
        for channel, spatial in zip(POOLINGS, reversed(POOLINGS), strict=True):
            yield settings_of(
                "cbam",
                order=order,
                spatial_norm=norm,
                gate=gate,
                mlp_bias=bias,
                channel_pooling=channel,
                spatial_pooling=spatial,
            )


def every_setting(name: str, **of: tuple[Value, ...]) -> list[Settings]:
    """The mechanism with all combinations of some knobs' values."""
    return [
        settings_of(name, **dict(zip(of, values, strict=True)))
        for values in itertools.product(*of.values())
    ]


COMBINATIONS = ("sum", "product", "max")
CASES = {
    "ese": every_setting("ese", gate=GATES),
    "eca": every_setting(
        "eca",
        eca_kernel_size=("adaptive", "3", "5", "7", "9"),
        eca_padding=("zero", "circular"),
        gate=GATES,
    ),
    "bam": every_setting(
        "bam",
        dilation=(1, 2, 4, 6),
        combine=COMBINATIONS,
        bam_norm=("output", "hidden"),
        gate=GATES,
    ),
    "scse": every_setting("scse", combine=COMBINATIONS, mlp_bias=(True, False), gate=GATES),
    "gc": every_setting(
        "gc", context_pooling=("attention", "avg"), fusion=("add", "scale"), gate=GATES
    ),
    "simam": every_setting("simam", simam_lambda=(1e-8, 1e-4, 0.1, 10.0)),
    "coord": every_setting("coord", gate=GATES, min_hidden=(1, 8), reduction_ratio=(1, 2)),
    "triplet": every_setting("triplet", spatial_kernel_size=(3, 5, 7), gate=GATES),
}


def prepared(name: str, settings: Settings) -> tuple[Any, dict[str, np.ndarray]]:
    """A layer with random weights everywhere, and the same weights in float64."""
    layer = built(get_mechanism(name), settings, SHAPE)
    randomize(layer)
    return layer, {key: numpy(weight) for key, weight in named_weights(layer).items()}


def called(layer: Any, x: np.ndarray, training: bool) -> Any:
    takes_training = "training" in inspect.signature(layer.call).parameters
    return layer(x, training=training) if takes_training else layer(x)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("se", list(channel_cases())),
        ("channel", list(channel_cases())),
        ("spatial", list(spatial_cases())),
        ("cbam", list(cbam_cases())),
        *CASES.items(),
    ],
    ids=["se", "channel", "spatial", "cbam", *CASES],
)
def test_forward(name: str, cases: list[Settings], training: bool) -> None:
    x = maps(2, *SHAPE)
    for settings in cases:
        layer, weights = prepared(name, settings)
        expected, gates = reference.attend(
            name, x.astype("float64"), weights, settings, training=training
        )
        assert float(np.abs(expected - x).max()) > 1e-2  # it does something at all
        np.testing.assert_allclose(
            numpy(called(layer, x, training)),
            expected,
            rtol=2e-5,
            atol=2e-5,
            err_msg=str(settings),
        )
        if not training:
            for key, gate in layer.gates(x).items():
                np.testing.assert_allclose(
                    numpy(gate), gates[key], rtol=2e-5, atol=2e-5, err_msg=str(settings)
                )


def test_statistics_of_batch_norm_move_in_training_alone() -> None:
    settings = settings_of("spatial", spatial_norm="bn")
    layer, weights = prepared("spatial", settings)
    x = maps(3, *SHAPE)
    called(layer, x, training=False)
    after = {key: numpy(weight) for key, weight in named_weights(layer).items()}
    for key, value in weights.items():
        np.testing.assert_array_equal(after[key], value)
    called(layer, x, training=True)
    logits = reference.spatial_logits(x.astype("float64"), weights, settings)
    after = {key: numpy(weight) for key, weight in named_weights(layer).items()}
    for key, seen in (("norm/moving_mean", logits.mean()), ("norm/moving_variance", logits.var())):
        np.testing.assert_allclose(after[key], 0.9 * weights[key] + 0.1 * seen, rtol=1e-5)


def gradient_cases() -> Iterator[tuple[str, Settings, bool]]:
    """Every value of every knob at least once, and training where it differs."""
    for name, gate in itertools.product(("ese", "eca", "scse", "coord", "triplet"), GATES):
        small = {"spatial_kernel_size": 3} if name == "triplet" else {}
        yield name, settings_of(name, gate=gate, **small), False
    for size in (5, 7):
        yield "triplet", settings_of("triplet", spatial_kernel_size=size), False
        yield "eca", settings_of("eca", eca_kernel_size=str(size), eca_padding="circular"), False
    for pooling, fusion in itertools.product(("attention", "avg"), ("add", "scale")):
        yield "gc", settings_of("gc", context_pooling=pooling, fusion=fusion), False
    for addend in (1e-4, 0.1):
        yield "simam", settings_of("simam", simam_lambda=addend), False
    for how, bias in itertools.product(COMBINATIONS, (True, False)):
        yield "scse", settings_of("scse", combine=how, mlp_bias=bias), False
    yield "scse", settings_of("scse", combine="max", gate="identity_start"), False
    yield "coord", settings_of("coord", min_hidden=1), True
    yield "triplet", settings_of("triplet", spatial_kernel_size=3), True
    for norm, training in itertools.product(("output", "hidden"), (False, True)):
        for how, dilation, gate in zip(COMBINATIONS, (1, 2, 4), GATES, strict=True):
            chosen = {"combine": how, "dilation": dilation, "bam_norm": norm, "gate": gate}
            yield "bam", settings_of("bam", reduction_ratio=3, **chosen), training
    for pooling, bias in itertools.product(POOLINGS, (True, False)):
        yield "channel", settings_of("channel", channel_pooling=pooling, mlp_bias=bias), False
    for gate in GATES:
        yield "se", settings_of("se", gate=gate), False
        yield "spatial", settings_of("spatial", gate=gate, spatial_kernel_size=5), False
    for pooling in POOLINGS:
        yield "spatial", settings_of("spatial", spatial_pooling=pooling), False
    for training in (False, True):
        for norm in ("bn", "bn_zero_gamma"):
            settings = settings_of("spatial", spatial_norm=norm, spatial_kernel_size=3)
            yield "spatial", settings, training
        for order in ORDERS:
            settings = settings_of("cbam", order=order, spatial_norm="bn", spatial_kernel_size=3)
            yield "cbam", settings, training
    for order, gate in zip(ORDERS, GATES, strict=True):
        yield "cbam", settings_of("cbam", order=order, gate=gate, spatial_kernel_size=3), False


def canceled(name: str, settings: Settings, training: bool) -> set[str]:
    """The biases that a batch norm right behind them takes away again in training."""
    if name != "bam" or not training:
        return set()
    if settings["bam_norm"] == "output":
        return {"2_bias", "project_bias"}
    return {"1_bias", "reduce_bias", "dilated_1_bias", "dilated_2_bias"}


def test_gradients_of_input_and_every_weight() -> None:
    """sum(y * r) by automatic differentiation and by central differences in float64."""
    seen: set[str] = set()
    for name, settings, training in gradient_cases():
        # Batch norm over two images gives plus and minus one, whatever they are.
        batch = 4 if name == "bam" and training else 2
        x, r = maps(batch, 4, 5, 6), maps(batch, 4, 5, 6, seed=9)
        layer = built(get_mechanism(name), settings, (4, 5, 6))
        randomize(layer)
        weights = {key: numpy(weight) for key, weight in named_weights(layer).items()}
        trainable = {
            key: weight for key, weight in named_weights(layer).items() if weight.trainable
        }
        inputs = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(called(layer, inputs, training) * r)
        wanted = [inputs, *(weight.value for weight in trainable.values())]
        for key, gradient in zip(["input", *trainable], tape.gradient(loss, wanted), strict=True):

            def loss_at(
                value: np.ndarray,
                *,
                key: str = key,
                name: str = name,
                settings: Settings = settings,
                training: bool = training,
                weights: dict[str, np.ndarray] = weights,
                x: np.ndarray = x,
                r: np.ndarray = r,
            ) -> float:
                at = x.astype("float64") if key != "input" else value
                changed = weights if key == "input" else {**weights, key: value}
                outputs, _ = reference.attend(name, at, changed, settings, training=training)
                return float((outputs * r).sum())

            start = x.astype("float64") if key == "input" else weights[key]
            expected = reference.central_differences(loss_at, start)
            scale = max(1.0, float(np.abs(expected).max()))
            gone = key in canceled(name, settings, training)
            np.testing.assert_allclose(
                numpy(gradient) / scale,
                expected / scale,
                atol=1e-3 if gone else 1e-4,  # a sum of large terms that cancel
                err_msg=f"{name} {settings}, training={training}: {key}",
            )
            # Batch norm in training takes away what a shift of all logits would do, and
            # nothing else here has no gradient.
            assert (np.abs(expected).max() > 1e-4) is not gone, (name, settings, key)
            seen.add(key)
    assert {"input", "kernel_1", "bias_2", "kernel", "spatial/norm/gamma"} <= seen
    assert {"channel_kernel", "context_kernel", "norm/beta", "dilated_2_kernel"} <= seen


def test_reference_agrees_with_a_slow_loop() -> None:
    """The reference's convolution, checked by the definition of a convolution."""
    settings = settings_of("spatial", spatial_kernel_size=3)
    _, weights = prepared("spatial", settings)
    x = maps(1, 4, 5, 8).astype("float64")
    statistics = (x.mean(axis=3)[0], x.max(axis=3)[0])
    logits = reference.spatial_logits(x, weights, settings)[0]
    for row, column in np.ndindex(4, 5):
        total = 0.0
        for place, plane in enumerate(statistics):
            for down, right in np.ndindex(3, 3):
                at = (row + down - 1, column + right - 1)
                if 0 <= at[0] < 4 and 0 <= at[1] < 5:
                    total += plane[at] * weights["kernel"][down, right, place, 0]
        assert logits[row, column] == pytest.approx(total)


def test_defaults_of_keras_that_the_reference_counts_on() -> None:
    assert keras.config.image_data_format() == "channels_last"
    layer = built(get_mechanism("spatial"), settings_of("spatial", spatial_norm="bn"), SHAPE)
    assert layer.norm.epsilon == reference_common.EPSILON
