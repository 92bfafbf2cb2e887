"""Trials side by side on this machine, each in a process of its own.

A fork server imports the framework once; each trial is a fork of it, which costs
milliseconds and takes everything with it when it ends: memory, threads, crashes. A worker
ends by itself when the driver is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from search.errors import StorageError
from search.executors.devices import gpu_ids
from search.executors.fork_server import END_SECONDS, ForkServer
from search.executors.memory import MemoryWatch
from search.executors.other_backend import context_for, on_backend
from search.executors.output import BoundedLog, Output, quoted, size_of
from search.messages import Began, Event, MachineFault, Task, WorkerDied, WorkerLost
from search.worker.compiled_code import CompiledCode
from search.worker.process import run_task

PRELOAD = ["search.worker.preload"]

WORKER_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # One heap for all of a worker's threads: what one frees the others take. With a heap
    # each, a worker that trains ResNet-20 with CBAM has a tenth more memory, for nothing: the
    # framework's threads compute, they do not allocate side by side.
    "MALLOC_ARENA_MAX": "1",
}
"""Variables of the workers' environment, where the user has not set them."""

PAUSES = (0.1, 0.5, 2.0, 5.0, 15.0)
"""Seconds that the machine is given after a start that failed, or a worker that was lost, in
a row; once more, and it is at fault for good."""

NO_EXIT_CODE = 255
"""What `multiprocessing` says of a worker whose fork server cannot say how it ended."""


@dataclass
class _Worker:
    name: str
    trial_id: str
    process: BaseProcess
    server: int | None
    connection: Connection
    output: Output
    log: Path
    started: float
    heard: float
    printed_before: int
    server_printed_before: int
    began: bool = False
    finished: bool = False
    cause: str = ""
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
        self._compiled = CompiledCode(compiled)
        self._memory = MemoryWatch()
        self._gpus = gpu_ids()
        self._busy: dict[str, _Worker] = {}
        self._server = ForkServer(PRELOAD, log)
        self._losses: Counter[str] = Counter()
        self._not_before = 0.0

    def __enter__(self) -> LocalExecutor:
        for name, value in WORKER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
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

        After workers were lost, the machine is given some time first.

        Raises:
            StorageError: If the machine has no room for another process, or for a log.
        """
        time.sleep(max(0.0, self._not_before - time.monotonic()))
        log = BoundedLog(task.log)
        try:
            for pause in (*PAUSES, 0.0):
                start = size_of(self._server.log)
                try:
                    self._busy[worker] = self._started(worker, task, log)
                    return
                except (OSError, EOFError) as error:
                    reason = "; ".join(filter(None, [self._end_of_server(), str(error)]))
                time.sleep(pause)
        except BaseException:
            log.close()
            raise
        log.close()
        raise StorageError(
            f"no process could be started for trial {task.trial_id}: {reason}"
            f"{quoted(self._server.log, start)}. No trial is failed for that, and everything "
            "trained so far is kept. Give the machine what it lacks (memory, processes, open "
            "files), or use fewer --workers, and run the same command again."
        )

    def _started(self, name: str, task: Task, log: BoundedLog) -> _Worker:
        gpu = self._gpus[self._names.index(name) % len(self._gpus)] if self._gpus else None
        elsewhere = context_for(task.backend)
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            here, there = self._server.context.Pipe()
            theirs.callback(there.close)
            ours.callback(here.close)
            reader, writer = self._server.context.Pipe(duplex=False)
            theirs.callback(writer.close)
            ours.callback(reader.close)
            process = (elsewhere or self._server.context).Process(
                target=run_task,
                args=(task, there, writer, gpu, self._compiled),
                name=task.trial_id,
                daemon=True,
            )
            before = size_of(task.log), size_of(self._server.log)
            if elsewhere is None:
                self._server.start(process)
            else:
                with on_backend(task.backend, self._server.log):
                    process.start()
            ours.pop_all()
        self._memory.started(process.pid or 0)
        now, output = time.monotonic(), Output(reader, log)
        return _Worker(
            name,
            task.trial_id,
            process,
            self._server.pid if elsewhere is None else None,
            here,
            output,
            task.log,
            now,
            now,
            *before,
        )

    def _end_of_server(self) -> str:
        """What became of the fork server, in words; empty if it runs."""
        pid = self._server.pid
        end = pid and self._server.end(pid, END_SECONDS)
        return f"the process that workers are forked from {end}" if end else ""

    def events(self, timeout: float) -> Iterator[tuple[str, Event]]:
        """Yields what workers have to say, after at most `timeout` seconds of silence.

        Yields:
            Tuples of the worker's name and an `Event`. After the last event of a task
            its worker is idle. What it printed before an event is in its log by then.

        Raises:
            StorageError: If the machine has no room for what a worker printed.
        """
        self._memory.look()
        self._server.wake()
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
        orphaned = gone and self._is_orphan(worker)
        if orphaned:
            self._end_orphan(worker)
        worker.output.take()
        with contextlib.suppress(EOFError, ConnectionError):
            while worker.connection.poll(END_SECONDS if orphaned else 0):
                event: Event = worker.connection.recv()
                worker.output.take()
                worker.heard = time.monotonic()
                if isinstance(event, Began):
                    worker.began = True
                elif isinstance(event, WorkerLost):
                    worker.cause = event.reason
                else:
                    worker.finished = worker.finished or event.final
                    self._losses.pop(worker.trial_id, None)
                    yield event
        if not gone:
            return
        worker.process.join()
        self._memory.ended(worker.process.pid or 0)
        worker.connection.close()
        worker.output.close()
        del self._busy[worker.name]
        if not worker.finished:
            yield self._end_of(worker, orphaned)

    def _is_orphan(self, worker: _Worker) -> bool:
        """Whether a worker ended, or will, because its fork server did."""
        return (
            worker.process.exitcode == NO_EXIT_CODE
            and worker.server is not None
            and self._server.end(worker.server, END_SECONDS) is not None
        )

    def _end_orphan(self, worker: _Worker) -> None:
        """Ends a worker whose fork server is gone, as nobody else can."""
        if worker.process.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(worker.process.pid, signal.SIGKILL)

    def _end_of(self, worker: _Worker, orphaned: bool) -> Event:
        """Why a worker ended without finishing its task, and whose fault it is."""
        reason = worker.killed_because or _cause(worker.process.exitcode)
        if worker.began and not orphaned:
            return WorkerDied(worker.trial_id, reason, time.monotonic() - worker.started)
        if orphaned:
            reason = f"the process that it was forked from {self._server.end(worker.server or 0)}"
        self._losses[worker.trial_id] += 1
        losses = self._losses[worker.trial_id]
        if losses <= len(PAUSES):
            self._not_before = max(self._not_before, time.monotonic() + PAUSES[losses - 1])
            return WorkerLost(worker.trial_id, worker.cause or reason)
        quote = quoted(worker.log, worker.printed_before) or quoted(
            self._server.log, worker.server_printed_before
        )
        return MachineFault(
            worker.trial_id,
            f"{losses} workers in a row were lost before they had trained anything: "
            f"{worker.cause or reason}{quote}. No trial is failed for that",
        )

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
        self._server.wake()  # stopped, it could not say that they have ended
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
