"""From a trial of a run to the training that a worker is given."""

from __future__ import annotations

from pathlib import Path

from search.algorithms.trials import TrialSpec
from search.messages import Assignment
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
