"""A run: its directory, opened for driving or for reading, with the guard on resuming."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypermodels.cost import CostModel
from hypermodels.network import ImageSpec
from search.candidates import check_feasible, check_pretrained
from search.data import (
    Dataset,
    PreparedInfo,
    Progress,
    SplitSettings,
    count_classes,
    imbalance_notice,
    load_dataset,
    no_progress,
    open_prepared,
    prepare,
)
from search.data.manifest import MANIFEST
from search.descriptions import Descriptions, describe_foreign, notices_of
from search.entries import FILE, ensure_folder, kind_of, remove
from search.errors import START_ANEW, RunDirectoryError, SpaceError
from search.files import (
    FileLock,
    make_folder,
    remove_leftovers,
    storage_errors,
    sync_folder,
)
from search.journal import Journal, Record, holds_records, read_journal
from search.records import FORMAT
from search.resume_guard import backbone_files, guard, versions
from search.run_directory import (
    JOURNAL,
    checkpoint_path,
    data_folder,
    discarded_path,
    is_ours,
    journal_path,
    lock_path,
    refuse_strange_entries,
)
from search.source_guard import check_same, check_source
from search.space import Space
from search.space_loading import recorded_space
from search.state import RunState
from search.trial import image_spec


@dataclass
class Run:
    """A run directory that this process drives.

    Args:
        path: The run directory.
        space: The `Space`.
        info: What its data holds.
        journal: The open `Journal`.
        state: What the journal says; kept up to date by `record`.
        resumed: Boolean, whether the run was there before.
        remarks: Sentences on what was found when it was opened this time.
    """

    path: Path
    space: Space
    info: PreparedInfo
    journal: Journal
    state: RunState
    resumed: bool
    remarks: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What was left out, assumed or could not be looked at, a sentence each."""
        return (*self.state.header.get("notices", ()), *self.remarks)

    def record(self, record: Record) -> None:
        """Writes a record to the journal, then takes it into account as a replay would."""
        self.state.apply(self.journal.append(record))


@contextlib.contextmanager
def open_run(
    space: Space,
    path: Path,
    *,
    overwrite: bool = False,
    mend_data: bool = False,
    searching: bool = False,
    progress: Progress = no_progress,
) -> Iterator[Run]:
    """Opens a run directory for driving: a new one, or one of the same search.

    The data is loaded and checked before anything is written.

    Args:
        space: The `Space`.
        path: The run directory.
        overwrite: Boolean, whether to delete a run that is there. Where that was broken
            off, it is done whatever is said now: most of the run may be gone.
        mend_data: Boolean, whether to prepare the data of a run anew where it is missing.
        searching: Boolean, whether a search is to begin or go on: the data of a run that
            is there is compared with its source, and a run of another space in which no
            trial was ever started makes room.
        progress: Called while data is loaded and prepared.

    Yields:
        The `Run`, locked until the block ends.

    Raises:
        RunDirectoryError: If the directory belongs to another search or program.
        RunLockedError: If another process drives it.
        DataError: If the data cannot be used.
        StorageError: If the directory cannot be written.
    """
    with storage_errors("the run directory", path):  # it may be forbidden to look
        there = _is_run(path, overwrite)
        if not overwrite:
            refuse_strange_entries(path)
        missing = mend_data and not (data_folder(path) / MANIFEST).exists()
        untrained = searching and there and not overwrite and _is_another_untrained(space, path)
    dataset: Dataset | None = None
    notices: list[str] = []
    described: dict[str, Record] = {}
    if not there or overwrite or missing or untrained:
        dataset, notices, described = _checked_data(space, progress)
    with storage_errors("the run directory", path):
        make_folder(path)
        lock = FileLock(lock_path(path))
        lock.acquire()
    extension: Record | None = None
    try:
        remove_leftovers(path)
        # Again: another process may have driven it until just now.
        there = _is_run(path, overwrite)
        if untrained:  # unless somebody has trained in it since
            untrained = there and _is_another_untrained(space, path)
        if (there and (overwrite or untrained)) or _is_half_cleared(path):
            _clear(path)
        with storage_errors("the run directory", path):
            refuse_strange_entries(path)
        goes_on = there and not overwrite and not untrained
        if goes_on:
            extension = guard(space, path)
        remarks: list[str] = []
        if dataset is not None:
            if goes_on:
                check_same(dataset, split_settings(space), read_run(path).header["data"])
            # A run that was killed before its first record has data but no journal yet.
            info = prepare(dataset, split_settings(space), data_folder(path), progress)
        else:
            info = open_prepared(data_folder(path)).info
            if searching:
                remarks = check_source(
                    info,
                    data_folder(path),
                    split_settings(space),
                    lambda: _dataset(space, progress),
                )
        with storage_errors("the run directory", path):
            ensure_folder(checkpoint_path(path, "0000").parent)
        journal = Journal(journal_path(path))
        try:
            state = RunState.replay(journal.records)
            run = Run(path, space, info, journal, state, bool(journal.records), tuple(remarks))
            if not journal.records:
                run.record(_header(space, info, notices))
                for record in described.values():
                    run.record(record)
            elif state.header["data"] != info.fingerprint:
                raise RunDirectoryError(
                    f"the data in {data_folder(path)} is not the data this run started with. "
                    f"Restore it. {START_ANEW}"
                )
            if extension:
                run.record(extension)
            # Those of a run that was killed after its first record.
            for record in describe_foreign(
                space, image_spec(info), state.descriptions, progress
            ).values():
                run.record(record)
            yield run
        finally:
            # A worker whose fork server was killed ends itself, in the middle of whatever.
            remove_leftovers(path)
            journal.close()
    finally:
        lock.release()


