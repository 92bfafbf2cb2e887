"""What every registered attention mechanism promises, checked over all of them."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from hypermodels.attention import (
    SHIFT,
    AttentionLayer,
    Mechanism,
    get_mechanism,
    mechanisms,
    register,
)
from hypermodels.attention.hidden import hidden_in, hidden_units
from hypermodels.knobs import KnobError, Value
from tests.hypermodels.helpers import (
    LAYERED,
    built,
    make,
    maps,
    named_weights,
    numpy,
    randomize,
    samples,
    variants,
    weight_macs,
)

SHAPES = [(8, 8, 16), (5, 7, 3), (1, 1, 4), (2, 9, 32)]
each_mechanism = pytest.mark.parametrize("entry", LAYERED, ids=lambda entry: entry.name)


def gate_shapes(shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    batch, height, width, channels = shape
    return {
        "channel": (batch, 1, 1, channels),
        "spatial": (batch, height, width, 1),
        "height": (batch, height, 1, channels),
        "width": (batch, 1, width, channels),
        "map": (batch, height, width, channels),
        SHIFT: (batch, 1, 1, channels),
    }


def test_shipped_mechanisms() -> None:
    names = [entry.name for entry in mechanisms()]
    assert names[0] == "none"
    assert set(names) >= {"none", "se", "channel", "spatial", "cbam"}
    assert set(names) >= {"ese", "eca", "bam", "scse", "gc", "simam", "coord", "triplet"}
    assert get_mechanism("none").layer is None
    assert get_mechanism("none").knobs == ()


def gate_range(name: str, chosen: Mapping[str, Value]) -> tuple[float, float]:
    """Least and greatest value that a gate can take, from the equations."""
    top = 2.0 if chosen.get("gate") == "identity_start" else 1.0
    if name == "bam":
        return (0.0, 2.0) if top == 2.0 else (1.0, 2.0)
    if name == "scse":
        return 0.0, {"sum": 2.0, "product": top * top, "max": top}[str(chosen["combine"])]
    return 0.0, top


@each_mechanism
def test_same_shape_out_and_gates_by_name(entry: Mechanism) -> None:
    """The output is the input times all gates, plus the shift if there is one."""
    for shape in SHAPES:
        x = maps(2, *shape)
        symbolic = keras.Input(shape)
        assert make(entry, entry.settings({}))(symbolic).shape == symbolic.shape
        for chosen in variants(entry) if shape == SHAPES[0] else [entry.settings({})]:
            layer = built(entry, chosen, shape)
            randomize(layer)
            outputs = numpy(layer(x))
            gates = layer.gates(x)
            assert outputs.shape == x.shape
            assert gates and set(gates) <= set(gate_shapes(x.shape))
            low, high = gate_range(entry.name, chosen)
            product, shift = np.ones_like(x, dtype="float64"), np.zeros(())
            for name, gate in gates.items():
                assert tuple(gate.shape) == gate_shapes(x.shape)[name]
                assert keras.backend.standardize_dtype(gate.dtype) == "float32"
                if name == SHIFT:
                    shift = numpy(gate)
                    continue
                assert low <= float(numpy(gate).min()) <= float(numpy(gate).max()) <= high
                product *= numpy(gate)
            np.testing.assert_allclose(outputs, x * product + shift, rtol=1e-5, atol=1e-6)


@each_mechanism
def test_any_height_and_width_known_at_call_time_alone(entry: Mechanism) -> None:
    inputs = keras.Input((None, None, 8))
    model = keras.Model(inputs, make(entry, entry.settings({}))(inputs))
    sized = make(entry, entry.settings({}))
    sized.build((None, None, None, 8))
    randomize(sized)
    model.layers[-1].set_weights(sized.get_weights())
    for height, width in ((6, 6), (3, 11)):
        x = maps(1, height, width, 8)
        np.testing.assert_allclose(numpy(model(x)), numpy(sized(x)), rtol=1e-5, atol=1e-6)
        traced = tf.function(model, input_signature=[tf.TensorSpec((None, None, None, 8))])
        np.testing.assert_allclose(numpy(traced(x)), numpy(sized(x)), rtol=1e-5, atol=1e-6)


@each_mechanism
def test_config_round_trip(entry: Mechanism) -> None:
    x = maps(2, 6, 6, 8)
    for chosen in variants(entry):
        layer = built(entry, chosen, (6, 6, 8))
        randomize(layer)
        config = json.loads(json.dumps(layer.get_config()))
        assert {name: config[name] for name in chosen} == chosen
        twin = type(layer).from_config(config)
        twin.build((None, 6, 6, 8))
        assert [weight.shape for weight in twin.weights] == [w.shape for w in layer.weights]
        twin.set_weights(layer.get_weights())
        np.testing.assert_array_equal(numpy(twin(x)), numpy(layer(x)))
        assert twin.get_config() == layer.get_config()


@each_mechanism
def test_parameters_and_macs_are_what_the_layer_has(entry: Mechanism) -> None:
    for shape in ((8, 8, 16), (5, 7, 3), (1, 1, 4), (4, 4, 40)):
        for chosen in variants(entry):
            layer = built(entry, chosen, shape)
            assert layer.parameters(shape, chosen) == layer.count_params(), (shape, chosen)
            assert layer.macs(shape, chosen) == weight_macs(layer, shape)


def test_macs_by_hand() -> None:
    """16 channels, ratio 8: two hidden units. 7x7 over two maps of 10x12."""
    chosen = get_mechanism("cbam").settings({"reduction_ratio": 8})
    layer: Any = get_mechanism("cbam").layer
    mlp = 2 * (16 * 2 + 2 * 16)
    convolution = 10 * 12 * 7 * 7 * 2
    assert layer.macs((10, 12, 16), chosen) == mlp + convolution
    assert layer.parameters((10, 12, 16), chosen) == 16 * 2 + 2 + 2 * 16 + 16 + 7 * 7 * 2


@each_mechanism
def test_knobs_are_the_constructor_arguments(entry: Mechanism) -> None:
    assert entry.layer is not None
    names = {knob.name for knob in entry.layer.knobs}
    assert names == {knob.name for knob in entry.knobs} and set(entry.defaults) <= names
    documented = set(re.findall(r"^    (\w+): ", inspect.getdoc(entry.layer) or "", re.M))
    assert names <= documented, "the class's docstring says what its arguments are"
    layer = make(entry, {})
    for knob in entry.knobs:
        assert getattr(layer, knob.name) == knob.default
    with pytest.raises(ValueError, match="no_such_knob"):
        entry.layer(no_such_knob=1)
    for knob in entry.knobs:
        assert knob.accept(knob.default) == knob.default
        assert knob.summary and "\n" not in knob.summary
    assert make(entry, {}).get_config().items() >= entry.settings({}).items()


@each_mechanism
def test_wrong_arguments_are_refused_by_name(entry: Mechanism) -> None:
    assert entry.layer is not None
    for knob in entry.knobs:
        wrong: Any = {"integer": 0, "boolean": "yes"}.get(knob.kind, "nonsense")
        with pytest.raises(KnobError, match=rf"{knob.name}.*Received: {wrong!r}"):
            entry.layer(**{knob.name: wrong})


@pytest.mark.parametrize(
    ("channels", "ratio", "least", "divisor", "hidden"),
    [
        (16, 32, 1, 1, 1),
        (16, 16, 1, 1, 1),
        (1, 4096, 1, 1, 1),
        (64, 16, 1, 1, 4),
        (64, 16, 8, 1, 8),
        (16, 16, 1, 8, 8),
        (64, 16, 1, 8, 8),
        (192, 16, 1, 8, 16),  # 12 is as near to 8 as to 16: up
        (176, 16, 1, 8, 8),
        (176, 16, 11, 8, 16),  # 8 is nearer to 11, but below the least
        (64, 1, 1, 1, 64),
    ],
)
def test_hidden_units(channels: int, ratio: int, least: int, divisor: int, hidden: int) -> None:
    assert hidden_units(channels, ratio, least, divisor) == hidden


@given(st.integers(1, 600), st.integers(1, 600), st.integers(1, 70), st.integers(1, 70))
def test_hidden_units_always_hold_their_bounds(
    channels: int, ratio: int, least: int, divisor: int
) -> None:
    hidden = hidden_units(channels, ratio, least, divisor)
    wanted = max(least, channels // ratio, 1)
    assert hidden >= least
    assert hidden % divisor == 0
    assert abs(hidden - wanted) < divisor


@each_mechanism
def test_ratio_above_the_channels_still_builds(entry: Mechanism) -> None:
    if all(knob.name != "reduction_ratio" for knob in entry.knobs):
        pytest.skip("it has no reduction ratio")
    chosen = entry.settings({"reduction_ratio": 4096})
    layer = built(entry, chosen, (4, 4, 16))
    hidden = hidden_in((4, 4, 16), chosen)
    assert hidden in (1, 8)  # coord's least is 8
    assert (16, hidden) in [tuple(weight.shape) for weight in layer.weights]
    assert np.isfinite(numpy(layer(maps(1, 4, 4, 16)))).all()


@each_mechanism
def test_identity_start_passes_its_input_unchanged(entry: Mechanism) -> None:
    if not any("identity_start" in knob.choices for knob in entry.knobs):
        # A shipped mechanism that has weights can start as the identity.
        assert not built(entry, entry.settings({}), (6, 6, 16)).weights
        return
    x = maps(2, 6, 6, 16)
    for chosen in variants(entry):
        layer = built(entry, {**chosen, "gate": "identity_start"}, (6, 6, 16))
        np.testing.assert_array_equal(numpy(layer(x)), numpy(x))
        if "training" in inspect.signature(layer.call).parameters:
            np.testing.assert_array_equal(numpy(layer(x, training=True)), numpy(x))


def test_a_context_that_is_added_starts_as_the_identity_whatever_the_gate() -> None:
    x = maps(2, 6, 6, 16)
    for gate in ("sigmoid", "identity_start"):
        chosen = get_mechanism("gc").settings({"fusion": "add", "gate": gate})
        np.testing.assert_array_equal(numpy(built(get_mechanism("gc"), chosen, (6, 6, 16))(x)), x)


def gradient_sums(layer: Any, x: np.ndarray, steps: int) -> list[dict[str, float]]:
    """Trains the layer alone for some steps; each step's gradient of each weight.

    A bias in front of a batch norm has none in training, where the norm takes it away;
    what counts is whether it has one in training or in inference.
    """
    target = maps(*x.shape, seed=3)
    history: list[dict[str, float]] = []
    trainable = {key: w for key, w in named_weights(layer).items() if w.trainable}
    takes_training = "training" in inspect.signature(layer.call).parameters

    def gradients(**training: bool) -> list[Any]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((layer(x, **training) - target) ** 2)
        found: list[Any] = tape.gradient(loss, [weight.value for weight in trainable.values()])
        return found

    for _ in range(steps):
        in_inference = gradients()
        in_training = gradients(training=True) if takes_training else in_inference
        sums: dict[str, float] = {}
        for (key, weight), gradient, other in zip(
            trainable.items(), in_training, in_inference, strict=True
        ):
            sums[key] = float(np.abs(numpy(gradient)).sum())
            if key.endswith("_bias"):
                sums[key] = max(sums[key], float(np.abs(numpy(other)).sum()))
            weight.assign(weight - 0.02 * gradient)
        history.append(sums)
    return history


def gradient_variants(entry: Mechanism) -> Iterator[dict[str, Value]]:
    gates = samples(next(knob for knob in entry.knobs if knob.name == "gate"))
    for chosen in variants(entry):
        for gate in gates:
            yield {**chosen, "gate": gate}


@each_mechanism
def test_every_weight_learns(entry: Mechanism) -> None:
    """No setting leaves a weight without a gradient for good, as two zeros in a row would."""
    x = maps(8, 4, 4, 16)
    if not built(entry, entry.settings({}), (4, 4, 16)).weights:
        pytest.skip("it has no weights")
    for chosen in gradient_variants(entry):
        chosen = {**chosen, **({"reduction_ratio": 2} if "reduction_ratio" in chosen else {})}
        layer = built(entry, chosen, (4, 4, 16))
        zeros = [
            name
            for name, weight in named_weights(layer).items()
            if name.endswith(("kernel", "kernel_2", "gamma")) and not numpy(weight).any()
        ]
        if entry.name == "bam" and chosen["combine"] == "max" and zeros:
            # A maximum teaches the half that is ahead until the other one is.
            history = gradient_sums(layer, x, 30)
            sums = {key: max(step[key] for step in history) for key in history[0]}
        else:
            sums = gradient_sums(layer, x, 2 if zeros else 1)[-1]
        assert sums and all(total > 1e-7 for total in sums.values()), (chosen, sums)


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


sixteen_bit = pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"], indirect=True)


@sixteen_bit
@each_mechanism
def test_mixed_precision(entry: Mechanism, policy: str) -> None:
    """16 bits out, float32 inside: statistics of a map full of 60000 do not overflow."""
    sixteen = policy.removeprefix("mixed_")
    x = np.full((1, 64, 64, 8), 60000.0)
    x[0, 0, 0] = 1.0
    narrow = keras.ops.convert_to_tensor(x, sixteen)
    for chosen in variants(entry):
        layer = built(entry, chosen, (64, 64, 8))
        randomize(layer, scale=1e-5)
        assert {w.dtype for w in layer.weights} <= {"float32"}
        outputs, gates = layer(narrow), layer.gates(narrow)
        assert keras.backend.standardize_dtype(outputs.dtype) == sixteen
        wide = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
        wide.build((None, 64, 64, 8))
        wide.set_weights(layer.get_weights())
        expected = wide.gates(keras.ops.cast(narrow, "float32"))
        for name, gate in gates.items():
            assert keras.backend.standardize_dtype(gate.dtype) == "float32"
            if "order" not in chosen or chosen["order"] == "parallel":
                np.testing.assert_allclose(numpy(gate), numpy(expected[name]), rtol=1e-5)
            else:  # the second half sees a map that was rounded to 16 bits
                np.testing.assert_allclose(numpy(gate), numpy(expected[name]), atol=0.02)
        # 2*sigmoid may pass 60000 * 1.09, the largest float16: infinite, as it must be.
        assert not np.isnan(numpy(outputs)).any()


@sixteen_bit
def test_mixed_precision_of_a_network(policy: str) -> None:
    inputs = keras.Input((8, 8, 4))
    x = inputs
    for entry in LAYERED:
        x = make(entry, entry.settings({"spatial_norm": "bn"}))(x)
        assert x.dtype == policy.removeprefix("mixed_")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D(dtype="float32")(x))
    model.compile("sgd", "mse", jit_compile=False)
    before = model.get_weights()
    losses = [model.train_on_batch(maps(4, 8, 8, 4), np.zeros((4, 4))) for _ in range(2)]
    assert np.isfinite(losses).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_registry_refuses_duplicates_and_unknown_names() -> None:
    with pytest.raises(ValueError, match="'cbam' is registered twice") as twice:
        register(Mechanism("cbam", None, "another", "-"))
    with pytest.raises(ValueError, match="unknown attention type 'cbma'") as unknown:
        get_mechanism("cbma")
    for entry in mechanisms():
        assert entry.name in str(twice.value) and entry.name in str(unknown.value)
    with pytest.raises(ValueError, match="'none' adds no layer"):
        get_mechanism("none").build({}, name="x", seed=0)
    assert get_mechanism("cbam").layer is not None  # the first stays


@each_mechanism
def test_weights_come_from_the_seed(entry: Mechanism) -> None:
    chosen = entry.settings({"gate": "sigmoid", "reduction_ratio": 2})

    def weights(seed: int) -> list[np.ndarray]:
        keras.utils.set_random_seed(np.random.randint(1000))  # must not matter
        arrays: list[np.ndarray] = built(entry, chosen, (4, 4, 16), seed).get_weights()
        return arrays

    first, again, other = weights(1), weights(1), weights(2)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    differ = [(a != b).any() for a, b in zip(first, other, strict=True) if a.std() > 0]
    assert all(differ) and (differ or not first)
    drawn = [array for array in first if array.std() > 0]
    flat = [tuple(np.round(array.ravel()[:8] / array.ravel()[0], 3)) for array in drawn]
    assert len(set(flat)) == len(flat)  # no two weights from the same seed


def test_without_a_seed_layers_differ() -> None:
    layer: Any = get_mechanism("cbam").layer
    one, two = layer(reduction_ratio=2), layer(reduction_ratio=2)
    one.build((None, 4, 4, 16))
    two.build((None, 4, 4, 16))
    assert (numpy(one.channel.kernel_1) != numpy(two.channel.kernel_1)).any()


def test_base_class_says_what_is_missing() -> None:
    class Nothing(AttentionLayer):
        pass

    with pytest.raises(TypeError, match=r"Nothing must define attend"):
        Nothing().attend(0)
    for formula in (Nothing.parameters, Nothing.macs, Nothing.signature):
        with pytest.raises(TypeError, match="must define"):
            formula((1, 1, 1), {})


def test_saved_and_loaded_by_another_process(fresh_process: dict[str, Any]) -> None:
    """One model of every mechanism and variant; `.keras` loads in a fresh process."""
    np.testing.assert_array_equal(
        fresh_process["contract_loaded"], fresh_process["contract_saved"]
    )
    assert np.isfinite(fresh_process["contract_saved"]).all()


# --- signature ----------------------------------------------------------------------


@st.composite
def two_settings(draw: st.DrawFn) -> tuple[Mechanism, tuple[int, int, int], Any, Any]:
    """A mechanism, a map, and two settings that differ in one or two knobs."""
    entry = draw(st.sampled_from(LAYERED))
    side = st.integers(1, 3)
    shape = (draw(side), draw(side), draw(st.sampled_from([1, 4, 16])))

    def value(knob: Any) -> Value:
        if knob.kind == "choice":
            chosen: Value = draw(st.sampled_from(knob.choices))
        elif knob.kind == "boolean":
            chosen = draw(st.booleans())
        elif knob.kind == "number":
            chosen = draw(st.sampled_from(samples(knob)))
        else:
            chosen = draw(st.sampled_from([1, 2, 3, 5, 8, 16, 32]))
        return chosen

    first = {knob.name: value(knob) for knob in entry.knobs}
    changed = draw(st.lists(st.sampled_from(entry.knobs), min_size=1, max_size=2))
    return entry, shape, first, {**first, **{knob.name: value(knob) for knob in changed}}


def default_of(name: str, **changes: Value) -> dict[str, Value]:
    return {**get_mechanism(name).settings({}), **changes}


@settings(max_examples=120, deadline=None)
@given(two_settings())
@example(
    (
        get_mechanism("se"),
        (4, 4, 16),
        default_of("se", reduction_ratio=16),
        default_of("se", reduction_ratio=32),
    )
)
@example(
    (
        get_mechanism("cbam"),
        (1, 1, 16),
        default_of("cbam", channel_pooling="avg"),
        default_of("cbam", channel_pooling="max"),
    )
)
@example(
    (
        get_mechanism("spatial"),
        (3, 3, 4),
        default_of("spatial", gate="identity_start", spatial_norm="bn"),
        default_of("spatial", gate="identity_start", spatial_norm="bn_zero_gamma"),
    )
)
def test_equal_identities_are_equal_networks(
    case: tuple[Mechanism, tuple[int, int, int], Any, Any],
) -> None:
    entry, shape, first, second = case
    assert entry.layer is not None
    equal = entry.layer.signature(shape, first) == entry.layer.signature(shape, second)
    event(f"equal: {equal}")
    if not equal:
        assert first != second
        return
    one, two = built(entry, first, shape), built(entry, second, shape)
    for (name, a), (_, b) in zip(
        named_weights(one).items(), named_weights(two).items(), strict=True
    ):
        assert a.shape == b.shape
        np.testing.assert_array_equal(numpy(a), numpy(b), err_msg=f"first value of {name}")
    randomize(one)
    two.set_weights(one.get_weights())
    x = maps(2, *shape)
    np.testing.assert_array_equal(numpy(one(x)), numpy(two(x)))
    assert entry.layer.parameters(shape, first) == entry.layer.parameters(shape, second)
    assert entry.layer.macs(shape, first) == entry.layer.macs(shape, second)


@pytest.mark.parametrize(
    ("shape", "one", "two", "equal"),
    [
        ((4, 4, 16), {"reduction_ratio": 16}, {"reduction_ratio": 32}, True),
        ((4, 4, 64), {"reduction_ratio": 16}, {"reduction_ratio": 32}, False),
        ((4, 4, 16), {"reduction_ratio": 4, "min_hidden": 4}, {"reduction_ratio": 4}, True),
        ((1, 1, 16), {"channel_pooling": "avg"}, {"channel_pooling": "max"}, True),
        ((1, 2, 16), {"channel_pooling": "avg"}, {"channel_pooling": "max"}, False),
        ((1, 1, 16), {"channel_pooling": "avg"}, {"channel_pooling": "avg+max"}, False),
        ((4, 4, 16), {"gate": "sigmoid"}, {"gate": "hard_sigmoid"}, False),
        ((4, 4, 16), {"mlp_bias": True}, {"mlp_bias": False}, False),
        ((4, 4, 16), {"spatial_kernel_size": 3}, {"spatial_kernel_size": 5}, False),
        ((4, 4, 16), {"order": "channel_first"}, {"order": "parallel"}, False),
        ((4, 4, 16), {"spatial_norm": "bn"}, {"spatial_norm": "bn_zero_gamma"}, False),
    ],
)
def test_a_signature_folds_what_is_one_network_and_no_more(
    shape: tuple[int, int, int], one: dict[str, Value], two: dict[str, Value], equal: bool
) -> None:
    layer: Any = get_mechanism("cbam").layer
    first, second = default_of("cbam", **one), default_of("cbam", **two)
    assert (layer.signature(shape, first) == layer.signature(shape, second)) is equal


@pytest.mark.parametrize(
    ("name", "channels", "one", "two", "equal"),
    [
        ("eca", 16, {"eca_kernel_size": "adaptive"}, {"eca_kernel_size": "3"}, True),
        ("eca", 128, {"eca_kernel_size": "adaptive"}, {"eca_kernel_size": "3"}, False),
        ("eca", 4, {"eca_padding": "zero"}, {"eca_padding": "circular"}, True),  # kernel 1
        ("eca", 16, {"eca_padding": "zero"}, {"eca_padding": "circular"}, False),
        ("ese", 16, {"gate": "sigmoid"}, {"gate": "hard_sigmoid"}, False),
        ("bam", 16, {"reduction_ratio": 16}, {"reduction_ratio": 32}, True),
        ("bam", 16, {"dilation": 1}, {"dilation": 2}, False),
        ("bam", 16, {"combine": "sum"}, {"combine": "product"}, False),
        ("bam", 16, {"bam_norm": "output"}, {"bam_norm": "hidden"}, False),
        ("scse", 16, {"combine": "sum"}, {"combine": "max"}, False),
        ("scse", 16, {"mlp_bias": True}, {"mlp_bias": False}, False),
        ("gc", 16, {"gate": "sigmoid"}, {"gate": "identity_start"}, True),  # nothing to gate
        (
            "gc",
            16,
            {"fusion": "scale", "gate": "sigmoid"},
            {"fusion": "scale", "gate": "identity_start"},
            False,
        ),
        ("gc", 16, {"fusion": "add"}, {"fusion": "scale"}, False),
        ("gc", 16, {"context_pooling": "attention"}, {"context_pooling": "avg"}, False),
        ("simam", 16, {"simam_lambda": 1e-4}, {"simam_lambda": 1e-3}, False),
        ("coord", 16, {"reduction_ratio": 2}, {"reduction_ratio": 64}, True),  # 8 at least
        ("coord", 512, {"reduction_ratio": 32}, {"reduction_ratio": 16}, False),
        ("triplet", 16, {"spatial_kernel_size": 3}, {"spatial_kernel_size": 7}, False),
    ],
)
def test_signature_of_the_other_mechanisms(
    name: str, channels: int, one: dict[str, Value], two: dict[str, Value], equal: bool
) -> None:
    layer: Any = get_mechanism(name).layer
    first, second = default_of(name, **one), default_of(name, **two)
    shape = (4, 4, channels)
    assert (layer.signature(shape, first) == layer.signature(shape, second)) is equal


def test_se_that_pools_as_channel_does_is_channel() -> None:
    se, channel = get_mechanism("se"), get_mechanism("channel")
    assert se.layer is channel.layer and se.layer is not None
    pooled = se.settings({"channel_pooling": "avg+max"})
    assert se.layer.signature((4, 4, 16), pooled) == se.layer.signature(
        (4, 4, 16), channel.settings({})
    )


# --- infeasible ------------------------------------------------------------------------


@st.composite
def settings_and_map(draw: st.DrawFn) -> tuple[Mechanism, Any, tuple[int, ...]]:
    entry = draw(st.sampled_from(LAYERED))
    chosen = {knob.name: draw(st.sampled_from(samples(knob))) for knob in entry.knobs}
    side, channels = st.integers(1, 16), st.integers(1, 80)
    return entry, chosen, (draw(side), draw(side), draw(channels))


@settings(max_examples=300, deadline=None)
@given(settings_and_map(), st.tuples(*[st.integers(0, 9)] * 3))
def test_what_fits_a_map_fits_a_larger_one(
    case: tuple[Mechanism, Any, tuple[int, ...]], more: tuple[int, ...]
) -> None:
    """Otherwise the reason given for the largest of the chosen blocks could be missing."""
    entry, chosen, shape = case
    layer: Any = entry.layer
    reason = layer.infeasible(shape, chosen)
    event(f"{entry.name} fits: {reason is None}")
    if reason is None:
        assert (
            layer.infeasible(tuple(a + b for a, b in zip(shape, more, strict=True)), chosen)
            is None
        )
    else:
        assert reason.startswith("attention.") and "of every chosen block" in reason


@each_mechanism
def test_defaults_fit_a_usual_map_and_infeasible_maps_are_told(entry: Mechanism) -> None:
    layer: Any = entry.layer
    for chosen in variants(entry):
        assert layer.infeasible((16, 16, 64), chosen) is None
    on_one_position = layer.infeasible((1, 1, 64), entry.settings({}))
    needs_positions = {"spatial", "cbam", "bam", "simam", "coord", "triplet"}
    assert (on_one_position is not None) == (entry.name in needs_positions)
    knobs = {knob.name for knob in entry.knobs}
    if "reduction_ratio" in knobs and entry.name != "coord":
        wide = {**entry.settings({}), "reduction_ratio": 65}
        assert "reduction_ratio 65 is above" in str(layer.infeasible((16, 16, 64), wide))


@given(st.integers(1, 4096))
def test_the_adaptive_kernel_of_eca_is_odd_and_never_above_the_channels(channels: int) -> None:
    layer: Any = get_mechanism("eca").layer
    chosen = get_mechanism("eca").settings({})
    assert layer.parameters((4, 4, channels), chosen) % 2 == 1
    assert layer.infeasible((4, 4, channels), chosen) is None
    assert "eca_kernel_size 9 is above" in str(
        layer.infeasible((4, 4, min(channels, 8)), {**chosen, "eca_kernel_size": "9"})
    )
