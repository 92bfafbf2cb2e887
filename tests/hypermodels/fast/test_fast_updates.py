"""The optimizers' fast updates are held to Keras's own."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.fast.optimizer import use_fast_updates
from hypermodels.training.schedule import WarmupCosine
from tests.hypermodels.helpers import maps, numpy

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "nesterov": False, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.5, "nesterov": True, "weight_decay": None}),
    ("SGD", {"momentum": 0.0, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "use_ema": True, "ema_momentum": 0.8}),
    ("AdamW", {"weight_decay": 0.1}),
]


def after_steps(name: str, settings: dict[str, Any], fast: bool, compiled: bool) -> list[Any]:
    """Every variable of a model and its optimizer after five steps."""
    rate = WarmupCosine(0.3, warmup_steps=2, decay_steps=6)
    made = getattr(keras.optimizers, name)(learning_rate=rate, **settings)
    if made.weight_decay:
        made.exclude_from_weight_decay(var_names=["bias"])
    if fast:
        use_fast_updates(made)
    weights = [keras.Variable(maps(4, 3), name="kernel"), keras.Variable(maps(3), name="bias")]
    made.build(weights)

    def step(scale: Any) -> None:
        gradients = [scale * tf.constant(maps(*weight.shape, seed=7)) for weight in weights]
        made.apply_gradients(list(zip(gradients, weights, strict=True)))

    call = tf.function(step) if compiled else step
    for number in range(5):
        call(tf.constant(number - 1.5))
    return [numpy(variable) for variable in (*weights, *made.variables)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS, ids=str)
def test_updates_are_those_of_keras(name: str, settings: dict[str, Any], compiled: bool) -> None:
    expected = after_steps(name, settings, False, compiled)
    found = after_steps(name, settings, True, compiled)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)


def operations(fast: bool) -> int:
    made = keras.optimizers.SGD(WarmupCosine(0.1, 2, 5), momentum=0.9, weight_decay=0.1)
    if fast:
        use_fast_updates(made)
    weights = [keras.Variable(maps(4, 3)) for _ in range(5)]
    made.build(weights)
    step = tf.function(lambda: made.apply([weight.value * 2.0 for weight in weights], weights))
    return len(step.get_concrete_function().graph.get_operations())


def test_few_operations_are_traced() -> None:
    assert operations(fast=True) < operations(fast=False) / 2


def test_a_subclass_keeps_its_own_update() -> None:
    class Own(keras.optimizers.SGD):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            variable.assign(variable * 2.0)

    made = Own(0.1, momentum=0.9)
    use_fast_updates(made)
    weight = keras.Variable(np.ones(2, "float32"))
    made.apply_gradients([(np.ones(2, "float32"), weight)])
    np.testing.assert_array_equal(numpy(weight), 2.0)


def test_the_schedule_can_be_saved() -> None:
    made = keras.optimizers.SGD(WarmupCosine(0.3, 4, 20))
    again = keras.optimizers.SGD.from_config(made.get_config())
    for step in (0, 3, 4, 11, 24, 99):
        assert float(again._learning_rate(step)) == float(made._learning_rate(step))
