"""The hidden units of a bottleneck over the channels, and the knobs that say how many."""

from __future__ import annotations

from collections.abc import Mapping

from hypermodels.attention.base import MapShape
from hypermodels.knobs import Knob, Value

REDUCTION_RATIO = Knob(
    "reduction_ratio",
    "integer",
    16,
    "channels divided by this are the MLP's hidden units",
    minimum=1,
    maximum=4096,
    label="r=",
    may_be_infeasible=True,
)
MIN_HIDDEN = Knob(
    "min_hidden", "integer", 1, "least number of hidden units", minimum=1, maximum=4096
)
HIDDEN_DIVISOR = Knob(
    "hidden_divisor",
    "integer",
    1,
    "hidden units are rounded to the nearest multiple of this",
    minimum=1,
    maximum=256,
)
HIDDEN = (REDUCTION_RATIO, MIN_HIDDEN, HIDDEN_DIVISOR)


def hidden_units(channels: int, reduction_ratio: int, min_hidden: int, divisor: int) -> int:
    """Width of the MLP's hidden layer, never below `min_hidden` nor below 1."""
    hidden = max(min_hidden, channels // reduction_ratio, 1)
    rounded = (hidden + divisor // 2) // divisor * divisor
    return rounded if rounded >= max(min_hidden, 1) else rounded + divisor


def hidden_in(shape: MapShape, settings: Mapping[str, Value]) -> int:
    """Width of the hidden layer that `settings` give on a map of `shape`."""
    return hidden_units(
        shape[2],
        int(settings["reduction_ratio"]),
        int(settings["min_hidden"]),
        int(settings["hidden_divisor"]),
    )


def ratio_infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
    """Why the reduction ratio is too large for a map of `shape`, or `None`."""
    ratio = int(settings["reduction_ratio"])
    if ratio <= shape[2]:
        return None
    return (
        f"attention.reduction_ratio {ratio} is above the channels of every chosen block "
        f"(at most {shape[2]})"
    )
