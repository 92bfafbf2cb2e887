"""The sections of a space whose keys are fixed, never tuned, as the program reads them.

What a key may be, and what it is where it is left out, stands in `definition.py`, whose knobs
have the names of the fields here, in their order: it is the order in which they are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OBJECTIVES: Mapping[str, str] = {
    "val_accuracy": "max",
    "val_loss": "min",
}
"""What a search can optimize, and in which direction."""


def direction_of(metric: str) -> str:
    """`"max"` or `"min"`, whichever of a metric is better, of training or of validation."""
    return OBJECTIVES["val_" + metric.removeprefix("val_")]


@dataclass(frozen=True)
class DataSettings:
    """The section `data`. A `limit` or an `image_size` that is not set is 0."""

    name: str
    validation: float
    batch_size: int
    limit: int
    test_fraction: float
    image_size: int


@dataclass(frozen=True)
class SearchSettings:
    """The section `search`. An `epoch_time_limit` that is not set is 0."""

    algorithm: str
    objective: str
    max_epochs: int
    factor: int
    hyperband_iterations: int
    seed: int
    epoch_time_limit: float
    threads: int


@dataclass(frozen=True)
class ConfirmSettings:
    """The section `confirm`. Without it, `seeds` is 0; `epochs` that are not set are 0."""

    seeds: int
    top: int
    margin: float
    epochs: int


@dataclass(frozen=True)
class Constraints:
    """The section `constraints`. A limit that is not set is 0."""

    max_parameters: int
    max_macs: int
