"""A clean process that forks on request, so that no test forks the process that runs it.

What runs the tests may have TensorFlow loaded, with threads that hold locks; a fork of such
a process hangs. This server has imported the driver's modules on Keras's NumPy backend and
nothing else, and has one thread: a fork of it starts in milliseconds, so a whole search can
be run hundreds of times, and it can die as abruptly as a test likes.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).parents[3]

PATIENCE = 60
"""Seconds after which a fork counts as hung."""

PROGRAM = "import sys; from {module} import serve; serve(int(sys.argv[1]))"

Work = Callable[[], int]


@dataclass(frozen=True)
class Ended:
    """How a fork ended: its exit code (128 more than the signal that killed it), its output."""

    code: int
    said: str


def forked(work: Work, log: Path) -> Ended:
    """Runs `work`, which must pickle, in a fork of the server; its result is the exit code."""
    connection, _ = _server()
    connection.send((work, log))
    status: int = connection.recv()
    code = os.waitstatus_to_exitcode(status)
    return Ended(code if code >= 0 else 128 - code, log.read_text("utf-8", "replace"))


@functools.cache
def _server() -> tuple[Connection, subprocess.Popen[bytes]]:
    """This process's server and the connection to it; it ends when this process does."""
    here, there = Pipe()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(module=__name__), str(there.fileno())],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
        pass_fds=[there.fileno()],
    )
    there.close()
    return here, process


def serve(descriptor: int) -> None:
    """Forks for every request until nobody can make any more."""
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    import search.analysis.summary
    import search.display.progress
    import search.display.report
    import search.driver.export
    import search.driver.tuner
    import search.executors.local
    import search.runs.resume_guard
    import search.verifying.verify  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asks
    connection = Connection(descriptor)
    while True:
        try:
            work, log = connection.recv()
        except EOFError:
            return
        pid = os.fork()
        if pid == 0:
            connection.close()
            _work(work, log)
        connection.send(os.waitpid(pid, 0)[1])


def _work(work: Work, log: Path) -> None:
    """Does the work in a fork, and ends it."""
    code = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.alarm(PATIENCE)
        with log.open("wb") as file, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
        code = work()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 98
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
