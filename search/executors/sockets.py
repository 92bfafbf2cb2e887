"""A folder for the fork server's socket: its path has a hundred characters at most.

On clusters the folder for temporary files is often deep, or on a file system that has no
sockets, or full. The socket lies in another one then. The setting itself is left alone: it
is for what a person's own code writes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import tempfile
from collections.abc import Iterator

from search.errors import StorageError

OTHERS = ("/tmp", "/var/tmp", "/dev/shm", f"/run/user/{os.getuid()}")
"""Where the socket goes if not into the folder for temporary files."""


@contextlib.contextmanager
def socket_folder() -> Iterator[None]:
    """Has `multiprocessing` put its socket where a socket can be.

    Raises:
        StorageError: If there is no such folder.
    """
    # What it made before may be gone: folders for temporary files are swept.
    known: dict[str, str] = getattr(multiprocessing.current_process(), "_config", {})
    if not os.path.isdir(known.get("tempdir", "")):
        known.pop("tempdir", None)
    before = tempfile.tempdir
    tempfile.tempdir = _usable()
    try:
        yield
    finally:
        tempfile.tempdir = before


def _usable() -> str:
    refused: list[str] = []
    for folder in (*_usual(refused), *OTHERS):
        reason = _refusal(folder)
        if reason is None:
            return folder
        refused.append(f"{folder}: {reason}")
    raise StorageError(
        "there is no folder for the socket over which workers are started. Give a short, "
        f"writable folder in TMPDIR and run the same command again. Tried: {'; '.join(refused)}."
    )


def _usual(refused: list[str]) -> list[str]:
    """The folder for temporary files, as Python finds it."""
    try:
        return [tempfile.gettempdir()]
    except OSError as error:
        refused.append(f"TMPDIR: {error.strerror or error}")
        return []


def _refusal(folder: str) -> str | None:
    """Why a folder takes no socket; `None` if it does."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="pymp-", dir=folder) as trial,
            socket.socket(socket.AF_UNIX) as listener,
        ):
            listener.bind(os.path.join(trial, f"listener-{'x' * 8}"))
    except OSError as error:  # "AF_UNIX path too long" among them
        return error.strerror or str(error)
    return None
