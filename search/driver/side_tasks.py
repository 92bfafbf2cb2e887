"""Tasks that are no trials, run while nothing else runs: exports, looks at a network, scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from search.errors import CbamSearchError
from search.executors.base import Executor
from search.messages import MachineFault, Task, TrialDone, TrialFailed, WorkerDied, WorkerLost
from search.storage.files import last_lines

MAX_DEATHS = 3
"""Times in a row a worker may die in a task, or a trial without finishing an epoch, before
it is given up."""


def run_to_end(
    executor: Executor,
    task: Task,
    check: Callable[[], object],
    what: str,
    error: type[CbamSearchError],
) -> dict[str, Any]:
    """Runs one task; see `run_all`.

    Returns:
        What the task returned.
    """
    results: list[dict[str, Any]] = []
    run_all(executor, [task], lambda _, result: results.append(result), check, what, error)
    return results[0]


def run_all(
    executor: Executor,
    tasks: Sequence[Task],
    done: Callable[[Task, dict[str, Any]], object],
    check: Callable[[], object],
    what: str,
    error: type[CbamSearchError],
) -> None:
    """Runs tasks side by side on an executor with nothing to do, again where a worker dies.

    Args:
        executor: The executor.
        tasks: Each `Task`, of another trial.
        done: Called with a task and what it returned, in the order in which they end.
        check: Called between events; may raise to end it.
        what: What went wrong where a task fails, the beginning of a sentence.
        error: The class of the error then, unless the machine is at fault.

    Raises:
        CbamSearchError: If a task fails, or its worker died `MAX_DEATHS` times.
        StorageError: If the machine is at fault.
    """
    of_trial = {task.trial_id: task for task in tasks}
    waiting = list(tasks)
    deaths: Counter[str] = Counter()
    while waiting or executor.running():
        for worker in executor.idle():
            if waiting and executor.has_room():
                executor.submit(worker, waiting.pop(0))
        for _, event in executor.events(0.5):
            task = of_trial[event.trial_id]
            match event:
                case TrialDone():
                    done(task, event.result)
                case MachineFault():
                    raise event.error(f"{what}: {_said(event.reason)} Details are in {task.log}.")
                case TrialFailed():
                    raise error(f"{what}: {_said(event.reason)}{_printed(task)}")
                case WorkerDied():
                    deaths[task.trial_id] += 1
                    if deaths[task.trial_id] == MAX_DEATHS:
                        raise error(f"{what}: {_said(event.reason)}{_printed(task)}")
                    waiting.append(task)
                case WorkerLost():  # before its task began; the executor gives up by itself
                    waiting.append(task)
        check()


def _said(reason: str) -> str:
    return f"{reason.rstrip('.')}."


def _printed(task: Task) -> str:
    """The last lines that a task printed, as the end of a message."""
    printed = last_lines(task.log, 5)
    return f" It printed last: {' | '.join(printed)}" if printed else ""
