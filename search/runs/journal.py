"""The journal: an append-only, checksummed record of everything that happened to a run.

It is the truth; every other file of a run directory but the data and the checkpoints is a
view of it. A line is the CRC-32 of its JSON, a space, the JSON, a newline. A record is
fsynced before anything acts on it. A crash can tear the last line only: it is cut off when
the journal is next opened, kept in `journal.torn`, and reported.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search.errors import START_ANEW, RunDirectoryError
from search.storage.entries import kind_of, open_to_append, open_to_read, write_all
from search.storage.files import storage_errors, sync_folder

Record = dict[str, Any]

LONGEST = 2**26
"""Bytes that a record has at most."""


def encode(record: Mapping[str, Any]) -> bytes:
    """A record as its line in the journal; its keys stay in order, as a space's have one."""
    body = json.dumps(record, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x " % zlib.crc32(body) + body + b"\n"


def decode(line: bytes) -> Record | None:
    """The record of a line without its newline, or `None` if the line is damaged."""
    checksum, separator, body = line.partition(b" ")
    try:
        if not separator or len(checksum) != 8 or int(checksum, 16) != zlib.crc32(body):
            return None
        record = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_journal(path: Path) -> tuple[list[Record], bytes]:
    """Reads a journal without changing it.

    Args:
        path: The journal.

    Returns:
        Its records in order, and the torn bytes after the last whole one (mostly none).

    Raises:
        RunDirectoryError: If the file cannot be read, or a line before the last is
            damaged, which no crash of this program does.
    """
    records: list[Record] = []
    for number, line, more in _lines(path):
        record = decode(line[:-1]) if line.endswith(b"\n") else None
        if record is not None:
            records.append(record)
        elif more:
            raise RunDirectoryError(
                f"{path}:{number}: the journal is damaged in its middle, which a crash cannot "
                f"do. Restore it from a copy. {START_ANEW}"
            )
        else:
            return records, line
    return records, b""


def holds_records(path: Path) -> bool:
    """Whether at least one line of a file is a valid record.

    Raises:
        RunDirectoryError: If the file cannot be read.
    """
    for _, line, _ in _lines(path):
        if decode(line.removesuffix(b"\n")):
            return True
        if len(line) == LONGEST and not line.endswith(b"\n"):
            return False  # the file may be a terabyte of zeros
    return False


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """The number of each line, the line with its end, and whether more stands behind it.

    A line that is longer than any record comes in pieces; each but the last has more behind.
    """
    try:
        with open_to_read(path) as file:
            number, line = 1, file.readline(LONGEST)
            while line:
                following = file.readline(LONGEST)
                yield number, line, bool(following)
                number, line = number + 1, following
    except OSError as error:
        raise RunDirectoryError(
            f"cannot read the journal {path}: {error.strerror or error}."
        ) from error


class Journal:
    """An open journal.

    Args:
        path: The file; created if it is not there.
        found: What `read_journal` gave of it; it is read now if that is `None`.

    Attributes:
        records: The records that were there when it was opened.
        torn: The bytes of a torn last record that were cut off, mostly none.

    Raises:
        RunDirectoryError: If it is damaged, or no file of its own.
        StorageError: If the machine refuses.
    """

    def __init__(self, path: Path, found: tuple[list[Record], bytes] | None = None) -> None:
        self.path = path
        if found is None:
            found = read_journal(path) if kind_of(path) else ([], b"")
        self.records, self.torn = found
        with storage_errors("the journal", path):
            # Unbuffered: a buffer would keep the rest of a record that the machine refused,
            # and write it into the journal after all at the next chance.
            self._file = open_to_append(path)
            if self.torn:
                with open_to_append(path.with_name("journal.torn")) as quarantine:
                    write_all(quarantine, self.torn + b"\n")
                self._file.truncate(self._file.seek(0, os.SEEK_END) - len(self.torn))
                os.fsync(self._file.fileno())
            sync_folder(path.parent)

    def append(self, record: Mapping[str, Any]) -> Record:
        """Appends a record; when this returns, it survives a power loss.

        Returns:
            The record as it will be read back.

        Raises:
            StorageError: If the machine refuses; what was half-written is cut off again.
        """
        start = self._file.seek(0, os.SEEK_END)
        whole = encode(record)
        with storage_errors("the journal", self.path):
            try:
                write_all(self._file, whole)
                os.fsync(self._file.fileno())
            except OSError:
                os.truncate(self._file.fileno(), start)
                raise
        written: Record = json.loads(whole[9:])
        return written

    def close(self) -> None:
        self._file.close()


class ReadOnlyJournal(Journal):
    """A journal that is read and left as it is: a torn end stays, and nothing is appended.

    Args:
        path: The file.

    Raises:
        RunDirectoryError: If it cannot be read, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records, self.torn = read_journal(path)

    def append(self, record: Mapping[str, Any]) -> Record:
        raise AssertionError("a journal that is only read takes no record")

    def close(self) -> None:
        """Does nothing: no file is open."""
