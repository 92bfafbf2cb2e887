"""The optimizer, the learning rate, the loss: a recipe as Keras takes it."""

from __future__ import annotations

from collections.abc import Mapping

import keras

from hypermodels.fast.batch_norm import fuse_batch_norms
from hypermodels.fast.optimizer import use_fast_updates
from hypermodels.knobs import Value
from hypermodels.settings.recipe import Budget
from hypermodels.training.schedule import WarmupCosine


def learning_rate(recipe: Mapping[str, Value], budget: Budget) -> float | WarmupCosine:
    """The learning rate as a function of the optimizer's step count."""
    peak = float(recipe["learning_rate"])
    warmup = round(float(recipe["warmup"]) * budget.steps)
    cosine = recipe["schedule"] == "cosine"
    if not cosine and not warmup:
        return peak
    return WarmupCosine(peak, warmup, max(1, budget.steps - warmup) if cosine else 0)


def optimizer(recipe: Mapping[str, Value], budget: Budget) -> keras.optimizers.Optimizer:
    """Makes the optimizer; biases and batch-norm weights are not decayed."""
    averaging = float(recipe["weight_averaging"])
    shared = {
        "learning_rate": learning_rate(recipe, budget),
        "weight_decay": float(recipe["weight_decay"]) or None,
        "use_ema": averaging > 0,
        "ema_momentum": averaging or 0.99,
        # Never: the average is evaluated beside the weights and does not feed back.
        "ema_overwrite_frequency": None,
    }
    made: keras.optimizers.Optimizer
    if recipe["optimizer"] == "adamw":
        made = keras.optimizers.AdamW(**shared)
    else:
        made = keras.optimizers.SGD(
            momentum=float(recipe["momentum"]), nesterov=bool(recipe["nesterov"]), **shared
        )
    if shared["weight_decay"]:
        made.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    use_fast_updates(made)
    return made


def compile_model(model: keras.Model, recipe: Mapping[str, Value], budget: Budget) -> None:
    """Compiles `model` for one-hot labels, with the metric `accuracy`.

    Its batch norms are made ready for training; see `fast/batch_norm.py`.

    XLA is left off on TensorFlow: on CPUs it doubles the first step and gains nothing on
    these networks.
    """
    fuse_batch_norms(model)
    model.compile(
        optimizer=optimizer(recipe, budget),
        loss=keras.losses.CategoricalCrossentropy(
            label_smoothing=float(recipe["label_smoothing"])
        ),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
        jit_compile=False if keras.config.backend() == "tensorflow" else "auto",
    )
