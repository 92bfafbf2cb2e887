"""The files that data came from, recorded so that a later change is noticed.

Where size and times are as recorded, a file counts as unchanged without being read;
otherwise its SHA-256 decides, so that a touched or copied file is no change.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.storage.entries import read_bytes
from search.storage.files import write_atomically

ORIGIN = "source.json"
FORMAT = 1

LARGEST = 2**30
"""Bytes that the records of a source have at most: a hundred for each of its files."""


@dataclass(frozen=True)
class SourceFile:
    """A file as it was read.

    Args:
        stamp: Size in bytes, times of modification and of change in nanoseconds.
        sha256: SHA-256 of its content.
    """

    stamp: tuple[int, int, int]
    sha256: str


@dataclass(frozen=True)
class Changes:
    """The differences between a source's files now and when they were read.

    Args:
        added: Names of files that were not there.
        removed: Names of files that are gone.
        replaced: Names of files with another content.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    replaced: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.replaced)


def read_whole(path: Path) -> tuple[bytes, SourceFile]:
    """The content of a regular file, and the record of it.

    Raises:
        OSError: When it cannot be read or is no regular file.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        content = file.read()
    return content, SourceFile(_stamp(status), hashlib.sha256(content).hexdigest())


def record_of(path: Path) -> SourceFile:
    """The record of a file too large to be held in memory twice."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        return SourceFile(_stamp(status), hashlib.file_digest(file, "sha256").hexdigest())


def compare(origin: Mapping[str, SourceFile], now: Mapping[str, Path]) -> Changes:
    """Compares recorded files with those that are there now.

    Args:
        origin: The records by name.
        now: The paths by name.

    Raises:
        OSError: When a file cannot be read.
    """
    return Changes(
        added=tuple(sorted(set(now) - set(origin))),
        removed=tuple(sorted(set(origin) - set(now))),
        replaced=tuple(
            name for name in sorted(set(now) & set(origin)) if _differs(origin[name], now[name])
        ),
    )


def _differs(then: SourceFile, path: Path) -> bool:
    status = path.stat()
    if _stamp(status) == then.stamp:
        return False
    return status.st_size != then.stamp[0] or record_of(path).sha256 != then.sha256


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    if not stat.S_ISREG(status.st_mode):
        raise OSError("no regular file")
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def write_origin(directory: Path, origin: Mapping[str, SourceFile]) -> None:
    """Writes the records beside prepared data.

    Raises:
        OSError: If the machine refuses.
    """
    content = {
        "format": FORMAT,
        "files": {name: [*file.stamp, file.sha256] for name, file in origin.items()},
    }
    # ASCII: a name may hold bytes that are no text.
    encoded = json.dumps(content).encode("ascii") + b"\n"
    write_atomically(directory / ORIGIN, lambda file: file.write(encoded))


def read_origin(directory: Path) -> dict[str, SourceFile] | None:
    """Reads what `write_origin` wrote; `None` where there is none that can be used.

    Raises:
        RunDirectoryError: If anything but a file stands in its place.
    """
    try:
        raw = read_bytes(directory / ORIGIN, LARGEST, folders=1)
        content: Any = json.loads(raw.decode("ascii"))
        if content["format"] != FORMAT:
            return None
        return {name: _parsed(*values) for name, values in content["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _parsed(size: Any, modified: Any, changed: Any, sha256: Any) -> SourceFile:
    if not all(type(value) is int for value in (size, modified, changed)):
        raise TypeError("a stamp that is no three whole numbers")
    if not isinstance(sha256, str):
        raise TypeError("a digest that is no text")
    return SourceFile((size, modified, changed), sha256)