def _checked_data(
    space: Space, progress: Progress
) -> tuple[Dataset, list[str], dict[str, Record]]:
    """Loads the data and makes sure that the search can start on it.

    Returns:
        The data, sentences on what was left out or assumed, and the records of the
        backbones that were tried.
    """
    dataset = _dataset(space, progress)
    notices = data_notices(dataset, split_settings(space))
    backbone_files(space)  # raises if one cannot be read
    image = _image_of(dataset)
    described = describe_foreign(space, image, {}, progress)
    check_feasible(space, CostModel(image, Descriptions(described)), progress)
    check_pretrained(space, image)
    return dataset, [*notices, *notices_of(described)], described


def data_notices(dataset: Dataset, settings: SplitSettings) -> list[str]:
    """What there is to say about the data and its splits.

    Raises:
        DataError: If the splits cannot be cut.
    """
    uneven = imbalance_notice(count_classes(dataset, settings), dataset.class_names)
    return [*dataset.notices, uneven] if uneven else list(dataset.notices)


def image_of_data(space: Space, progress: Progress = no_progress) -> tuple[ImageSpec, list[str]]:
    """What the networks of a space take and give, without preparing its data.

    Returns:
        The `ImageSpec`, and sentences on what was left out or assumed of the data.

    Raises:
        DataError: If the search would refuse the data.
    """
    name = str(space.data["name"])
    if name in CIFAR_CLASSES:
        return ImageSpec((32, 32, 3), CIFAR_CLASSES[name]), []
    dataset = _dataset(space, progress)
    return _image_of(dataset), data_notices(dataset, split_settings(space))


def _image_of(dataset: Dataset) -> ImageSpec:
    height, width, channels = dataset.train.images.shape[1:]
    return ImageSpec((height, width, channels), len(dataset.class_names))


def _dataset(space: Space, progress: Progress) -> Dataset:
    return load_dataset(
        str(space.data["name"]),
        test_fraction=float(space.data["test_fraction"]),
        image_size=int(space.data["image_size"]) or None,
        progress=progress,
    )


CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100, "cifar10-sample": 10}
"""Data sets whose images are known without looking."""


