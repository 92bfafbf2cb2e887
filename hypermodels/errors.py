"""The errors of this package, and one-line quotes of other errors for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable

_LONGEST = 300
_COLORS = re.compile(r"\x1b?\[[0-9;]*m")
_INNERMOST = "Exception encountered:"
"""Where Keras, after a config that fills the screen, comes to the error itself."""


class BackboneError(ValueError):
    """A backbone that cannot be built on such images; the message says what would work."""


class PlacementError(ValueError):
    """A requested site that the model lacks, or passes more than once."""


def reason_of(error: BaseException) -> str:
    """An error as one line: its class and what it says, without an end mark.

    Example:

    >>> reason_of(ValueError("no such\\n  shape."))
    'ValueError: no such shape'
    """
    try:
        said = _COLORS.sub("", str(error))
    except Exception:  # an error of a person's own class
        said = ""
    text = " ".join(said.rpartition(_INNERMOST)[2].split())
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    return f"{type(error).__name__}: {short.rstrip('.') or 'no message'}"


def some_of(names: Iterable[str], most: int) -> str:
    """The first names of a list, and how many more there are.

    Example:

    >>> some_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    listed = list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest} more" if rest > 0 else "")
