"""The named errors a person can meet, each with its documented exit code.

Every error says what is wrong, what was expected, what was received and what to do;
`cli.main` prints it as one message without a traceback and exits with `exit_code`.
The table of exit codes in the README is checked against this module by a test.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

INTERRUPTED_EXIT_CODE = 130
TERMINATED_EXIT_CODE = 143


class CbamSearchError(Exception):
    """Base of every error that is the person's or the machine's to mend."""

    exit_code = 1


class UsageError(CbamSearchError):
    """A command line that cannot be carried out."""

    exit_code = 2


class SpaceError(CbamSearchError):
    """A search space that is missing, malformed or can build nothing."""

    exit_code = 3


class DataError(CbamSearchError):
    """A data set that is missing, unreadable or of the wrong shape, type or size."""

    exit_code = 4


class RunDirectoryError(CbamSearchError):
    """A run directory that belongs to another search or is damaged."""

    exit_code = 5


class RunLockedError(CbamSearchError):
    """A run directory that another process is driving."""

    exit_code = 6


class StorageError(CbamSearchError):
    """The machine refused a write (full disk, missing permission) or a worker (memory)."""

    exit_code = 7


class SearchFailedError(CbamSearchError):
    """No configuration finished, or the first ones all failed: there is no best model."""

    exit_code = 8


class ExportError(CbamSearchError):
    """The best model could not be exported, or the exported model disagrees with it."""

    exit_code = 9


class VerificationError(CbamSearchError):
    """A run directory in which something is not as its journal says."""

    exit_code = 10


def did_you_mean(received: object, known: Iterable[str]) -> str:
    """Returns `" Did you mean 'x'?"` for the nearest known name, or an empty string."""
    nearest = difflib.get_close_matches(str(received), list(known), n=1, cutoff=0.55)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""