def read_run(path: Path) -> RunState:
    """Reads a run without changing or locking it.

    Raises:
        RunDirectoryError: If there is no run.
    """
    # os.path answers False where it is forbidden to look; Path raises.
    if not os.path.lexists(journal_path(path)):
        raise RunDirectoryError(
            f"{path} is not a run directory: it has no {JOURNAL}. "
            "Give the directory that `cbam-search --space ...` named."
        )
    records, _ = read_journal(journal_path(path))
    state = RunState.replay(records)
    if not state.header:
        raise RunDirectoryError(f"{path} has not started: its journal is empty.")
    return state


def space_of(state: RunState, path: Path) -> Space:
    """The space that a run was started with, as its journal has it.

    Raises:
        RunDirectoryError: If it is none.
    """
    try:
        return recorded_space(state.header["space"], f"the space of {path}")
    except (SpaceError, RecursionError) as error:
        raise RunDirectoryError(
            f"the journal of {path} holds a space that this version does not read: {error}"
        ) from error


def split_settings(space: Space) -> SplitSettings:
    """The space's `data:` section as the data package takes it."""
    validation = float(space.data["validation"])
    return SplitSettings(
        int(validation) if validation >= 1 else validation,
        int(space.data["limit"]) or None,
        int(space.search["seed"]),
    )


def _header(space: Space, info: PreparedInfo, notices: list[str]) -> Record:
    return {
        "type": "run",
        "format": FORMAT,
        "space": space.to_dict(),
        "data": info.fingerprint,
        "versions": versions(),
        "files": backbone_files(space),
        "notices": notices,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _is_run(path: Path, overwrite: bool) -> bool:
    """Whether a run is there; refuses a directory with anything else in it.

    A run that is to be deleted may be a damaged one.
    """
    if not path.exists():
        return False
    if not path.is_dir():
        raise RunDirectoryError(f"{path} is a file. Choose another --directory or --name.")
    journal = journal_path(path)
    if kind_of(journal) and (
        holds_records(journal) if overwrite else bool(read_journal(journal)[0])
    ):
        return True
    if _is_half_cleared(path):
        return False
    ours = {"lock", "data", "checkpoints", JOURNAL}
    foreign = sorted({entry.name for entry in path.iterdir()} - ours)
    if foreign:
        what = "a KerasTuner project" if "oracle.json" in foreign else "other files"
        raise RunDirectoryError(
            f"{path} holds {what} ({', '.join(foreign[:3])}) and no run of cbam-search. "
            "Choose another --directory or --name."
        )
    return False


def _is_another_untrained(space: Space, path: Path) -> bool:
    """Whether a run of another space is there of which no trial was ever started.

    Somebody corrected a space, or a network, that was refused: there is nothing to keep.
    """
    if RunState.replay(read_journal(journal_path(path))[0]).trials:
        return False
    try:
        guard(space, path)
    except RunDirectoryError:
        return True
    return False


def _is_half_cleared(path: Path) -> bool:
    """Whether a deletion of a run was broken off here."""
    discarded = discarded_path(path)
    return (
        kind_of(discarded) == FILE and not kind_of(journal_path(path)) and holds_records(discarded)
    )


def _clear(path: Path) -> None:
    """Deletes a run but for its lock; what lies beside the program's own entries stays.

    Its journal is renamed first, so that at any moment there is a whole run or none, and
    goes last: without it, what a kill left of the rest would be nobody's.
    """
    discarded = discarded_path(path)
    with storage_errors("the run directory", path):
        if kind_of(journal_path(path)):
            if kind_of(discarded) not in ("", FILE):
                remove(discarded)
            os.replace(journal_path(path), discarded)
            sync_folder(path)
        for entry in path.iterdir():
            if entry.name not in ("lock", discarded.name) and is_ours(entry.name):
                remove(entry)
        sync_folder(path)
        discarded.unlink()
        sync_folder(path)
