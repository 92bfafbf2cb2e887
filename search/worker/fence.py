"""Keeps a worker from writing a checkpoint once its trial was given to another worker.

A worker can outlive its driver: stopped by the kernel, or swapped out. Before it trains,
the next worker of the lineage puts its own token into the fence; a worker may replace the
checkpoint only while the token is its own, and looks under a lock, so there is no moment
between the look and the replacement.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from search.errors import CbamSearchError, StorageError
from search.storage.entries import open_to_append, write_all

LOCK_TIMEOUT = 20.0
"""Seconds to wait for a lock that is held for milliseconds as a rule."""


class FencedOffError(CbamSearchError):
    """This worker's trial was given to another worker."""


class Fence:
    """The right to write one lineage's checkpoint.

    Args:
        path: The fence file, beside the checkpoint.
        token: String, different for every worker.
    """

    def __init__(self, path: Path, token: str) -> None:
        self._path = path
        self._token = token

    def take(self) -> None:
        """Makes this worker the one that may write; all earlier ones are fenced off."""
        with self._locked() as file:
            file.truncate(0)
            write_all(file, self._token.encode())

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """The right to write, for as long as the block runs.

        Raises:
            FencedOffError: If another worker took it.
        """
        with self._locked() as file:
            file.seek(0)
            if file.read(1000) != self._token.encode():
                raise FencedOffError("the trial was given to another worker")
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[FileIO]:
        with open_to_append(self._path, folders=1) as file:
            deadline = time.monotonic() + LOCK_TIMEOUT
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise StorageError(
                            f"{self._path} is held by another process that does not let go, "
                            "perhaps a stopped worker of an earlier search. End it and run "
                            "the same command again."
                        ) from error
                    time.sleep(0.01)
            yield file
