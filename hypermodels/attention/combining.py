"""How a channel half and a spatial half that act side by side become one."""

from __future__ import annotations

from typing import Any

from keras import ops

from hypermodels.knobs import Knob

COMBINE = Knob(
    "combine",
    "choice",
    "sum",
    "how the channel half and the spatial half are joined: bam joins their logits, scse the "
    "two scaled maps",
    choices=("sum", "product", "max"),
)


def even_maximum(one: Any, other: Any) -> Any:
    """The larger of two tensors, with half of the gradient to each where they are equal.

    Halves that start as the identity are equal everywhere at step 0. `maximum` would pass
    the gradient to one of them there, or to none, as the backend has it.
    """
    ahead = ops.cast(one > other, one.dtype)
    level = ops.cast(ops.equal(one, other), one.dtype)
    share = ahead + 0.5 * level
    return share * one + (1.0 - share) * other


def combine(how: str, one: Any, other: Any) -> Any:
    """Joins two tensors, broadcasting them, by `"sum"`, `"product"` or `"max"`."""
    if how == "sum":
        return one + other
    return one * other if how == "product" else even_maximum(one, other)
