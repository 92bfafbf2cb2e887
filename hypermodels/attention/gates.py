"""The gate functions: from a logit to a factor, and how the last weights must start."""

from __future__ import annotations

from typing import Any

from keras import initializers, ops

from hypermodels.knobs import Knob

GATE = Knob(
    "gate",
    "choice",
    "sigmoid",
    "gate function; identity_start is 2*sigmoid with zero-initialized last weights, so that "
    "the layer passes its input unchanged at step 0",
    choices=("sigmoid", "hard_sigmoid", "identity_start"),
)


def apply_gate(name: str, logits: Any) -> Any:
    """Maps logits to gate values: `(0, 1)`, `[0, 1]`, or `(0, 2)` for `identity_start`."""
    if name == "hard_sigmoid":
        return ops.hard_sigmoid(logits)
    gate = ops.sigmoid(logits)
    return 2.0 * gate if name == "identity_start" else gate


def last_initializer(name: str, seed: int | None) -> initializers.Initializer:
    """Initializer of the weights that feed the gate: zeros where it must start at 1."""
    if name == "identity_start":
        return initializers.Zeros()
    return initializers.HeNormal(seed=seed)
