"""Where everything of a run lies.

journal.jsonl           the truth: every decision, epoch and result
lock                    held by the process that drives the run
data/                   the arrays that trials read; data/test/ is opened at export
checkpoints/0003.npz    the training state of a lineage after its last epoch
trial_0003/output.log   what the trial's workers printed, at most a megabyte of it
oracle.json, tuner0.json, trial_0003/trial.json   views for stock KerasTuner
summary.csv, .json, .md every trial, for people
best/                   the exported model
rehearsal/              an export tried before the first trial; gone when it is done
compiled/               code that this session's trials share; gone when it is over
journal.discarded       the journal of a run that is being deleted
"""

from __future__ import annotations

from pathlib import Path

JOURNAL = "journal.jsonl"


def journal_path(run: Path) -> Path:
    return run / JOURNAL


def discarded_path(run: Path) -> Path:
    return run / "journal.discarded"


def lock_path(run: Path) -> Path:
    return run / "lock"


def data_folder(run: Path) -> Path:
    return run / "data"


def checkpoint_path(run: Path, lineage: str) -> Path:
    return run / "checkpoints" / f"{lineage}.npz"


def fence_path(run: Path, lineage: str) -> Path:
    return run / "checkpoints" / f"{lineage}.fence"


def trial_folder(run: Path, trial_id: str) -> Path:
    """KerasTuner's folder of a trial."""
    return run / f"trial_{trial_id}"


def compiled_folder(run: Path) -> Path:
    return run / "compiled"


def best_folder(run: Path) -> Path:
    return run / "best"


def rehearsal_folder(run: Path) -> Path:
    return run / "rehearsal"
