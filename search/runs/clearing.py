"""Whether a run exists, and its deletion, which may be interrupted at any moment."""

from __future__ import annotations

import os
from pathlib import Path

from search.errors import RunDirectoryError
from search.runs.journal import holds_records
from search.runs.layout import JOURNAL, discarded_path, is_ours, journal_path
from search.storage.entries import FILE, kind_of, remove
from search.storage.files import storage_errors, sync_folder


def is_run(path: Path) -> bool:
    """Whether a run exists, damaged or not; refuses a directory with anything else in it."""
    if not path.exists():
        return False
    if not path.is_dir():
        raise RunDirectoryError(f"{path} is a file. Choose another --directory or --name.")
    journal = journal_path(path)
    if kind_of(journal) and holds_records(journal):
        return True
    if is_half_cleared(path):
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


def is_half_cleared(path: Path) -> bool:
    """Whether the deletion of a run was interrupted here."""
    discarded = discarded_path(path)
    return (
        kind_of(discarded) == FILE and not kind_of(journal_path(path)) and holds_records(discarded)
    )


def clear(path: Path) -> None:
    """Deletes a run but for its lock; what lies beside the program's own entries stays.

    Its journal is renamed first, so that at any moment there is a whole run or none. The
    renamed journal is deleted last: without it, files left by a kill could not be
    recognized as ours.
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
