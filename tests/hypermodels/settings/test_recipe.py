"""The recipe: learning rates, decay, smoothing and averaging against formulas of their own."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model, learning_rate, optimizer
from tests.hypermodels.helpers import TINY, configuration, images, numpy

BUDGET = Budget(epochs=10, steps_per_epoch=20)


def recipe(**settings: Any) -> Any:
    return Configuration.resolve({"recipe": settings}).recipe


def rate(settings: Any, step: int, budget: Budget = BUDGET) -> float:
    made = learning_rate(settings, budget)
    return float(keras.ops.convert_to_numpy(made(step))) if callable(made) else float(made)


def expected(step: int, peak: float, warmup: int, steps: int, schedule: str) -> float:
    if step < warmup:
        return peak / warmup + (peak - peak / warmup) * step / warmup
    if schedule == "constant":
        return peak
    done = min(1.0, (step - warmup) / (steps - warmup))
    return peak * (1 + math.cos(math.pi * done)) / 2


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.5])
def test_learning_rate_at_every_step(schedule: str, share: float) -> None:
    settings = recipe(learning_rate=0.4, warmup=share, schedule=schedule)
    warmup = round(share * 200)
    for step in (0, 1, 2, 5, 9, 10, 11, 49, 50, 51, 99, 100, 101, 150, 199, 200, 201, 500):
        value = expected(step, 0.4, warmup, 200, schedule)
        assert rate(settings, step) == pytest.approx(value, rel=1e-5, abs=1e-7), step


def test_the_rate_rises_to_its_peak_and_ends_at_zero() -> None:
    settings = recipe(learning_rate=0.4, warmup=0.1)
    rates = [rate(settings, step) for step in range(201)]
    assert rates[20] == pytest.approx(0.4) == pytest.approx(max(rates))
    assert rates[200] == pytest.approx(0.0, abs=1e-8)
    assert all(a < b for a, b in zip(rates[:20], rates[1:21], strict=True))
    assert all(a > b for a, b in zip(rates[20:200], rates[21:], strict=True))


def test_tiny_budgets() -> None:
    one = Budget(epochs=1, steps_per_epoch=1)
    assert one.steps == 1
    for schedule in ("cosine", "constant"):
        for share in (0.0, 0.05, 0.5):
            settings = recipe(learning_rate=0.4, warmup=share, schedule=schedule)
            assert rate(settings, 0, one) == pytest.approx(0.4)


def test_one_schedule_through_all_rungs() -> None:
    """Training that stops and goes on walks the schedule of training that did not stop."""
    settings = recipe(learning_rate=0.4, warmup=0.1, augmentation="none")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    compile_model(model, settings, Budget(epochs=4, steps_per_epoch=5))
    x, y = np.ones((10, 3), "float32"), np.eye(2, dtype="float32")[[0, 1] * 5]
    seen = []
    for first, last in ((0, 1), (1, 3), (3, 4)):
        model.fit(x, y, batch_size=2, initial_epoch=first, epochs=last, verbose=0)
        seen.append(float(model.optimizer.learning_rate))
        assert int(model.optimizer.iterations) == 5 * last
    assert seen == pytest.approx([expected(5 * end, 0.4, 2, 20, "cosine") for end in (1, 3, 4)])


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_weight_decay_leaves_biases_and_batch_norm(name: str) -> None:
    settings = recipe(
        optimizer=name, weight_decay=0.1, learning_rate=0.5, schedule="constant", warmup=0.0
    )
    chosen = configuration(type="cbam", spatial_norm="bn", recipe=settings)
    model = build_network(chosen, TINY, seed=1)
    for weight in model.trainable_weights:
        weight.assign(keras.ops.ones(weight.shape))
    made = optimizer(settings, BUDGET)
    made.apply_gradients([(keras.ops.zeros(w.shape), w) for w in model.trainable_weights])
    shrunk, kept = set(), set()
    for weight in model.trainable_weights:
        value = numpy(weight)
        assert value.min() == value.max()
        if value.max() == 1.0:
            kept.add(weight.name)
        else:
            assert value.max() == pytest.approx(1 - 0.5 * 0.1)  # decoupled: rate times decay
            shrunk.add(weight.name)
    assert shrunk == {"kernel", "kernel_1", "kernel_2"}
    assert kept == {"bias", "bias_1", "bias_2", "gamma", "beta"}


def test_no_weight_decay() -> None:
    made = optimizer(recipe(weight_decay=0.0), BUDGET)
    weight = keras.Variable(np.ones(3), name="kernel")
    made.apply_gradients([(keras.ops.zeros(3), weight)])
    np.testing.assert_array_equal(numpy(weight), 1.0)


def test_optimizers() -> None:
    sgd = optimizer(recipe(momentum=0.8, nesterov=False), BUDGET)
    assert isinstance(sgd, keras.optimizers.SGD)
    assert (sgd.momentum, sgd.nesterov, sgd.weight_decay) == (0.8, False, 1e-3)
    adamw = optimizer(recipe(optimizer="adamw"), BUDGET)
    assert isinstance(adamw, keras.optimizers.AdamW)
    assert adamw.weight_decay == 0.05


def test_nesterov_momentum_step_by_hand() -> None:
    settings = recipe(
        learning_rate=0.1, momentum=0.9, weight_decay=0.0, warmup=0.0, schedule="constant"
    )
    made = optimizer(settings, BUDGET)
    weight = keras.Variable(np.array([1.0]), name="kernel")
    w, velocity = 1.0, 0.0
    for gradient in (2.0, -1.0, 0.5):
        made.apply_gradients([(keras.ops.convert_to_tensor([gradient], "float32"), weight)])
        velocity = 0.9 * velocity - 0.1 * gradient
        w += 0.9 * velocity - 0.1 * gradient
        assert numpy(weight)[0] == pytest.approx(w, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing(smoothing: float) -> None:
    chosen = configuration(recipe={"label_smoothing": smoothing})
    model = build_network(chosen, TINY, seed=1)
    compile_model(model, chosen.recipe, BUDGET)
    x, labels = images(6), np.array([0, 1, 2, 3, 0, 1])
    scores = numpy(model(x, training=False))
    target = np.eye(4)[labels] * (1 - smoothing) + smoothing / 4
    loss, accuracy = model.evaluate(x, np.eye(4, dtype="float32")[labels], verbose=0)
    assert loss == pytest.approx(-(target * np.log(scores)).sum(axis=1).mean(), rel=1e-4)
    assert accuracy == pytest.approx((scores.argmax(axis=1) == labels).mean())
    assert model.metrics_names[-1] != "categorical_accuracy"


def test_weight_averaging_is_kept_beside_the_weights() -> None:
    assert not optimizer(recipe(), BUDGET).use_ema
    made = optimizer(
        recipe(
            weight_averaging=0.75,
            learning_rate=0.1,
            weight_decay=0.0,
            momentum=0.0,
            nesterov=False,
            warmup=0.0,
            schedule="constant",
        ),
        BUDGET,
    )
    weight = keras.Variable(np.array([1.0]), name="kernel")
    w, average = 1.0, 1.0
    for step in range(30):
        made.apply_gradients([(keras.ops.ones(1), weight)])
        w -= 0.1
        # Keras starts the average at the first step's weights.
        average = w if step == 0 else 0.75 * average + 0.25 * w
        assert numpy(weight)[0] == pytest.approx(w, rel=1e-4, abs=1e-6)  # it never feeds back
    assert numpy(made._model_variables_moving_average[0])[0] == pytest.approx(average, rel=1e-4)


def test_the_metric_is_called_accuracy() -> None:
    chosen = configuration()
    model = build_network(chosen, TINY, seed=1)
    compile_model(model, chosen.recipe, BUDGET)
    logs = model.evaluate(images(4), np.eye(4, dtype="float32"), verbose=0, return_dict=True)
    assert set(logs) == {"loss", "accuracy"}
