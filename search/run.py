"""A run: its directory, opened for driving or for reading, with the guard on resuming."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hypermodels.network import ImageSpec
from search.candidates import check_feasible, check_pretrained
from search.data import (
    Dataset,
    PreparedInfo,
    SplitSettings,
    fingerprint_of,
    load_dataset,
    open_prepared,
    prepare,
)
from search.data.manifest import MANIFEST
from search.errors import RunDirectoryError
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
    journal_path,
    lock_path,
)
from search.space import Space
from search.space_loading import recorded_space
from search.state import RunState


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
    """

    path: Path
    space: Space
    info: PreparedInfo
    journal: Journal
    state: RunState
    resumed: bool

    def record(self, record: Record) -> None:
        """Writes a record to the journal, then takes it into account as a replay would."""
        self.state.apply(self.journal.append(record))


@contextlib.contextmanager
def open_run(
    space: Space, path: Path, *, overwrite: bool = False, mend_data: bool = False
) -> Iterator[Run]:
    """Opens a run directory for driving: a new one, or one of the same search.

    The data is loaded and checked before anything is written.

    Args:
        space: The `Space`.
        path: The run directory.
        overwrite: Boolean, whether to delete a run that is there. Where that was broken
            off, it is done whatever is said now: most of the run may be gone.
        mend_data: Boolean, whether to prepare the data of a run anew where it is missing.

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
        missing = mend_data and not (data_folder(path) / MANIFEST).exists()
    dataset = _checked_data(space) if not there or overwrite or missing else None
    with storage_errors("the run directory", path):
        make_folder(path)
        lock = FileLock(lock_path(path))
        lock.acquire()
    extension: Record | None = None
    try:
        remove_leftovers(path)
        # Again: another process may have driven it until just now.
        there = _is_run(path, overwrite)
        if (there and overwrite) or _is_half_cleared(path):
            _clear(path)
        elif there:
            extension = guard(space, path)
        if dataset is not None:
            # A run that was killed before its first record has data but no journal yet.
            info = prepare(dataset, split_settings(space), data_folder(path))
        else:
            info = open_prepared(data_folder(path)).info
        with storage_errors("the run directory", path):
            checkpoint_path(path, "0000").parent.mkdir(exist_ok=True)
        journal = Journal(journal_path(path))
        try:
            state = RunState.replay(journal.records)
            run = Run(path, space, info, journal, state, resumed=bool(journal.records))
            if not journal.records:
                run.record(_header(space, info))
            elif state.header["data"] != info.fingerprint:
                raise RunDirectoryError(
                    f"the data in {data_folder(path)} is not the data this run started with. "
                    "Restore it, or start anew with --overwrite."
                )
            if extension:
                run.record(extension)
            yield run
        finally:
            # A worker whose fork server was killed ends itself, in the middle of whatever.
            remove_leftovers(path)
            journal.close()
    finally:
        lock.release()


def _checked_data(space: Space) -> Dataset:
    """Loads the data and makes sure that the search can start on it."""
    dataset = _dataset(space)
    fingerprint_of(dataset, split_settings(space))  # raises if the splits cannot be cut
    backbone_files(space)  # raises if one cannot be read
    image = _image_of(dataset)
    check_feasible(space, image)
    check_pretrained(space, image)
    return dataset


def image_of_data(space: Space) -> ImageSpec:
    """What the networks of a space take and give, without preparing its data."""
    name = str(space.data["name"])
    if name in CIFAR_CLASSES:
        return ImageSpec((32, 32, 3), CIFAR_CLASSES[name])
    return _image_of(_dataset(space))


def _image_of(dataset: Dataset) -> ImageSpec:
    height, width, channels = dataset.train.images.shape[1:]
    return ImageSpec((height, width, channels), len(dataset.class_names))


def _dataset(space: Space) -> Dataset:
    return load_dataset(
        str(space.data["name"]),
        test_fraction=float(space.data["test_fraction"]),
        image_size=int(space.data["image_size"]) or None,
    )


CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100, "cifar10-sample": 10}
"""Data sets whose images are known without looking."""


def read_run(path: Path) -> RunState:
    """Reads a run without changing or locking it.

    Raises:
        RunDirectoryError: If there is no run.
    """
    # os.path answers False where it is forbidden to look; Path raises.
    if not os.path.isfile(journal_path(path)):
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
    """The space that a run was started with, as its journal has it."""
    return recorded_space(state.header["space"], f"the space of {path}")


def split_settings(space: Space) -> SplitSettings:
    """The space's `data:` section as the data package takes it."""
    validation = float(space.data["validation"])
    return SplitSettings(
        int(validation) if validation >= 1 else validation,
        int(space.data["limit"]) or None,
        int(space.search["seed"]),
    )


def _header(space: Space, info: PreparedInfo) -> Record:
    return {
        "type": "run",
        "format": FORMAT,
        "space": space.to_dict(),
        "data": info.fingerprint,
        "versions": versions(),
        "files": backbone_files(space),
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
    if journal.exists() and (
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


def _is_half_cleared(path: Path) -> bool:
    """Whether a deletion of a run was broken off here."""
    discarded = discarded_path(path)
    return discarded.exists() and not journal_path(path).exists() and holds_records(discarded)


def _clear(path: Path) -> None:
    """Deletes a run but for its lock.

    Its journal is renamed first, so that at any moment there is a whole run or none, and
    goes last: without it, what a kill left of the rest would be nobody's.
    """
    discarded = discarded_path(path)
    with storage_errors("the run directory", path):
        if journal_path(path).exists():
            os.replace(journal_path(path), discarded)
            sync_folder(path)
        for entry in path.iterdir():
            if entry.name in ("lock", discarded.name):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        sync_folder(path)
        discarded.unlink()
        sync_folder(path)
