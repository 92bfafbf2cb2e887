"""How a network is trained: optimizer, schedule, loss, weight averaging, augmentation.

One schedule spans the full budget: a trial of one epoch walks the first part of the very
warm-up and cosine that a trial of the full budget walks, so a promoted trial continues
where it stood instead of restarting its learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hypermodels.knobs import Knob, Section, Value

_SCHEDULE = (
    Knob(
        "schedule",
        "choice",
        "cosine",
        "learning rate over the full budget, after the warm-up",
        choices=("cosine", "constant"),
    ),
    Knob(
        "warmup",
        "number",
        0.05,
        "share of the full budget over which the learning rate rises from zero",
        minimum=0.0,
        maximum=0.5,
    ),
)
_REGULARIZATION = (
    Knob(
        "label_smoothing",
        "number",
        0.0,
        "share of a label's weight spread over all classes",
        minimum=0.0,
        maximum=0.5,
        label="smoothing=",
    ),
    Knob(
        "augmentation",
        "choice",
        "flip+crop",
        "random horizontal flip, and random crop of the padded image",
        choices=("none", "flip", "flip+crop"),
    ),
    Knob(
        "crop_padding",
        "integer",
        4,
        "pixels of black padding before the random crop",
        minimum=1,
        maximum=64,
    ),
    Knob(
        "weight_averaging",
        "number",
        0.0,
        "decay of an exponential moving average of the weights that is evaluated and "
        "exported instead of them; 0 means none",
        minimum=0.0,
        maximum=0.99999,
    ),
)
_COMPUTATION = (
    Knob(
        "precision",
        "choice",
        "float32",
        "type that layers compute in while training; weights, statistics, gates and what is "
        "exported are float32 in any case",
        choices=("float32", "mixed_bfloat16"),
    ),
)


def _learning_rate(default: float) -> Knob:
    return Knob(
        "learning_rate",
        "number",
        default,
        "peak learning rate",
        minimum=1e-8,
        maximum=100.0,
        label="lr=",
    )


def _weight_decay(default: float) -> Knob:
    return Knob(
        "weight_decay",
        "number",
        default,
        "decoupled weight decay: each step shrinks kernels by learning rate times this; "
        "with SGD and momentum 0.9, ten times the L2 factor that papers quote",
        minimum=0.0,
        maximum=10.0,
        label="wd=",
    )


OPTIMIZERS: Mapping[str, tuple[Knob, ...]] = {
    "sgd": (
        _learning_rate(0.1),
        Knob("momentum", "number", 0.9, "momentum", minimum=0.0, maximum=0.9999),
        Knob("nesterov", "boolean", True, "Nesterov momentum"),
        _weight_decay(1e-3),
        *_SCHEDULE,
        *_REGULARIZATION,
        *_COMPUTATION,
    ),
    "adamw": (
        _learning_rate(1e-3),
        _weight_decay(0.05),
        *_SCHEDULE,
        *_REGULARIZATION,
        *_COMPUTATION,
    ),
}
"""The optimizers and the knobs of a recipe that uses them."""


def recipe_section() -> Section:
    """The section `recipe`: the optimizer and everything else about training."""
    selector = Knob("optimizer", "choice", "sgd", "optimizer", choices=tuple(OPTIMIZERS))
    return Section("recipe", selector, OPTIMIZERS)


@dataclass(frozen=True)
class Budget:
    """The full training budget, on which the schedule is stretched.

    Args:
        epochs: Integer, epochs of the full budget (Hyperband's `max_epochs`).
        steps_per_epoch: Integer, training batches an epoch.
    """

    epochs: int
    steps_per_epoch: int

    @property
    def steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def recipe_signature(recipe: Mapping[str, Value]) -> dict[str, Value]:
    """The recipe without knobs that change nothing. Equal signatures train alike."""
    inert = set()
    if recipe["augmentation"] != "flip+crop":
        inert.add("crop_padding")
    if not recipe.get("momentum"):
        inert |= {"momentum", "nesterov"} & set(recipe)
    if recipe["weight_decay"] == 0:
        inert.add("weight_decay")
    return {name: value for name, value in recipe.items() if name not in inert}
