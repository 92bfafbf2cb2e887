"""Words that the readers of data share: counts, lists of names, names that are safe to print."""

from __future__ import annotations

from collections.abc import Iterable

SHOWN_NAMES = 10


def plain(text: object) -> str:
    """Text of others with whatever is no printable character escaped.

    Example:

    >>> plain("a\\x1b[2Jb")
    'a\\\\x1b[2Jb'
    """
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def counted(count: int, what: str, several: str | None = None) -> str:
    """`1 image`, `12,000 images`."""
    return f"{count:,} {what if count == 1 else several or what + 's'}"


def some_of(names: Iterable[object], limit: int = SHOWN_NAMES) -> str:
    """The first names, safe to print, and how many more there are."""
    listed = list(names)
    more = len(listed) - limit
    words = ", ".join(plain(name) for name in listed[:limit])
    return f"{words} and {more:,} more" if more > 0 else words
