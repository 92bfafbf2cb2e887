"""The driver's side of an export: choose the best trial, have it saved, publish it whole."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from search.data import Progress
from search.driver.assigning import assignment_of, restore_checkpoint
from search.driver.side_tasks import run_to_end
from search.errors import ExportError, SearchFailedError
from search.executors.base import Executor
from search.imports.keras_in_driver import keras_backend
from search.messages import Assignment, ExportRequest, Task
from search.runs.export_formats import EXPECTED, KERAS_FILE, SAVED_MODEL, WEIGHTS
from search.runs.exported_files import exported_files
from search.runs.layout import best_folder
from search.runs.records import ModelExported, TestRead, now
from search.runs.run import Run
from search.runs.state import TrialState
from search.storage.entries import kind_of, remove
from search.storage.files import storage_errors, sync_folder, write_json, write_text
from search.text import printable


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


def export_best(run: Run, executor: Executor, progress: Progress) -> Exported:
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
        if record.trial == best.trial_id and (folder / "metrics.json").exists():
            return Exported(folder, best.trial_id, record.metrics)
    target = run.path / "best.partial"
    with storage_errors("the exported model", target):
        remove(target)
        target.mkdir()
    _record_test_read(run, best.trial_id)
    assignment = assignment_of(run, best.spec)
    request = ExportRequest(
        assignment, float(best.score or 0.0), target.resolve(), keras_backend()
    )
    exporting = f"Exporting trial {best.trial_id}"
    log = run.path / "export.log"
    restore_checkpoint(run, best.spec, executor, progress, log, ExportError)
    metrics: dict[str, Any] = {
        "trial": best.trial_id,
        "objective": run.state.objective,
        "score": best.score,
        "parameters": best.parameters,
        "macs": best.macs,
        **save_model(run, request, executor, progress, exporting),
    }
    with storage_errors("the exported model", target):
        for name in (EXPECTED, WEIGHTS):
            (target / name).unlink()
        write_json(target / "metrics.json", metrics)
        write_text(target / "hyperparameters.yaml", fixed_space(run, best))
        files = exported_files(target)
        _publish(target, folder)
    run.record(ModelExported(trial=best.trial_id, metrics=metrics, files=files))
    return Exported(folder, best.trial_id, metrics)


def _record_test_read(run: Run, trial_id: str) -> None:
    """Records a look at the test images, before it happens.

    An export that was broken off and is made again is one look: it had not said what it
    saw, and the same trained model gives the same figures again.
    """
    looks = sum(record.trial == trial_id for record in run.state.test_reads)
    exports = sum(record.trial == trial_id for record in run.state.exports)
    if looks > exports:
        return
    again = " again, as the exported files were gone" if exports else ""
    run.record(
        TestRead(
            trial=trial_id,
            purpose=f"export of trial {trial_id}{again}",
            time=now(),
        )
    )


def fixed_space(run: Run, best: TrialState) -> str:
    """A trial's configuration as a space with nothing tuned."""
    content = {
        **best.configuration.to_dict(),
        "data": asdict(run.space.data),
        "search": asdict(run.space.search),
    }
    head = (
        f"# Trial {best.trial_id} of a search over {printable(run.space.source)}: "
        f"{run.state.objective} {best.score} after {best.epochs} epochs.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False)


def _best(run: Run) -> TrialState:
    best = next(run.state.best_first(), None)
    if best is None:
        raise SearchFailedError(f"no trial of {run.path} has finished, so there is no best one.")
    return best


STEPS = ("take", "save", "compare", "compare_keras")
"""The tasks of an export, each in a process of its own."""


def save_model(
    run: Run, request: ExportRequest, executor: Executor, progress: Progress, doing: str
) -> dict[str, Any]:
    """Has a model saved and compared, in processes of their own; see `worker/export.py`.

    Args:
        run: The open `Run`.
        request: What to save and where to.
        executor: Where it is done.
        progress: Called meanwhile.
        doing: What is being done, for a person.

    Returns:
        A dict with the metrics of the model; `largest_difference` of a class score, by
        format; why a format is `missing`; and `custom_objects` that `model.keras` needs.

    Raises:
        ExportError: If the SavedModel cannot be had, or is not the trained model.
        StorageError: If the machine is at fault.
    """

    def done(step: str, on: str) -> dict[str, Any]:
        task = _task(f"search.worker.export:{step}", request, request.assignment, run, on)
        check = partial(progress, doing, STEPS.index(step), len(STEPS))
        return run_to_end(executor, task, check, f"{doing} failed", ExportError)

    metrics = done("take", request.backend)
    saved = done("save", "tensorflow")
    differences = {SAVED_MODEL: done("compare", "tensorflow")["largest_difference"]}
    missing: dict[str, str] = saved["missing"]
    if KERAS_FILE not in missing:
        compared = done("compare_keras", request.backend)
        if "missing" in compared:
            missing[KERAS_FILE] = compared["missing"]
        else:
            differences["keras"] = compared["largest_difference"]
    return {
        **metrics,
        "largest_difference": differences,
        **({"missing": missing} if missing else {}),
        **({"custom_objects": saved["custom_objects"]} if saved["custom_objects"] else {}),
    }


def _task(
    function: str,
    payload: ExportRequest | Assignment,
    assignment: Assignment,
    run: Run,
    on: str = "",
) -> Task:
    log = run.path / "export.log"
    return Task(function, payload, assignment.trial_id, assignment.threads, log, on)


def _publish(finished: Path, folder: Path) -> None:
    """Puts a finished folder in its place; a reader sees the old one or the new one."""
    for root, _, files in os.walk(finished):
        for name in files:
            with (Path(root) / name).open("rb") as file:
                os.fsync(file.fileno())
        sync_folder(Path(root))
    old = folder.with_name("best.old")
    remove(old)
    if kind_of(folder):
        folder.rename(old)
    finished.rename(folder)
    sync_folder(folder.parent)
    with contextlib.suppress(OSError):  # it costs room until the next export
        remove(old)
