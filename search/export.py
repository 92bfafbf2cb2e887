"""The driver's side of an export: choose the best trial, have it saved, publish it whole."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search.assignment import (
    Assignment,
    ExportRequest,
    MachineFault,
    TrialDone,
    TrialFailed,
    WorkerDied,
)
from search.errors import ExportError, SearchFailedError
from search.executors.local import LocalExecutor
from search.files import storage_errors, sync_folder, write_json, write_text
from search.run import Run
from search.run_directory import best_folder, checkpoint_path
from search.signals import Signals
from search.state import TrialState
from search.text import printable
from search.tuner import MAX_DEATHS, assignment_of
from search.worker import Task


@dataclass(frozen=True)
class Exported:
    """A published model.

    Args:
        folder: The folder with everything.
        trial_id: The trial it is.
        metrics: The contents of its `metrics.json`.
    """

    folder: Path
    trial_id: str
    metrics: dict[str, Any]


def export_best(run: Run, executor: LocalExecutor, signals: Signals) -> Exported:
    """Exports the best trial of a run to its folder `best/`, unless it is there already.

    The test images are read here; the journal says so before it happens. (`verify` opens
    them once more, to check that they and the exported model are what they were.)

    Returns:
        What was exported.

    Raises:
        SearchFailedError: If no trial has finished.
        ExportError: If the saved model is not the trained one.
        StorageError: If the machine refuses a write.
    """
    best = _best(run)
    folder = best_folder(run.path)
    for record in reversed(run.state.exports):
        if record["trial"] == best.trial_id and (folder / "metrics.json").exists():
            return Exported(folder, best.trial_id, record["metrics"])
    partial = run.path / "best.partial"
    with storage_errors("the exported model", partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
    _record_test_read(run, best.trial_id)
    assignment = assignment_of(run, best)
    request = ExportRequest(assignment, float(best.score or 0.0), partial.resolve())
    if not checkpoint_path(run.path, best.lineage).exists():
        # Somebody deleted it; the same training gives the same state once more.
        _run_task("search.trial:train", assignment, assignment, run, executor, signals)
    metrics: dict[str, Any] = {
        "trial": best.trial_id,
        "objective": run.space.search["objective"],
        "score": best.score,
        "parameters": best.parameters,
        "macs": best.macs,
        **_run_task("search.export_worker:export", request, assignment, run, executor, signals),
        **_run_task("search.export_worker:compare", request, assignment, run, executor, signals),
    }
    with storage_errors("the exported model", partial):
        (partial / "expected.npy").unlink()
        write_json(partial / "metrics.json", metrics)
        write_text(partial / "hyperparameters.yaml", fixed_space(run, best))
        _publish(partial, folder)
    run.record({"type": "export", "trial": best.trial_id, "metrics": metrics})
    return Exported(folder, best.trial_id, metrics)


def _record_test_read(run: Run, trial_id: str) -> None:
    """Records a look at the test images, before it happens.

    An export that was broken off and is made again is one look: it had not said what it
    saw, and the same trained model gives the same figures again.
    """
    looks = sum(record.get("trial") == trial_id for record in run.state.test_reads)
    exports = sum(record["trial"] == trial_id for record in run.state.exports)
    if looks > exports:
        return
    again = " again, as the exported files were gone" if exports else ""
    run.record(
        {
            "type": "test_read",
            "trial": trial_id,
            "purpose": f"export of trial {trial_id}{again}",
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
    )


def fixed_space(run: Run, best: TrialState) -> str:
    """A trial's configuration as a space with nothing tuned."""
    content = {
        **best.configuration.to_dict(),
        "data": dict(run.space.data),
        "search": dict(run.space.search),
    }
    head = (
        f"# Trial {best.trial_id} of a search over {printable(run.space.source)}: "
        f"{run.space.search['objective']} {best.score} after {best.epochs} epochs.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False)


def _best(run: Run) -> TrialState:
    ranked = run.state.best_first(maximise=run.space.maximise)
    if not ranked:
        raise SearchFailedError(f"no trial of {run.path} has finished, so there is no best one.")
    return ranked[0]


def _run_task(
    function: str,
    payload: ExportRequest | Assignment,
    assignment: Assignment,
    run: Run,
    executor: LocalExecutor,
    signals: Signals,
) -> dict[str, Any]:
    """Runs a task to its end, again if its worker dies, and returns its result."""
    log = run.path / "export.log"
    task = Task(function, payload, assignment.trial_id, assignment.threads, log)
    deaths = 0
    result: dict[str, Any] = {}
    executor.submit(executor.idle()[0], task)
    while executor.running():
        for worker, event in executor.events(0.5):
            if isinstance(event, TrialDone):
                result = event.result
            elif isinstance(event, WorkerDied) and deaths + 1 < MAX_DEATHS:
                deaths += 1
                executor.submit(worker, task)
            elif isinstance(event, TrialFailed | WorkerDied | MachineFault):
                error = event.error if isinstance(event, MachineFault) else ExportError
                raise error(
                    f"trial {task.trial_id} could not be exported: {event.reason.rstrip('.')}. "
                    f"Details are in {log}."
                )
        signals.check()
    return result


def _publish(partial: Path, folder: Path) -> None:
    """Puts a finished folder in its place; a reader sees the old one or the new one."""
    for root, _, files in os.walk(partial):
        for name in files:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(root))
    old = folder.with_name("best.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
