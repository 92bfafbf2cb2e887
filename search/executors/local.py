"""Trials side by side on this machine, each in a process of its own.

A fork server imports the framework once; each trial is a fork of it, which costs
milliseconds and takes everything with it when it ends: memory, threads, crashes. A worker
ends by itself when the driver is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from search.assignment import Event, WorkerDied
from search.errors import StorageError
from search.executors.compiled_code import CompiledCode
from search.executors.memory import MemoryWatch
from search.executors.output import BoundedLog, Output
from search.files import storage_errors
from search.keras_in_driver import keras_backend
from search.worker import Task, run_task

PRELOAD = ["search.executors.preload"]

WORKER_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # One heap for all of a worker's threads: what one frees the others take. With a heap
    # each, a worker that trains ResNet-20 with CBAM has a tenth more memory, for nothing: the
    # framework's threads compute, they do not allocate side by side.
    "MALLOC_ARENA_MAX": "1",
}
"""Variables of the workers' environment, where the user has not set them."""

START_ATTEMPTS = 4


def cpu_count() -> int:
    """The cores this process may use."""
    return (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def gpu_ids() -> list[str]:
    """The GPUs this process may use, found without initialising a framework."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return listing.stdout.split() if listing.returncode == 0 else []


def default_workers(threads: int) -> int:
    """One worker a GPU where there are any, else as many as the cores allow."""
    return len(gpu_ids()) or max(1, cpu_count() // threads)


@dataclass
class _Worker:
    name: str
    trial_id: str
    process: BaseProcess
    connection: Connection
    output: Output
    started: float
    heard: float
    finished: bool = False
    killed_because: str = ""


class LocalExecutor:
    """Runs tasks in forked worker processes.

    Args:
        workers: Integer, how many run at once.
        log: File that takes what the fork server prints.
        compiled: Folder for code that the trials of this session compile.
    """

    def __init__(self, workers: int, log: Path, compiled: Path) -> None:
        self._names = [f"worker{number}" for number in range(workers)]
        self._log = log
        self._compiled = CompiledCode(compiled)
        self._memory = MemoryWatch()
        self._gpus = gpu_ids()
        self._busy: dict[str, _Worker] = {}
        self._context = multiprocessing.get_context("forkserver")

    def __enter__(self) -> LocalExecutor:
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self._context.set_forkserver_preload(PRELOAD)
        self._compiled.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._compiled.remove()

    @property
    def workers(self) -> int:
        return len(self._names)

    def idle(self) -> list[str]:
        """The workers that have nothing to do."""
        return [name for name in self._names if name not in self._busy]

    def running(self) -> dict[str, str]:
        """The trials that run, by worker."""
        return {name: worker.trial_id for name, worker in self._busy.items()}

    def has_room(self) -> bool:
        """Whether the machine has memory for a worker beside those that run."""
        return not self._busy or self._memory.room()

    def submit(self, worker: str, task: Task) -> None:
        """Starts a task in a new process on an idle worker.

        Raises:
            StorageError: If the machine has no room for another process, or for a log.
        """
        gpu = self._gpus[self._names.index(worker) % len(self._gpus)] if self._gpus else None
        log = BoundedLog(task.log)
        for attempt in range(START_ATTEMPTS):
            here, there = self._context.Pipe()
            reader, writer = self._context.Pipe(duplex=False)
            process = self._context_of(task).Process(
                target=run_task,
                args=(task, there, writer, gpu, self._compiled),
                name=task.trial_id,
                daemon=True,
            )
            try:
                with _quiet_start(self._log), _on_backend(task.backend):
                    process.start()
            except (ConnectionError, EOFError) as error:
                # The fork server was killed; the next attempt starts another.
                here.close()
                reader.close()
                if attempt == START_ATTEMPTS - 1:
                    log.close()
                    raise StorageError(
                        f"no process could be started for trial {task.trial_id}: the machine "
                        "has too little memory, or a limit on processes. Everything trained so "
                        f"far is kept; run the same command again. Details are in {self._log}."
                    ) from error
                time.sleep(0.1 * 4**attempt)
                continue
            finally:
                there.close()
                writer.close()
            self._memory.started(process.pid or 0)
            now, output = time.monotonic(), Output(reader, log)
            self._busy[worker] = _Worker(worker, task.trial_id, process, here, output, now, now)
            return

    def _context_of(self, task: Task) -> ForkServerContext | SpawnContext:
        """A process of its own from the start where the fork server has another backend."""
        same = task.backend in ("", keras_backend())
        return self._context if same else multiprocessing.get_context("spawn")

    def events(self, timeout: float) -> Iterator[tuple[str, Event]]:
        """Yields what workers have to say, after at most `timeout` seconds of silence.

        Yields:
            Tuples of the worker's name and an `Event`. After the last event of a task
            its worker is idle. What it printed before an event is in its log by then.

        Raises:
            StorageError: If the machine has no room for what a worker printed.
        """
        self._memory.look()
        sources: dict[Any, _Worker] = {}
        for worker in self._busy.values():
            sources[worker.connection] = worker
            sources[worker.process.sentinel] = worker
            if not worker.output.ended:
                sources[worker.output] = worker
        ready = {sources[source].name for source in wait(list(sources), timeout)}
        for name in sorted(ready):
            yield from ((name, event) for event in self._drain(self._busy[name]))

    def _drain(self, worker: _Worker) -> Iterator[Event]:
        gone = not worker.process.is_alive()  # before reading: what it sent is then all there
        worker.output.take()
        with contextlib.suppress(EOFError, ConnectionError):
            while worker.connection.poll():
                event: Event = worker.connection.recv()
                worker.output.take()
                worker.finished = worker.finished or event.final
                worker.heard = time.monotonic()
                yield event
        if not gone:
            return
        worker.process.join()
        self._memory.ended(worker.process.pid or 0)
        worker.connection.close()
        worker.output.close()
        del self._busy[worker.name]
        if not worker.finished:
            seconds = time.monotonic() - worker.started
            reason = worker.killed_because or _cause(worker.process.exitcode)
            yield WorkerDied(worker.trial_id, reason, seconds)

    def silent(self, seconds: float) -> list[str]:
        """The workers that have said nothing for `seconds`."""
        now = time.monotonic()
        return [name for name, worker in self._busy.items() if now - worker.heard > seconds]

    def kill_worker(self, name: str, reason: str) -> None:
        """Kills one worker; `events` then says that it died, for this reason."""
        self._busy[name].killed_because = reason
        self._busy[name].process.kill()

    def kill(self) -> None:
        """Ends all workers at once; what they have on disk stays."""
        for worker in self._busy.values():
            worker.process.kill()
        for worker in self._busy.values():
            worker.process.join()
            worker.connection.close()
            worker.output.close()
        self._busy.clear()


def _cause(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        guess = ", perhaps by the machine's out-of-memory guard" if name == "SIGKILL" else ""
        return f"its worker process was killed by {name}{guess}"
    return f"its worker process ended with exit code {exitcode}"


@contextlib.contextmanager
def _on_backend(name: str) -> Iterator[None]:
    """A process that is started in the block, and not forked, has this Keras backend."""
    before = os.environ.get("KERAS_BACKEND")
    if name:
        os.environ["KERAS_BACKEND"] = name
    try:
        yield
    finally:
        if before is not None:
            os.environ["KERAS_BACKEND"] = before
        elif name:
            del os.environ["KERAS_BACKEND"]


@contextlib.contextmanager
def _quiet_start(log: Path) -> Iterator[None]:
    """Sends what the fork server inherits as standard error to a file.

    The framework greets whoever imports it with lines that would tear the progress
    display apart.
    """
    sys.stderr.flush()
    with storage_errors("the log of the workers", log), log.open("ab") as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
