"""What a worker prints: a pipe that the driver reads, and a file of bounded size.

A worker that wrote its file itself could fill the disk. Through the pipe it can only get
as far ahead as a pipe holds, whatever prints, Python or not; it waits for the driver then,
and the driver never waits for it.
"""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from pathlib import Path

from search.storage.entries import open_to_append, write_all
from search.storage.files import last_lines, storage_errors

LIMIT = 2**20
"""Bytes that a log has at most."""

KEPT_BYTES = 2**18
"""Bytes that stay of its beginning, and of its end, when there would be more."""

LEFT_OUT = b"\n[... what was printed here is left out ...]\n"

_READ_SIZE = 2**16


class BoundedLog:
    """A file that takes everything and keeps its beginning and its end.

    Args:
        path: The file; what is in it stays, and counts.

    Raises:
        StorageError: If the machine refuses the file.
        RunDirectoryError: If it is no file of its own.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors("what workers print", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_to_append(path)
            self._size = self._file.seek(0, os.SEEK_END)

    def write(self, printed: bytes) -> None:
        """Appends what was printed.

        Raises:
            StorageError: If the machine refuses the write.
        """
        with storage_errors("what workers print", self._path):
            if self._size + len(printed) > LIMIT:
                self._shorten()
            write_all(self._file, printed)
            self._size += len(printed)

    def _shorten(self) -> None:
        self._file.seek(self._size - KEPT_BYTES)
        tail = LEFT_OUT + self._file.read(KEPT_BYTES)
        self._file.truncate(KEPT_BYTES)
        self._file.write(tail)
        self._size = self._file.seek(0, os.SEEK_END)

    def close(self) -> None:
        self._file.close()


class Output:
    """The driver's end of what one process prints.

    Args:
        reader: The pipe's reading end.
        log: Where it goes.

    Attributes:
        ended: Boolean, whether nobody can print any more.
    """

    def __init__(self, reader: Connection, log: BoundedLog) -> None:
        os.set_blocking(reader.fileno(), False)
        self._reader, self._log = reader, log
        self.ended = False

    def fileno(self) -> int:
        return self._reader.fileno()

    def take(self) -> None:
        """Moves what is in the pipe to the log; of a process that goes on printing, a part.

        Raises:
            StorageError: If the machine refuses the write.
        """
        for _ in range(2):  # a pipe holds no more as a rule
            try:
                printed = os.read(self._reader.fileno(), _READ_SIZE)
            except BlockingIOError:
                return
            if not printed:
                self.ended = True
                return
            self._log.write(printed)

    def close(self) -> None:
        self._reader.close()
        self._log.close()


def size_of(path: Path) -> int:
    """The bytes of a file; none where it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def quoted(path: Path, start: int) -> str:
    """The last lines of a log after its first `start` bytes, as a part of a sentence."""
    lines = [line.strip() for line in last_lines(path, 3, start)]
    return f" (the last lines of {path}: {' | '.join(lines)})" if lines else ""
