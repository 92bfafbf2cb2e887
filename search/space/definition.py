"""The definition of a space: every key it can have, once.

Validation (`reader.py`) and the JSON Schema for editors (`schema.py`) are both made from
what stands here and from the sections that `hypermodels` declares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hypermodels.knobs import Knob, KnobError, Section
from hypermodels.settings.configuration import sections
from hypermodels.settings.presets import PRESETS
from search.space.settings import OBJECTIVES

_COUNT_SUFFIXES = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}


_SUFFIXED = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,18}))?\s*([kKmMgG])")
MAX_LIMIT = 10**15
"""More weights or multiply-adds than any machine holds or does."""


def _count(received: Any) -> Any:
    """Turns `300k` or `1.5M` into a whole number."""
    match = _SUFFIXED.fullmatch(received) if isinstance(received, str) else None
    if match is None:
        if received == 0 and not isinstance(received, bool):
            raise KnobError(
                "expected a whole number of at least 1, such as 300k. Received: 0. Leave the key "
                "out for no limit"
            )
        return received
    fraction = match[2] or ""
    numerator = int(match[1] + fraction) * _COUNT_SUFFIXES[match[3].lower()]
    value, rest = divmod(numerator, 10 ** len(fraction))
    if rest or not value:
        raise KnobError(
            "expected a whole number of at least 1, such as 300k or 1.5M. Received: "
            f"{received!r}, which is {numerator / 10 ** len(fraction):g}"
        )
    return value


def _fraction_or_count(value: Any) -> None:
    if not (0 < value < 1 or (value >= 1 and float(value).is_integer())):
        raise KnobError(
            f"expected a share between 0 and 1, or a whole number of images. Received: {value!r}"
        )


def _nonempty(value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise KnobError(f"expected a name or a path. Received: {value!r}")


DATA = (
    Knob(
        "name",
        "text",
        "cifar10",
        "cifar10, cifar100, cifar10-sample (ships with the package), or a path to an .npz, a "
        "cifar-10-batches-py folder, or a folder with one sub-folder a class",
        check=_nonempty,
    ),
    Knob(
        "validation",
        "number",
        0.1,
        "validation images, cut from the training images where the data has no validation split: "
        "a share or a number",
        minimum=0.0,
        check=_fraction_or_count,
    ),
    Knob("batch_size", "integer", 128, "images a training step", minimum=1, maximum=65536),
    Knob(
        "limit",
        "integer",
        0,
        "use at most this many training images, balanced over the classes; 0 means all",
        minimum=0,
    ),
    Knob(
        "test_fraction",
        "number",
        0.1,
        "share held out as test images where the data set has no test split",
        minimum=0.001,
        maximum=0.9,
    ),
    Knob(
        "image_size",
        "integer",
        0,
        "side to which a folder's images are resized; 0 means as they are",
        minimum=0,
        maximum=4096,
    ),
)

SEARCH = (
    Knob("algorithm", "choice", "hyperband", "search algorithm", choices=("hyperband",)),
    Knob(
        "objective",
        "choice",
        "val_accuracy",
        "what is optimized, at a trial's last epoch",
        choices=tuple(OBJECTIVES),
    ),
    Knob("max_epochs", "integer", 27, "epochs of the full budget", minimum=1, maximum=100_000),
    Knob("factor", "integer", 3, "each rung keeps one in this many", minimum=2, maximum=100),
    Knob(
        "hyperband_iterations",
        "integer",
        1,
        "how many times all brackets are run, each time with new configurations",
        minimum=1,
        maximum=1000,
    ),
    Knob("seed", "integer", 0, "seed of everything random", minimum=0, maximum=2**31 - 1),
    Knob(
        "epoch_time_limit",
        "number",
        0.0,
        "seconds after which a worker that has not finished an epoch counts as hung and is "
        "killed; 0 means never",
        minimum=0.0,
    ),
    Knob(
        "threads",
        "integer",
        1,
        "threads that a trial computes with on a CPU; part of the result's last bits",
        minimum=1,
        maximum=1024,
    ),
)

CONSTRAINTS = (
    Knob(
        "max_parameters",
        "integer",
        0,
        "networks with more weights are refused before they are built",
        minimum=1,
        maximum=MAX_LIMIT,
        normalize=_count,
    ),
    Knob(
        "max_macs",
        "integer",
        0,
        "networks with more multiply-adds an image are refused",
        minimum=1,
        maximum=MAX_LIMIT,
        normalize=_count,
    ),
)

CONFIRM = (
    Knob(
        "seeds",
        "integer",
        0,
        "fresh seeds that every arm is trained with before the first look at the test images; "
        "one would show no noise",
        minimum=2,
        maximum=40,
    ),
    Knob("top", "integer", 3, "kinds of attention that are compared", minimum=1, maximum=20),
    Knob(
        "margin",
        "number",
        0.005,
        "smallest difference of test accuracy that matters; 0.005 is half a point",
        minimum=1e-6,
        maximum=1.0,
    ),
    Knob(
        "epochs",
        "integer",
        0,
        "epochs of each training; 0 means the search's full budget",
        minimum=0,
        maximum=100_000,
    ),
)

PLAIN_SECTIONS: Mapping[str, tuple[Knob, ...]] = {
    "data": DATA,
    "search": SEARCH,
    "constraints": CONSTRAINTS,
    "confirm": CONFIRM,
}
"""Sections whose keys are fixed, never tuned; `settings.py` has a class for each."""

PRESET_NAMES = tuple(PRESETS)


def tuned_sections() -> dict[str, Section]:
    """The sections whose keys may be fixed or tuned, by name."""
    return {section.name: section for section in sections()}


def top_level_keys() -> tuple[str, ...]:
    """The keys of a space, in the order it is written."""
    return (*tuned_sections(), *PLAIN_SECTIONS, "presets")
