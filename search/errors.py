"""The named errors a person can meet, each with its documented exit code.

Every error says what is wrong, what was expected, what was received and what to do;
the command prints it as one message without a traceback and exits with `exit_code`, of which
`--help` gives the `meaning`. The table in the README is checked against this module by a test.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

START_ANEW = (
    "Or start anew with --overwrite, which deletes this run and everything that was trained in it."
)
"""The last resort for a run directory, with what it costs."""


class CbamSearchError(Exception):
    """Base of every error that the user, or a change to the machine, can fix."""

    exit_code = 1
    meaning = ""


class UsageError(CbamSearchError):
    """A command line that cannot be carried out."""

    exit_code = 2
    meaning = "wrong command line"


class SpaceError(CbamSearchError):
    """A search space that is missing, malformed or can build nothing."""

    exit_code = 3
    meaning = "wrong space"


class DataError(CbamSearchError):
    """A data set that is missing, unreadable or of the wrong shape, type or size."""

    exit_code = 4
    meaning = "unusable data"


class RunDirectoryError(CbamSearchError):
    """A run directory that belongs to another search or is damaged."""

    exit_code = 5
    meaning = "run directory of another search or program, or a damaged one"


class RunLockedError(CbamSearchError):
    """A run directory that another process is driving."""

    exit_code = 6
    meaning = "another process drives the run directory"


class StorageError(CbamSearchError):
    """The machine refused a write (full disk, missing permission) or a worker (memory)."""

    exit_code = 7
    meaning = "the machine refused a write or a worker"


class SearchFailedError(CbamSearchError):
    """No configuration finished, or the first ones all failed: there is no best model."""

    exit_code = 8
    meaning = "no trial finished, or the first 8 failed"


class ExportError(CbamSearchError):
    """The best model could not be exported, or the exported model disagrees with it."""

    exit_code = 9
    meaning = "the exported model is not the trained one"


class VerificationError(CbamSearchError):
    """A run directory in which something does not match its journal."""

    exit_code = 10
    meaning = "something in a run does not match its journal"


def exit_codes() -> dict[int, str]:
    """What each exit code of an error means, in their order."""
    kinds = [kind for kind in CbamSearchError.__subclasses__() if kind.meaning]
    return {
        kind.exit_code: kind.meaning for kind in sorted(kinds, key=lambda kind: kind.exit_code)
    }


def did_you_mean(received: object, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for what was meant, or an empty string.

    Names that begin with what was received, or contain it as a word, come before those that
    are spelled alike. Alike means that few letters differ: `val_f1` is no `val_loss`.
    """
    text, names = str(received).strip().lower(), list(known)
    if text in names:
        return f" Did you mean {text!r}?"
    bare = text.rstrip("0123456789_v")  # `resnet50` begins as `resnet_v1` does
    meant = _completions(text, names) or _completions(bare, names) or _misspelled(text, names)
    return f" Did you mean {' or '.join(map(repr, meant))}?" if meant else ""


_MOST_HINTS = 3


def _completions(text: str, names: list[str]) -> list[str]:
    if len(text) < 2:
        return []
    begin = [name for name in names if name.lower().startswith(text)]
    if begin:
        return begin[:_MOST_HINTS]
    parts = [name for name in names if text in re.split(r"[_+.]", name.lower())]
    return parts if len(parts) <= _MOST_HINTS else []


def _misspelled(text: str, names: list[str]) -> list[str]:
    # A word that both have, such as `val_`, says nothing about the rest.
    alike = difflib.get_close_matches(text, [name.lower() for name in names], n=3, cutoff=0.6)
    near = [
        name
        for candidate in alike
        for name in names
        if name.lower() == candidate and _same_meaning(text, candidate)
    ]
    return near[:1]


def _same_meaning(text: str, name: str) -> bool:
    """Whether two names may be one misspelled: word by word, where they have equally many."""
    ours, theirs = re.split(r"[_+.]", text), re.split(r"[_+.]", name)
    if len(ours) != len(theirs) or len(ours) == 1:
        return True
    return all(
        difflib.SequenceMatcher(None, a, b).ratio() >= 0.6
        for a, b in zip(ours, theirs, strict=True)
    )
