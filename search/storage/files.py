"""Atomic writes, and a lock that is released when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path
from typing import IO, Any

from search.errors import RunDirectoryError, RunLockedError, StorageError
from search.storage.entries import FILE, create, open_to_append, open_to_read, walk, write_all

_TEMPORARY = re.compile(r"\..+\.\d+\.tmp", re.DOTALL)


@contextlib.contextmanager
def storage_errors(what: str, path: Path) -> Iterator[None]:
    """Turns an `OSError` of a write into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {what} to {path}: {error.strerror or error}. Nothing is lost: free "
            "disk space or fix the permissions, then run the same command again."
        ) from error


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Writes a file under a temporary name, fsyncs it, renames it, fsyncs the folder.

    Args:
        path: The file's final name.
        write: Called with the open temporary file.

    Raises:
        OSError: If the machine refuses; the file is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _new(temporary) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _new(temporary: Path) -> BufferedWriter:
    """A new file, even where a killed process with this number left one, or a link is."""
    try:
        return create(temporary)
    except (FileExistsError, RunDirectoryError):
        os.unlink(temporary)
        return create(temporary)


def write_text(path: Path, text: str) -> None:
    """Writes text atomically as UTF-8; see `write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically; see `write_atomically`."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def make_folder(path: Path) -> None:
    """Makes a folder and its parents where they are missing; they survive a power loss."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def is_temporary(name: str) -> bool:
    """Whether a name is one that this module gives to a file that is not whole yet."""
    return bool(_TEMPORARY.fullmatch(name))


def remove_leftovers(path: Path) -> None:
    """Deletes the temporary files below a folder that killed processes left behind."""
    with contextlib.suppress(OSError):  # they cost room and nothing else
        for leftover, kind in walk(path):
            if kind == FILE and is_temporary(leftover.name):
                with contextlib.suppress(OSError):
                    leftover.unlink()


def last_lines(path: Path, count: int = 20, start: int = 0) -> list[str]:
    """The last lines of a text that a process printed; none where it cannot be read.

    Args:
        path: The file.
        count: Integer, how many lines at most.
        start: Integer, bytes at the beginning that are left out.
    """
    try:
        with open_to_read(path, folders=1) as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 8192))
            text = file.read(8192).decode("utf-8", "replace")
    except (OSError, RunDirectoryError):
        return []
    printable = (
        "".join(c for c in line if c.isprintable() or c == "\t") for line in text.split("\n")
    )
    return [line[:500].rstrip() for line in printable if line.strip()][-count:]


def sync_folder(path: Path) -> None:
    """Makes the names in a folder survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileLock:
    """A lock that the kernel holds and releases when its holder dies, however it dies.

    Args:
        path: The lock file; it stays, and says who held it last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | BufferedReader | None = None

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            RunLockedError: If a living process holds it; the message says which one.
            RunDirectoryError: If the lock is no file of its own.
        """
        file = open_to_append(self._path)
        self._lock(file, fcntl.LOCK_EX)
        file.truncate(0)
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        write_all(file, f"{holder} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())

    def share(self) -> None:
        """Takes the lock for looking, beside others that look, and writes nothing.

        Where there is no lock file nobody drives, and none is made.

        Raises:
            RunLockedError: If a living process drives; the message says which one.
            RunDirectoryError: If the lock is no file.
        """
        try:
            file = open_to_read(self._path)
        except FileNotFoundError:
            return
        self._lock(file, fcntl.LOCK_SH)

    def _lock(self, file: FileIO | BufferedReader, kind: int) -> None:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read(1000).decode("utf-8", "replace").strip() or "another process"
            file.close()
            raise RunLockedError(
                f"{self._path.parent} is being driven by {holder}. Wait until it ends, or stop "
                "it, or choose another --name."
            ) from error
        self._file = file

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
