"""From a trial of a run to the training that a worker is given, once or once more."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from search.algorithms.trials import TrialSpec
from search.data import Progress
from search.driver.side_tasks import run_to_end
from search.errors import CbamSearchError
from search.executors.base import Executor
from search.messages import Assignment, Task
from search.runs.layout import checkpoint_path
from search.runs.run import Run


def assignment_of(run: Run, trial: TrialSpec) -> Assignment:
    """The training that makes up a trial of a run."""
    search = run.space.search
    return Assignment(
        trial.trial_id,
        trial.lineage,
        trial.candidate.configuration.to_dict(),
        trial.epochs,
        trial.full_epochs,
        search.seed if trial.seed is None else trial.seed,
        run.space.data.batch_size,
        search.threads,
        search.objective,
        Path(run.path).resolve(),
    )


def restore_checkpoint(
    run: Run,
    trial: TrialSpec,
    executor: Executor,
    progress: Progress,
    log: Path,
    error: type[CbamSearchError],
) -> None:
    """Trains a finished trial again whose checkpoint somebody deleted, to the same state.

    Raises:
        CbamSearchError: Of the class `error`, if the training fails.
        StorageError: If the machine is at fault.
    """
    if checkpoint_path(run.path, trial.lineage).exists():
        return
    assignment = assignment_of(run, trial)
    task = Task("search.worker.train:train", assignment, trial.trial_id, assignment.threads, log)
    training = f"Training trial {trial.trial_id} again"
    check = partial(progress, training, 0, 1)
    run_to_end(executor, task, check, f"{training} failed", error)
