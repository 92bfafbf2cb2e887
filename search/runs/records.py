"""What the records of a journal look like; anything else is refused before it is used.

A journal may come from a stranger, and its checksums say only that nobody tore it. Ids
become names of files, numbers become sizes: both are looked at here, once, for everybody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from search.errors import START_ANEW, RunDirectoryError
from search.space.definition import OBJECTIVES

FORMAT = 1

_Check = Callable[[Any], bool]


def _integer(low: int, high: int) -> _Check:
    return lambda value: type(value) is int and low <= value <= high


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e300


def _string(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 100_000


def _scalar(value: Any) -> bool:
    return _string(value) or isinstance(value, bool) or _number(value)


def _or_none(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _matching(pattern: str) -> _Check:
    expression = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and bool(expression.fullmatch(value))


def _mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _mapping_of(check: _Check) -> _Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def _list_of(check: _Check) -> _Check:
    return lambda value: (
        isinstance(value, list) and len(value) <= 10_000 and all(map(check, value))
    )


def _tuple_of(*checks: _Check) -> _Check:
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(checks)
        and all(check(each) for check, each in zip(checks, value, strict=True))
    )


def _with(**checks: _Check) -> _Check:
    """A mapping with at least these keys."""
    return lambda value: (
        isinstance(value, dict)
        and all(key in value and check(value[key]) for key, check in checks.items())
    )


_EPOCHS = _integer(1, 100_000)
_LARGE = _integer(0, 10**15)
_TRIAL = _matching(r"\d{4,9}[a-z]?(-\d{1,3})?")
_LINEAGE = _matching(r"\d{4,9}[a-z]?")
_SEARCH = _with(
    max_epochs=_EPOCHS,
    hyperband_iterations=_integer(1, 1000),
    factor=_integer(2, 100),
    objective=lambda value: isinstance(value, str) and value in OBJECTIVES,
)
_SPACE = _with(
    backbone=_mapping, attention=_mapping, recipe=_mapping, data=_mapping, search=_SEARCH
)
_INDEX = _integer(0, 10**6)
_EXTENT = _integer(1, 10**6)


_DESCRIPTION = _with(
    cost=_tuple_of(_LARGE, _LARGE),
    sites=_list_of(
        _with(
            name=_string,
            stage=_INDEX,
            block=_INDEX,
            ports=_mapping_of(_tuple_of(_string, _string, _INDEX, _EXTENT, _EXTENT, _EXTENT)),
            own=_or_none(_tuple_of(_string, _INDEX, _LARGE, _LARGE)),
        )
    ),
)
_EXPORTED = _with(
    test=_with(accuracy=_number, correct=_LARGE),
    test_images=_integer(1, 10**15),
    classes=_integer(1, 10**6),
    largest_difference=_with(saved_model=_number),
)
_CONSTANT = _with(**{"accuracy": _number, "class": _string})


def _exported(value: Any) -> bool:
    return _EXPORTED(value) and (
        "constant_answer" not in value or _CONSTANT(value["constant_answer"])
    )


_SHAPES: Mapping[str, Mapping[str, _Check]] = {
    "run": {"space": _SPACE, "data": _string, "versions": _mapping_of(_string)},
    "extended": {"search": _SEARCH, "budgets": _list_of(_EPOCHS)},
    "trial": {
        "trial": _TRIAL,
        "lineage": _LINEAGE,
        "configuration": _with(
            backbone=_mapping_of(_scalar),
            attention=lambda value: _mapping_of(_scalar)(value) and _string(value.get("type")),
            recipe=_mapping_of(_scalar),
        ),
        "preset": _or_none(_string),
        "iteration": _integer(0, 100_000),
        "bracket": _integer(0, 64),
        "rung": _integer(0, 64),
        "epochs": _EPOCHS,
        "full_epochs": _EPOCHS,
        "parent": _or_none(_TRIAL),
        "parameters": _LARGE,
        "macs": _LARGE,
    },
    "epoch": {
        "trial": _TRIAL,
        "lineage": _LINEAGE,
        "epoch": _EPOCHS,
        "metrics": _mapping_of(_number),
    },
    "death": {"trial": _TRIAL, "reason": _string, "seconds": _number},
    "ended": {
        "trial": _TRIAL,
        "status": lambda value: value in ("COMPLETED", "FAILED"),
        "score": _or_none(_number),
        "reason": _string,
        "seconds": _number,
    },
    "test_read": {},
    "export": {"trial": _TRIAL, "metrics": _exported},
    "backbone": {
        "settings": _mapping_of(_scalar),
        "description": _or_none(_DESCRIPTION),
        "refused": _or_none(_string),
        "notices": _list_of(_string),
    },
    "session": {"workers": _integer(1, 10**6), "seconds": _number, "driver_seconds": _number},
}
_OPTIONAL: Mapping[str, Mapping[str, _Check]] = {
    "run": {"files": _mapping_of(_string), "notices": _list_of(_string)},
    "ended": {"output": _list_of(_string), "profile": _mapping_of(_number)},
    "test_read": {"trial": _TRIAL, "purpose": _string},
    "export": {"files": _mapping_of(_matching("[0-9a-f]{64}"))},
}


def check_record(record: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Refuses a record that this program did not write.

    Args:
        record: The record.
        header: The record that the journal began with, or nothing where this is it.

    Raises:
        RunDirectoryError: If a key is missing or its value is none that could stand there.
    """
    kind = record.get("type")
    if not isinstance(kind, str):
        raise malformed(record, "it has no type")
    if bool(header) == (kind == "run"):
        raise malformed(record, "a journal begins with its one record of type run")
    if kind == "run" and record.get("format") != FORMAT:
        raise RunDirectoryError(
            f"the run was written in format {_short(record.get('format'))}; this version reads "
            f"format {FORMAT}. Use the version of cbam-search that wrote it."
        )
    for key, check in _SHAPES.get(kind, {}).items():
        if key not in record:
            raise malformed(record, f"it has no {key}")
        if not check(record[key]):
            raise malformed(record, f"{key} is {_short(record[key])!r}")
    for key, check in _OPTIONAL.get(kind, {}).items():
        if key in record and not check(record[key]):
            raise malformed(record, f"{key} is {_short(record[key])!r}")


def malformed(record: Mapping[str, Any], why: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"the journal has a record (type {_short(record.get('type'))}, trial "
        f"{_short(record.get('trial'))}) that cbam-search does not write: {why}. Restore the "
        f"journal from a copy. {START_ANEW}"
    )


def _short(value: Any) -> str:
    try:
        return str(value)[:60]
    except RecursionError:
        return "[[[..."
