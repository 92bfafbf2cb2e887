"""Unquoted words of a YAML file that YAML reads differently than they look.

PyYAML speaks YAML 1.1, in which `010` is 8, `1:30` is 90, `no` is false and `2024-01-01` is
a date. A search must not run on another number than its author meant, so what two readers
may read differently is refused, with what to write instead.
"""

from __future__ import annotations

import math
import re

PLAIN_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_OCTAL = re.compile(r"[-+]?0[0-9]+")
_BASED = re.compile(r"[-+]?0([xX][0-9a-fA-F_]+|[bB][01_]+|[oO][0-7_]+)")
_GROUPED = re.compile(r"[-+]?[0-9.]*[0-9]_[0-9_.]*([eE][-+]?[0-9]+)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9_]+(:[0-9]{1,2})+(\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?")

MAX_INTEGER = 2**63 - 1
MAX_DIGITS = 40
"""Characters of a number; Python itself reads no whole number of 5,000."""

_QUOTES = "if it is a name, put it in quotes"


def misread(text: str) -> str | None:
    """Why an unquoted word is refused, or `None` if all readers agree on it.

    Args:
        text: String, the word as it stands in the file.
    """
    if len(text) > MAX_DIGITS:
        numbers = (PLAIN_INTEGER, _FLOAT, _OCTAL, _BASED, _GROUPED, _SEXAGESIMAL)
        if any(pattern.fullmatch(text) for pattern in numbers):
            return f"the number has {len(text)} characters; a space takes {MAX_DIGITS} at most"
        return None
    if PLAIN_INTEGER.fullmatch(text):
        too_large = abs(int(text)) > MAX_INTEGER
        return f"the number is too large: above {MAX_INTEGER}" if too_large else None
    if _OCTAL.fullmatch(text):
        sign, digits = _sign(text)
        octal = f"{sign}{int(digits, 8)}" if re.fullmatch("[0-7]+", digits) else "a text"
        return (
            f"YAML 1.1 reads {text} as {octal} and YAML 1.2 as {sign}{int(digits)}. Write the "
            f"number that is meant without a 0 in front; {_QUOTES}"
        )
    if _BASED.fullmatch(text):
        sign, digits = _sign(text)
        return f"write {text} as a decimal number: {sign}{_value(digits)}; {_QUOTES}"
    if _GROUPED.fullmatch(text):
        return f"write {text} without _: {text.replace('_', '')}; {_QUOTES}"
    if _SEXAGESIMAL.fullmatch(text):
        return (
            f"YAML 1.1 reads {text} as a number of base 60. Write it as a decimal number; "
            f"{_QUOTES}"
        )
    if _DATE.fullmatch(text):
        return f"YAML reads {text} as a date, which nothing in a space is; {_QUOTES}"
    if _FLOAT.fullmatch(text):
        return _lost(text)
    return None


def number(text: str) -> float | None:
    """The number of an unquoted word such as `1e-5`, which YAML 1.1 takes for a text."""
    return float(text) if _FLOAT.fullmatch(text) else None


def _lost(text: str) -> str | None:
    """Why no float holds a number, or `None` if one does, rounded."""
    value = float(text)
    if math.isinf(value):
        return f"the number {text} is too large"
    digits = re.split("[eE]", text)[0]
    if value == 0 and re.search("[1-9]", digits):
        return f"the number {text} is too small: it rounds to 0"
    return None


def _sign(text: str) -> tuple[str, str]:
    return ("-" if text[0] == "-" else "", text.lstrip("+-"))


def _value(digits: str) -> str:
    value = int(digits.replace("_", ""), 0)
    return str(value) if value <= MAX_INTEGER else f"it is above {MAX_INTEGER}"
