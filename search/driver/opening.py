"""Opens a run directory for driving: a new one, or one of the same search."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypermodels.networks.cost import CostModel
from search.candidates.feasibility import check_feasible, check_pretrained
from search.data import Dataset, PreparedInfo, Progress, no_progress, open_prepared, prepare
from search.data.manifest import MANIFEST
from search.driver.describing import describe_foreign
from search.errors import START_ANEW, RunDirectoryError
from search.runs.clearing import clear, is_half_cleared, is_run
from search.runs.descriptions import Descriptions, notices_of
from search.runs.journal import Journal, Record, read_journal
from search.runs.layout import (
    checkpoint_path,
    data_folder,
    journal_path,
    lock_path,
    refuse_strange_entries,
)
from search.runs.records import BackboneDescribed, RunBegan, SearchExtended, now
from search.runs.resume_guard import backbone_files, guard, versions
from search.runs.run import Run
from search.runs.source_guard import check_same, check_source
from search.runs.state import RunState
from search.space.data_of import data_notices, dataset_of, split_settings
from search.space.image_spec import image_of, image_spec
from search.space.space import Space
from search.storage.entries import ensure_folder, kind_of
from search.storage.files import FileLock, make_folder, remove_leftovers, storage_errors


@contextlib.contextmanager
def open_run(
    space: Space,
    path: Path,
    *,
    overwrite: bool = False,
    restore_data: bool = False,
    searching: bool = False,
    progress: Progress = no_progress,
) -> Iterator[Run]:
    """Opens a run directory for driving: a new one, or one of the same search.

    The data of a new run is loaded and checked before anything is written. A run that is
    there is locked, and its journal read once.

    Args:
        space: The `Space`.
        path: The run directory.
        overwrite: Boolean, whether to delete a run that is there. An interrupted overwrite
            is always finished, even without it: most of the old run may be deleted already.
        restore_data: Boolean, whether to prepare a run's missing data again.
        searching: Boolean, whether a search will begin or go on. An existing run's data is
            then compared with its source, and a run of another space that has started no
            trial is deleted.
        progress: Called while data is loaded and prepared.

    Yields:
        The `Run`, locked until the block ends.

    Raises:
        RunDirectoryError: If the directory belongs to another search or program.
        RunLockedError: If another process drives it.
        DataError: If the data cannot be used.
        StorageError: If the directory cannot be written.
    """
    with storage_errors("the run directory", path):  # stat may be denied
        there = is_run(path)
        if not overwrite:
            refuse_strange_entries(path)
    checked = None if there and not overwrite else _checked_data(space, progress)
    with _locked(path):
        remove_leftovers(path)
        # Again: another process may have driven it until just now.
        if (is_run(path) and overwrite) or is_half_cleared(path):
            clear(path)
        with storage_errors("the run directory", path):
            refuse_strange_entries(path)
            missing = restore_data and not (data_folder(path) / MANIFEST).exists()
        extension: SearchExtended | None = None
        found = _records(path)
        state = RunState.replay(found[0])
        if state.began:
            try:
                extension = guard(state, space, path)
            except RunDirectoryError:
                if state.trials or not searching:
                    raise
                # Somebody corrected a space, or a network, that was refused: there is
                # nothing to keep.
                checked = checked or _checked_data(space, progress)
                clear(path)
                found, state = _records(path), RunState()
        resumed = state.began is not None
        if checked is None and (missing or not resumed):
            checked = _checked_data(space, progress)
        remarks: list[str] = []
        if checked is not None:
            if resumed:
                check_same(checked.dataset, split_settings(space), state.header.data)
            # A run that was killed before its first record has data but no journal yet.
            info = prepare(checked.dataset, split_settings(space), data_folder(path), progress)
        else:
            info = open_prepared(data_folder(path)).info
            if searching:
                remarks = check_source(
                    info,
                    data_folder(path),
                    split_settings(space),
                    lambda: dataset_of(space, progress),
                )
        with storage_errors("the run directory", path):
            ensure_folder(checkpoint_path(path, "0000").parent)
        journal = Journal(journal_path(path), found)
        try:
            costs = checked.costs if checked else None
            remarks = [*space.notices, *remarks]
            run = Run(path, space, info, journal, state, resumed, tuple(remarks), costs)
            if resumed and state.header.data != info.fingerprint:
                raise RunDirectoryError(
                    f"the data in {data_folder(path)} is not the data this run started with. "
                    f"Restore it. {START_ANEW}"
                )
            if checked is not None and not resumed:
                run.record(_header(space, info, checked.notices))
                for record in checked.described.values():
                    run.record(record)
            if extension:
                run.record(extension)
            # Those of a run that was killed after its first record.
            for record in describe_foreign(
                space, image_spec(info), state.descriptions, progress
            ).values():
                run.record(record)
            yield run
        finally:
            # A worker orphaned by its fork server exits at once and may leave temporary files.
            remove_leftovers(path)
            journal.close()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Makes the run directory, and holds its lock while the block runs."""
    lock = FileLock(lock_path(path))
    with storage_errors("the run directory", path):
        make_folder(path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _records(path: Path) -> tuple[list[Record], bytes]:
    """What `read_journal` gives; nothing where there is no journal."""
    journal = journal_path(path)
    return read_journal(journal) if kind_of(journal) else ([], b"")


@dataclass(frozen=True)
class _Checked:
    """Data that a search can start on.

    Args:
        dataset: The data.
        notices: Sentences on what was left out or assumed.
        described: The records of the backbones that were tried.
        costs: Has counted the others, each once.
    """

    dataset: Dataset
    notices: list[str]
    described: dict[str, BackboneDescribed]
    costs: CostModel


def _checked_data(space: Space, progress: Progress) -> _Checked:
    """Loads the data and makes sure that the search can start on it."""
    dataset = dataset_of(space, progress)
    notices = data_notices(dataset, split_settings(space))
    backbone_files(space)  # raises if one cannot be read
    image = image_of(dataset)
    described = describe_foreign(space, image, {}, progress)
    costs = CostModel(image, Descriptions(described))
    check_feasible(space, costs, progress)
    check_pretrained(space, image)
    return _Checked(dataset, [*notices, *notices_of(described)], described, costs)


def _header(space: Space, info: PreparedInfo, notices: list[str]) -> RunBegan:
    return RunBegan(
        space=space.to_dict(),
        data=info.fingerprint,
        versions=versions(),
        files=backbone_files(space),
        notices=notices,
        started=now(),
    )
