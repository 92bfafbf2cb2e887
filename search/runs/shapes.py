"""Checks of plain values that came out of a journal, which may be a stranger's."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]


def integer(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < 1e300


def string(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 100_000


def scalar(value: Any) -> bool:
    return string(value) or isinstance(value, bool) or number(value)


def one_of(*choices: str) -> Check:
    return lambda value: isinstance(value, str) and value in choices


def or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def matching(pattern: str) -> Check:
    expression = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and bool(expression.fullmatch(value))


def mapping(value: Any) -> bool:
    return isinstance(value, dict)


def mapping_of(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def list_of(check: Check) -> Check:
    return lambda value: (
        isinstance(value, list) and len(value) <= 10_000 and all(map(check, value))
    )


def tuple_of(*checks: Check) -> Check:
    return lambda value: (
        isinstance(value, list)
        and len(value) == len(checks)
        and all(check(each) for check, each in zip(checks, value, strict=True))
    )


def having(optional: dict[str, Check] | None = None, /, **checks: Check) -> Check:
    """A mapping with at least the keys `checks`; those of `optional` are checked if there."""
    return lambda value: (
        isinstance(value, dict)
        and all(key in value and check(value[key]) for key, check in checks.items())
        and all(check(value[key]) for key, check in (optional or {}).items() if key in value)
    )
