"""The interface of an executor."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Protocol, Self

from search.messages import Event, Task


class Executor(Protocol):
    """Runs tasks in worker processes and says what becomes of them.

    The driver gives an idle worker one task; the worker's process runs it and ends. Whatever
    happens to a worker, its task has exactly one last event, and it is idle from then on.
    Between a task's events and its last one nothing is lost or told twice. An executor
    retries a worker that was lost before its task began, within bounds, by telling
    `WorkerLost`; it never decides that a configuration has failed.

    What an executor on this machine takes for granted, and one on other machines may not:

    * An `Assignment` names the run directory by a path of this machine: the prepared data,
      checkpoints and the fence are files under it, and workers write them.
    * The fence (`worker/fence.py`) is an advisory lock of one file system (`flock`) on a file that
      holds the token of the worker that may write. Elsewhere, the token alone must do, on a
      store that compares and swaps.
    * A task's log is a file of this machine that the driver reads when a trial failed.
    * Workers end when the driver does, since their pipe to it breaks.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends all workers."""

    @property
    def workers(self) -> int:
        """How many tasks may run at once."""

    def idle(self) -> list[str]:
        """The names of the workers that have nothing to do."""

    def running(self) -> dict[str, str]:
        """The trials that run, by the name of their worker."""

    def has_room(self) -> bool:
        """Whether another task can be started now; always if none runs."""

    def submit(self, worker: str, task: Task) -> None:
        """Starts a task on an idle worker.

        Raises:
            StorageError: If the machine is at fault; no trial is to blame.
        """

    def events(self, timeout: float) -> Iterator[tuple[str, Event]]:
        """Yields what workers have to say, after at most `timeout` seconds of silence.

        Yields:
            Tuples of the worker's name and an `Event`. What a worker printed before an
            event is in its task's log by then.
        """

    def silent(self, seconds: float) -> list[str]:
        """The workers that run a task and have said nothing for `seconds`."""

    def kill_worker(self, name: str, reason: str) -> None:
        """Ends one worker; `events` then tells that it died, for this reason."""

    def kill(self) -> None:
        """Ends all workers at once, without a word; what they have on disk stays."""
