"""One task run to its end while nothing else runs: an export, a look at a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from search.errors import CbamSearchError
from search.executors.base import Executor
from search.messages import MachineFault, Task, TrialDone, TrialFailed, WorkerDied, WorkerLost
from search.storage.files import last_lines

MAX_DEATHS = 3
"""Times in a row a worker may die in a task, or a trial without finishing an epoch, before
it is given up."""


_End = TrialDone | TrialFailed | WorkerDied | WorkerLost | MachineFault
"""How an attempt ends."""


def run_to_end(
    executor: Executor,
    task: Task,
    check: Callable[[], object],
    what: str,
    error: type[CbamSearchError],
) -> dict[str, Any]:
    """Runs a task on an executor with nothing to do, again if its worker dies.

    Args:
        executor: The executor.
        task: The `Task`.
        check: Called between events; may raise to end it.
        what: What went wrong where the task fails, the beginning of a sentence.
        error: The class of the error then, unless the machine is at fault.

    Returns:
        What the task returned.

    Raises:
        CbamSearchError: If the task fails, or its worker died `MAX_DEATHS` times.
        StorageError: If the machine is at fault.
    """
    reason, deaths = "", 0
    while deaths < MAX_DEATHS:
        last = _attempt(executor, task, check)
        if isinstance(last, WorkerLost):  # the executor gives up by itself, with a fault
            continue
        if isinstance(last, TrialDone):
            return last.result
        reason = last.reason.rstrip(".")
        if isinstance(last, MachineFault):
            raise last.error(f"{what}: {reason}. Details are in {task.log}.")
        if isinstance(last, TrialFailed):
            break
        deaths += 1
    printed = last_lines(task.log, 5)
    quoted = f" It printed last: {' | '.join(printed)}" if printed else ""
    raise error(f"{what}: {reason}.{quoted}")


def _attempt(executor: Executor, task: Task, check: Callable[[], object]) -> _End:
    last: _End | None = None
    executor.submit(executor.idle()[0], task)
    while executor.running():
        for _, event in executor.events(0.5):
            if isinstance(event, _End):
                last = event
        check()
    assert last is not None, "a worker that is gone has said how it ended"
    return last
