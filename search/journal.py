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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import RunDirectoryError
from search.files import storage_errors, sync_folder

Record = dict[str, Any]


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
    lines = _read(path).split(b"\n")
    records: list[Record] = []
    for number, line in enumerate(lines):
        last = number >= len(lines) - 2  # the final newline leaves an empty last piece
        if number == len(lines) - 1:
            return records, line
        record = decode(line)
        if record is None:
            if last and not lines[-1]:
                return records, line + b"\n"
            raise RunDirectoryError(
                f"{path}:{number + 1}: the journal is damaged in its middle, which a crash "
                "cannot do. Restore it from a copy, or start anew with --overwrite."
            )
        records.append(record)
    return records, b""


def holds_records(path: Path) -> bool:
    """Whether a file is a journal of this program, be the rest of it damaged.

    Raises:
        RunDirectoryError: If the file cannot be read.
    """
    return any(decode(line) for line in _read(path).split(b"\n"))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RunDirectoryError(
            f"cannot read the journal {path}: {error.strerror or error}."
        ) from error


class Journal:
    """An open journal.

    Args:
        path: The file; created if it is not there.

    Attributes:
        records: The records that were there when it was opened.
        torn: The bytes of a torn last record that were cut off, mostly none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        self.torn = b""
        if path.exists():
            self.records, self.torn = read_journal(path)
        with storage_errors("the journal", path):
            # Unbuffered: a buffer would keep the rest of a record that the machine refused,
            # and write it into the journal after all at the next chance.
            self._file = path.open("ab", buffering=0)
            if self.torn:
                with path.with_name("journal.torn").open("ab") as quarantine:
                    quarantine.write(self.torn + b"\n")
                self._file.truncate(self._file.tell() - len(self.torn))
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
        line = memoryview(whole)
        with storage_errors("the journal", self.path):
            try:
                while line:
                    line = line[self._file.write(line) :]
                os.fsync(self._file.fileno())
            except OSError:
                os.truncate(self.path, start)
                raise
        written: Record = json.loads(whole[9:])
        return written

    def close(self) -> None:
        self._file.close()
