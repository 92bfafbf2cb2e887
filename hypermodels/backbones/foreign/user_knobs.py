"""The knobs of a person's own network."""

from __future__ import annotations

import re
from typing import Any

from hypermodels.backbones.family import RESIZE
from hypermodels.knobs import Knob, KnobError

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _check_model(value: Any) -> None:
    if value == "" or (
        isinstance(value, str) and (value.endswith(".keras") or _FUNCTION.fullmatch(value))
    ):
        return  # none at all is said where it is missed
    raise KnobError(
        f"expected package.module:function, or the path of a .keras file. Received: {value!r}"
    )


def _normalize_sites(received: Any) -> Any:
    if isinstance(received, list | tuple) and all(isinstance(name, str) for name in received):
        return ",".join(received)
    return received


def _check_sites(value: Any) -> None:
    if not isinstance(value, str) or not value or any(not part for part in value.split(",")):
        raise KnobError(
            "expected auto, or names of layers with * and ?, separated by commas. "
            f"Received: {value!r}"
        )


KNOBS = (
    Knob(
        "model",
        "text",
        "",
        "your own network: package.module:function, or a .keras file; stands for the family",
        check=_check_model,
        forms=({"type": "string", "pattern": r"^$|\.keras$|^[A-Za-z_][\w.]*:[A-Za-z_]\w*$"},),
    ),
    Knob(
        "sites",
        "text",
        "auto",
        "layers after which attention can go: names with * and ?, or a list of them; auto "
        "is the last feature map of each size",
        check=_check_sites,
        normalize=_normalize_sites,
        forms=(
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        ),
    ),
    Knob(
        "normalization",
        "choice",
        "data",
        "what your network receives: images of mean 0 and standard deviation 1, or (none) "
        "as they are, 0 to 255",
        choices=("data", "none"),
    ),
    Knob(
        "initial_weights",
        "choice",
        "seeded",
        "drawn from the search seed, or those your model comes with",
        choices=("seeded", "own"),
    ),
    RESIZE,
)
