"""Lists of names in messages, cut to a readable length."""

from __future__ import annotations

from collections.abc import Iterable

from search.text import printable

SHOWN_NAMES = 10


def some_of(names: Iterable[object], limit: int = SHOWN_NAMES) -> str:
    """The first names, safe to print, and how many more there are."""
    listed = list(names)
    more = len(listed) - limit
    words = ", ".join(printable(name) for name in listed[:limit])
    return f"{words} and {more:,} more" if more > 0 else words
