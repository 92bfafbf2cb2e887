"""The export, tried with an untrained network before the first trial.

What cannot be saved, loaded and scored is found out before anything is spent on training
it. Networks of this package's own families are known to leave it whole, on TensorFlow;
those that somebody else's code builds, and other backends, are tried.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from search.algorithms.trials import TrialSpec
from search.data import Progress
from search.driver.assigning import assignment_of
from search.driver.export import save_model
from search.driver.tuner import SearchTuner
from search.errors import ExportError, SpaceError
from search.executors.base import Executor
from search.imports.keras_in_driver import keras_backend
from search.messages import ExportRequest
from search.runs.descriptions import is_foreign
from search.runs.export_formats import notes
from search.runs.layout import rehearsal_folder
from search.runs.run import Run
from search.storage.entries import remove
from search.storage.files import storage_errors


def rehearse(
    run: Run, tuner: SearchTuner, executor: Executor, progress: Progress
) -> tuple[str, ...]:
    """Goes through an export of each kind of network, untrained, if nothing is trained yet.

    Args:
        run: The open `Run`.
        tuner: Knows the trials to come.
        executor: Where it is done; nothing else runs on it.
        progress: Called meanwhile.

    Returns:
        What a person should know of the exports to come, a sentence each.

    Raises:
        SpaceError: If a network cannot be exported.
        StorageError: If the machine is at fault.
    """
    if run.state.trials:
        return ()
    found: dict[str, None] = {}
    for name, plan in _unproven(tuner.oracle.decisions.trials()).items():
        for note in _rehearse_one(run, name, plan, executor, progress):
            found.setdefault(note)
    return tuple(found)


def _unproven(plans: Sequence[TrialSpec]) -> dict[str, TrialSpec]:
    """A trial for each network to try, by the network's name; one with attention, if any has."""
    found: dict[str, TrialSpec] = {}
    for plan in sorted(plans, key=_without_attention):
        backbone = plan.candidate.configuration.backbone
        if is_foreign(backbone):
            found.setdefault(str(backbone["model"]), plan)
        elif keras_backend() != "tensorflow":
            found.setdefault(str(backbone["family"]), plan)
    return found


def _without_attention(plan: TrialSpec) -> bool:
    return bool(plan.candidate.configuration.attention["type"] == "none")


def _rehearse_one(
    run: Run, name: str, plan: TrialSpec, executor: Executor, progress: Progress
) -> Iterator[str]:
    folder = rehearsal_folder(run.path)
    with storage_errors("the rehearsal of the export", folder):
        remove(folder)
        folder.mkdir()
    request = ExportRequest(
        assignment_of(run, plan),
        0.0,
        folder.resolve(),
        keras_backend(),
        rehearsal=True,
    )
    try:
        result = save_model(run, request, executor, progress, f"Trying to export {name}")
    except ExportError as error:
        raise SpaceError(
            f"{run.space.source}: backbone: {str(error).rstrip('.')}. This was tried with the "
            "untrained network; nothing has been trained."
        ) from error
    finally:
        with contextlib.suppress(OSError):  # it costs room and nothing else
            remove(folder)
    yield from notes(result)
