"""The process that workers are forked from: started, watched, and asked why it ended.

It belongs to no trial. Whoever ends it ends nobody's configuration: the workers that ran
in it are taken for lost, and it is started again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

from search.executors.sockets import socket_folder
from search.imports.clean_start import clean_start
from search.storage.entries import open_to_append
from search.storage.files import storage_errors

LOOK_SECONDS = 0.5
"""How often it is looked after while it starts a worker."""

END_SECONDS = 1.0
"""How long a process that has closed its files may still take to be gone."""


_LOGS: dict[int, Path] = {}
"""Where the fork servers of this process print to, by their process ids."""


class ForkServer:
    """The fork server of this process.

    Args:
        preload: Names of the modules that it imports.
        log: File that takes what it prints, and what workers print before they have a log.
    """

    def __init__(self, preload: list[str], log: Path) -> None:
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(preload)
        self._log = log
        self._ends: dict[int, str] = {}

    @property
    def log(self) -> Path:
        """The file for its output: the log of the executor that started it in this process."""
        return _LOGS.get(self.pid or 0, self._log)

    @property
    def pid(self) -> int | None:
        """Its process; `None` before the first worker."""
        server = vars(forkserver)["_forkserver"]
        return vars(server)["_forkserver_pid"]  # type: ignore[no-any-return]

    def start(self, process: BaseProcess) -> None:
        """Starts a worker, and the server first where it does not run.

        Raises:
            OSError, EOFError: If the machine refuses, or the server ends meanwhile.
            StorageError: If the machine has no room for the log, or for a socket.
        """
        before = self.pid
        with standard_error(self._log), clean_start(), socket_folder(), self._looked_after():
            try:
                process.start()
            except FileNotFoundError:  # its socket was swept away
                self.kill()
                raise
            finally:
                if self.pid is not None and self.pid != before:
                    _LOGS[self.pid] = self._log

    def end(self, pid: int, patience: float = 0.0) -> str | None:
        """How the server with this process id ended, or `None` if it still runs.

        Args:
            pid: The process id.
            patience: Seconds to wait for its end.
        """
        deadline = time.monotonic() + patience
        while pid not in self._ends:
            ended = self._look(pid)
            if ended is not None:
                self._ends[pid] = ended
            elif time.monotonic() >= deadline:
                return None
            else:
                time.sleep(0.01)
        return self._ends[pid]

    def _look(self, pid: int) -> str | None:
        if not hasattr(os, "waitid"):  # macOS, before Python 3.13
            return None if pid == self.pid else "ended"
        try:
            # The module that started it waits for it too, so the end must stay to be seen.
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return "ended"
        if found is None:
            return None
        if found.si_code == os.CLD_EXITED:
            return f"ended with exit code {found.si_status}"
        return f"was killed by {signal.Signals(found.si_status).name}"

    def kill(self) -> None:
        """Ends it; the next worker starts another."""
        if self.pid is not None and self.end(self.pid) is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.end(self.pid, END_SECONDS)

    def wake(self) -> None:
        """Continues the server if it was stopped (SIGSTOP), since it would hold up the search."""
        pid = self.pid
        if pid is not None and _state(pid) == "T":
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def _looked_after(self) -> Iterator[None]:
        """Wakes the server during the block, which waits for it."""
        done = threading.Event()

        def look() -> None:
            while not done.wait(LOOK_SECONDS):
                self.wake()

        thread = threading.Thread(target=look, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        try:
            yield
        finally:
            done.set()
            thread.join()


def _state(pid: int) -> str:
    """A process's state as Linux has it: one letter, or nothing."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


@contextlib.contextmanager
def standard_error(log: Path) -> Iterator[None]:
    """Sends what the fork server inherits as standard error to a file.

    The framework greets whoever imports it with lines that would tear the progress
    display apart.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    with storage_errors("the log of the workers", log), open_to_append(log) as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
