"""Checks that a run directory matches its own journal.

Nothing is changed but KerasTuner's views, where that is asked for, and no file of the run is
loaded as code: a stranger's run is checked before it is trusted.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from search.data.prepared import read_manifest
from search.driver.oracle import SearchOracle
from search.driver.tuner import algorithm_of, costs_of, hypermodel_of
from search.errors import RunDirectoryError
from search.runs.journal import ReadOnlyJournal, Record
from search.runs.layout import data_folder, journal_path, lock_path, strange_entries
from search.runs.run import Run, load_run, space_of
from search.runs.state import COMPLETED, RunState
from search.storage.files import FileLock
from search.verifying.file_checks import check_checkpoints, check_data, check_export, check_views
from search.verifying.findings import Findings


def verify(path: Path, *, repair: bool = False) -> Findings:
    """Checks journal, decisions, curves, scores, data, checkpoints, views, exported model.

    Args:
        path: The run directory.
        repair: Boolean, whether to write KerasTuner's views anew where they are wrong.

    Returns:
        The `Findings`: whatever is wrong with a run that has a journal.

    Raises:
        RunDirectoryError: If there is no run, or its journal or its space cannot be read.
        RunLockedError: If another process drives it.
        StorageError: If views were to be written, and the machine refuses.
    """
    load_run(path)  # of what is no run nothing is touched, be it to lock it
    lock = FileLock(lock_path(path))
    findings = Findings()
    try:
        lock.share()
    except RunDirectoryError:
        pass  # told with the other entries
    except OSError as error:
        findings.add(f"the lock of {path} cannot be read: {error.strerror or error}")
    try:
        journal = ReadOnlyJournal(journal_path(path))
        state = RunState.replay(journal.records)
        space = space_of(state, path)
        findings.checked["journal records"] = len(journal.records)
        if journal.torn:
            findings.add(
                f"the journal has a torn last record of {len(journal.torn)} bytes, which the "
                "same search cuts off when it goes on"
            )
        with findings.of("what lies in the run directory"):
            for line in strange_entries(path):
                findings.add(line)
        with findings.of("what was decided, and the views"):
            info = read_manifest(data_folder(path))
            run = Run(path, space, info, journal, state, resumed=True)
            _check_against_search(run, repair, findings)
        _check_curves(journal.records, state, findings)
        _check_scores(state, findings)
        check_data(path, findings)
        check_checkpoints(path, state, findings)
        with findings.of("the exported model"):
            check_export(path, state, findings)
        return findings
    finally:
        lock.release()


def _check_against_search(run: Run, repair: bool, findings: Findings) -> None:
    """What the search decides, given the outcomes, is what the journal and the views say."""
    if run.info.fingerprint != run.state.header.data:
        findings.add(f"the data in {data_folder(run.path)} is not the data this run started with")
    if run.state.confirmation and not run.state.trials:
        return  # it was compared without a search, so that KerasTuner has nothing to see
    hyperband = algorithm_of(run, costs_of(run))
    oracle = SearchOracle(run.space, hyperband, run.state, hypermodel_of(run))
    _check_decisions(run.state, oracle, findings)
    oracle.restore()
    if repair:
        oracle.write_views(run.path)
    check_views(run.path, oracle, findings)


def _check_decisions(state: RunState, oracle: SearchOracle, findings: Findings) -> None:
    """Every trial in the journal is one that Hyperband decides on, given the outcomes."""
    for name, trial in state.trials.items():
        findings.count("trials")
        plan = oracle.decisions.spec(name)
        if plan is None:
            findings.add(f"trial {name} was not chosen by this search")
        elif plan.candidate.configuration != trial.configuration:
            findings.add(f"trial {name} has another configuration than the search chose")
        elif (plan.epochs, plan.parent) != (trial.epochs, trial.spec.parent):
            findings.add(f"trial {name} has another budget than the search gave it")


def _check_curves(records: list[Record], state: RunState, findings: Findings) -> None:
    """Every training's epochs stand in the journal one after the other, within its budget."""
    curves: dict[str, list[dict[str, float]]] = {}
    for record in records:
        if record["type"] != "epoch":
            continue
        findings.count("epochs")
        epoch, trial = record["epoch"], state.trial(record["trial"])
        assert trial is not None, "a journal with an epoch of no trial is refused"
        curve = curves.setdefault(trial.lineage, [])
        if epoch == len(curve) + 1:
            curve.append(record["metrics"])
        elif curve[epoch - 1 : epoch] != [record["metrics"]]:
            findings.add(
                f"epoch {epoch} of training {trial.lineage} stands in the journal where epoch "
                f"{len(curve) + 1} was expected"
            )
        if epoch > trial.epochs:
            findings.add(
                f"trial {trial.trial_id} trained epoch {epoch}, but was to end after "
                f"{trial.epochs}"
            )


def _check_scores(state: RunState, findings: Findings) -> None:
    """Every finished trial's score is the objective at its last epoch; no other has one."""
    for name, times in Counter(state.end_order).items():
        if times > 1:
            findings.add(f"trial {name} ended {times} times")
    for name, trial in state.every_trial().items():
        if trial.status != COMPLETED:
            if trial.score is not None:
                findings.add(f"trial {name} is {trial.status} but has a score")
            continue
        findings.count("scores")
        curve = state.curves.get(trial.lineage, [])
        if len(curve) < trial.epochs:
            findings.add(
                f"trial {name} finished after {trial.epochs} epochs, but the journal has "
                f"{len(curve)} of its training"
            )
        elif (last := curve[trial.epochs - 1].get(state.objective)) != trial.score:
            findings.add(
                f"trial {name} has the score {trial.score}, but its {state.objective} after epoch "
                f"{trial.epochs} is {last}"
            )
