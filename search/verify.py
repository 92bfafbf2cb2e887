"""Checks a run directory against itself: what is there is what the journal says."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from search.assignment import ExportRequest, TrialDone, WorkerLost
from search.data import open_prepared, open_test
from search.errors import CbamSearchError
from search.executors.local import LocalExecutor
from search.run import Run
from search.run_directory import best_folder, checkpoint_path, data_folder, trial_folder
from search.state import COMPLETED
from search.tuner import SearchTuner, assignment_of
from search.worker import Task


@dataclass
class Findings:
    """What a check found.

    Args:
        wrong: What is wrong, one line each.
        checked: How much was looked at, by kind.
    """

    wrong: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str) -> None:
        self.checked[kind] = self.checked.get(kind, 0) + 1


def verify(run: Run, tuner: SearchTuner, executor: LocalExecutor) -> Findings:
    """Checks journal, decisions, curves, scores, data, checkpoints, views, exported model.

    Args:
        run: The open `Run`; its journal has been read, so its checksums hold.
        tuner: A tuner on it, which knows what the views should be.
        executor: Where the exported model is loaded.

    Returns:
        The `Findings`.
    """
    findings = Findings()
    findings.checked["journal records"] = len(run.journal.records)
    if run.journal.torn:
        findings.wrong.append(
            f"the journal had a torn last record of {len(run.journal.torn)} bytes; it was cut off"
        )
    _check_decisions(run, tuner, findings)
    _check_curves(run, findings)
    _check_scores(run, findings)
    _check_data(run, findings)
    _check_checkpoints(run, findings)
    _check_views(run, tuner, findings)
    _check_export(run, executor, findings)
    return findings


def _check_decisions(run: Run, tuner: SearchTuner, findings: Findings) -> None:
    """Every trial in the journal is one that Hyperband decides on, given the outcomes."""
    plans = {plan.trial_id: plan for plan in tuner.oracle.plans()}
    for name, trial in run.state.trials.items():
        findings.count("trials")
        plan = plans.get(name)
        if plan is None:
            findings.wrong.append(f"trial {name} is none that the search would have tried")
        elif plan.candidate.configuration != trial.configuration:
            findings.wrong.append(f"trial {name} has another configuration than the search chose")
        elif (plan.epochs, plan.parent) != (trial.epochs, trial.parent):
            findings.wrong.append(f"trial {name} has another budget than the search gave it")


def _check_curves(run: Run, findings: Findings) -> None:
    """Every training's epochs stand in the journal one after the other, within its budget."""
    curves: dict[str, list[dict[str, float]]] = {}
    for record in run.journal.records:
        if record["type"] != "epoch":
            continue
        findings.count("epochs")
        epoch, trial = record["epoch"], run.state.trials[record["trial"]]
        curve = curves.setdefault(trial.lineage, [])
        if epoch == len(curve) + 1:
            curve.append(record["metrics"])
        elif curve[epoch - 1 : epoch] != [record["metrics"]]:
            findings.wrong.append(
                f"epoch {epoch} of training {trial.lineage} stands in the journal where epoch "
                f"{len(curve) + 1} was expected"
            )
        if epoch > trial.epochs:
            findings.wrong.append(
                f"trial {trial.trial_id} trained epoch {epoch}, but was to end after "
                f"{trial.epochs}"
            )


def _check_scores(run: Run, findings: Findings) -> None:
    """Every finished trial's score is the objective at its last epoch; no other has one."""
    objective = str(run.space.search["objective"])
    for name, times in Counter(run.state.end_order).items():
        if times > 1:
            findings.wrong.append(f"trial {name} ended {times} times")
    for name, trial in run.state.trials.items():
        if trial.status != COMPLETED:
            if trial.score is not None:
                findings.wrong.append(f"trial {name} is {trial.status} but has a score")
            continue
        findings.count("scores")
        curve = run.state.curves.get(trial.lineage, [])
        if len(curve) < trial.epochs:
            findings.wrong.append(
                f"trial {name} finished after {trial.epochs} epochs, but the journal has "
                f"{len(curve)} of its training"
            )
        elif (last := curve[trial.epochs - 1].get(objective)) != trial.score:
            findings.wrong.append(
                f"trial {name} has the score {trial.score}, but its {objective} after epoch "
                f"{trial.epochs} is {last}"
            )


def _check_data(run: Run, findings: Findings) -> None:
    try:
        open_prepared(data_folder(run.path), verify=True)
        open_test(data_folder(run.path))
    except CbamSearchError as error:
        findings.wrong.append(str(error))
    findings.count("data splits")


def _check_checkpoints(run: Run, findings: Findings) -> None:
    for path in sorted(checkpoint_path(run.path, "0000").parent.glob("*.npz")):
        findings.count("checkpoints")
        curve = run.state.curves.get(path.stem, [])
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            saved = json.loads(arrays["meta"].tobytes())["curve"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            findings.wrong.append(f"the checkpoint {path} is damaged: {error}")
            continue
        # The worker writes the checkpoint before the driver writes the journal, so it may
        # be ahead by the epochs that were not yet told.
        if saved[: len(curve)] != curve[: len(saved)]:
            findings.wrong.append(f"the checkpoint {path} has another history than the journal")


def _check_views(run: Run, tuner: SearchTuner, findings: Findings) -> None:
    expected: dict[Path, Any] = {run.path / "oracle.json": tuner.oracle.get_state()}
    for name, trial in tuner.oracle.trials.items():
        expected[trial_folder(run.path, name) / "trial.json"] = trial.get_state()
    for path, content in expected.items():
        findings.count("views")
        try:
            found = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            findings.wrong.append(f"the view {path} cannot be read: {error} (mend: --repair)")
            continue
        if found != json.loads(json.dumps(content)):
            findings.wrong.append(f"the view {path} is not what the journal says (mend: --repair)")


def _check_export(run: Run, executor: LocalExecutor, findings: Findings) -> None:
    """The exported model still gives the accuracy that was recorded."""
    folder = best_folder(run.path)
    if not run.state.exports:
        return
    findings.count("exported models")
    record = run.state.exports[-1]
    trial = run.state.trials[record["trial"]]
    request = ExportRequest(assignment_of(run, trial), float(trial.score or 0.0), folder.resolve())
    task = Task(
        "search.export_worker:measure", request, trial.trial_id, 1, run.path / "export.log"
    )
    executor.submit(executor.idle()[0], task)
    while executor.running():
        for worker, event in executor.events(0.5):
            if isinstance(event, WorkerLost):
                executor.submit(worker, task)
                continue
            if not isinstance(event, TrialDone):
                reason = getattr(event, "reason", event)
                findings.wrong.append(f"the exported model in {folder} cannot be used: {reason}")
                continue
            for name, correct in event.result.items():
                expected = record["metrics"]["test"]["correct"]
                if correct != expected:
                    findings.wrong.append(
                        f"the exported {name} is right on {correct} test images, "
                        f"but was on {expected} when it was exported"
                    )
