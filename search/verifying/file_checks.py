"""Checks the files of a run directory against its journal; none is changed, loaded or run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from search.data import open_prepared, open_test
from search.driver.oracle import SearchOracle, view_text
from search.runs.exported_files import changed_files
from search.runs.layout import (
    best_folder,
    checkpoints,
    data_folder,
    trial_folder,
)
from search.runs.state import RunState
from search.storage.arrays import ArrayArchive
from search.storage.entries import FOLDER, format_path, is_file, kind_of, open_to_read, read_bytes
from search.verifying.findings import Findings
from search.worker.checkpoint import LARGEST_META, read_meta

BYTES_A_PARAMETER = 64
"""More than a parameter takes with all that an optimizer keeps of it."""

LARGEST_GRAPH = 2**28
"""Bytes of what an exported model has beside its parameters, at most."""


def check_data(path: Path, findings: Findings) -> None:
    """Every array is the one that was prepared."""
    with findings.of("the data"):
        open_prepared(data_folder(path), verify=True)
        open_test(data_folder(path))
    findings.count("data splits")


def check_checkpoints(path: Path, state: RunState, findings: Findings) -> None:
    """Every checkpoint is whole, and has the history that the journal has."""
    for checkpoint in checkpoints(path):
        findings.count("checkpoints")
        with findings.of(f"the checkpoint {format_path(checkpoint)}"):
            _check_checkpoint(checkpoint, state, findings)


def _check_checkpoint(path: Path, state: RunState, findings: Findings) -> None:
    try:
        saved = _saved_curve(path, _largest(state))
    except (OSError, ValueError) as error:
        findings.add(f"the checkpoint {format_path(path)} is damaged: {error}")
        return
    curve = state.curves.get(path.stem, [])
    # The worker writes the checkpoint before the driver writes the journal, so it may be
    # ahead by the epochs that were not yet told.
    if saved[: len(curve)] != curve[: len(saved)]:
        findings.add(f"the checkpoint {format_path(path)} has another history than the journal")


def _saved_curve(path: Path, largest: int) -> list[dict[str, float]]:
    with open_to_read(path) as file:
        if path.lstat().st_size > largest + LARGEST_META:
            raise ValueError("it is larger than the state of any network of the run")
        archive = ArrayArchive(file)
        archive.check()
        curve: list[dict[str, float]] = read_meta(archive)["curve"]
        return curve


def _largest(state: RunState) -> int:
    """Bytes that the numbers of a network of the run, and its optimizer's, do not exceed."""
    parameters = [trial.parameters for trial in state.every_trial().values()]
    return BYTES_A_PARAMETER * max(parameters, default=0)


def check_views(path: Path, oracle: SearchOracle, findings: Findings) -> None:
    """KerasTuner's files match the journal."""
    expected: dict[Path, Any] = {path / "oracle.json": oracle.get_state()}
    for name, trial in oracle.trials.items():
        expected[trial_folder(path, name) / "trial.json"] = trial.get_state()
    for view, content in expected.items():
        findings.count("views")
        with findings.of(f"the view {view}"):
            _check_view(view, len(view.parts) - len(path.parts) - 1, view_text(content), findings)


def _check_view(path: Path, folders: int, text: str, findings: Findings) -> None:
    try:
        # As another program may lay it out.
        found = json.loads(read_bytes(path, 10 * len(text) + 10_000, folders))
    except RecursionError:
        found = None
    except (OSError, ValueError) as error:
        findings.add(f"the view {path} cannot be read: {error} (fix: --repair)")
        return
    if found != json.loads(text):
        findings.add(f"the view {path} is not what the journal says (fix: --repair)")


def check_export(path: Path, state: RunState, findings: Findings) -> None:
    """The exported files are those that were exported."""
    if not state.exports:
        return
    findings.count("exported models")
    folder, record = best_folder(path), state.exports[-1]
    if kind_of(folder) != FOLDER:
        findings.add(
            f"the exported model in {folder} is gone (`cbam-search export` makes it again)"
        )
    elif record.files is not None:
        for line in changed_files(folder, record.files, _largest(state) + LARGEST_GRAPH):
            findings.add(line)
    elif not is_file(folder / "metrics.json") or not is_file(
        folder / "saved_model" / "saved_model.pb"
    ):
        findings.add(f"the exported model in {folder} is not whole")
