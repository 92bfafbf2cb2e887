"""Whether the data that a run began with is still what its source holds.

A run has a copy of its own, so a source that changed would go unnoticed: the same command
would show the results of data that is not there any more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from search.data import (
    NAMED,
    ClassCounts,
    Dataset,
    PreparedInfo,
    SplitSettings,
    count_classes,
    fingerprint_of,
)
from search.data.origin import Changes, compare, read_origin, write_origin
from search.data.sources import path_of, source_files
from search.data.wording import some_of
from search.errors import DataError, RunDirectoryError
from search.storage.files import storage_errors
from search.text import pluralize, printable

_ADJECTIVES = {"train": "training"}


def check_source(
    info: PreparedInfo, folder: Path, settings: SplitSettings, load: Callable[[], Dataset]
) -> list[str]:
    """Compares the source of a run's data with what it was when the run began.

    Nothing is read where sizes and times of all files are as they were, and nothing is
    decoded where their contents are.

    Args:
        info: The manifest of the run's own copy.
        folder: The folder of that copy.
        settings: How the space splits the data.
        load: Loads the data from its source.

    Returns:
        Sentences on what could not be compared.

    Raises:
        RunDirectoryError: If the source holds other data now.
        StorageError: If the machine refuses a write.
    """
    name = info.source
    if name in NAMED:
        return []
    if not os.path.exists(path_of(name)):
        return [
            f"{printable(name)} is gone: the run goes on with its own copy, {printable(folder)}."
        ]
    origin = read_origin(folder)
    if origin is None:
        return [
            f"The run has no record of the files that {printable(name)} had when it began, so it "
            "is not known whether they changed; it goes on with its own copy, "
            f"{printable(folder)}."
        ]
    try:
        changes = compare(origin, source_files(name))
        if not changes:
            return []
        dataset = load()
        if fingerprint_of(dataset, settings) == info.fingerprint:
            if dataset.origin is not None:
                with storage_errors("the record of the data's files", folder):
                    write_origin(folder, dataset.origin)
            return []
        difference = _differences(info, dataset, settings, changes)
    except (DataError, OSError) as error:
        difference = f"it cannot be used any more as it is: {error}"
    raise other_data(name, difference)


def check_same(dataset: Dataset, settings: SplitSettings, fingerprint: str) -> None:
    """Checks that data belongs to a run before it replaces the run's lost copy.

    Raises:
        RunDirectoryError: If it is other data.
    """
    if fingerprint_of(dataset, settings) != fingerprint:
        raise other_data(dataset.source, "the run's own copy is gone, and this is other data")


def other_data(name: str, difference: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{printable(name)} has changed since this run began: {difference.rstrip('.')}. Results "
        "on other data would not compare, and nothing was changed. Restore the data as it was to "
        "go on with this run, or choose another --name for a run on the data as it is now."
    )


def _differences(
    info: PreparedInfo, dataset: Dataset, settings: SplitSettings, changes: Changes
) -> str:
    """What changed, in words, the most telling first."""
    names = dataset.class_names
    said = _class_differences(info.class_names, names)
    if not said:
        said = _count_differences(info.class_counts, count_classes(dataset, settings), names)
    files = [
        f"{pluralize(len(each), 'file')} {what} ({some_of(each, 3)})"
        for each, what in (
            (changes.added, "added"),
            (changes.removed, "removed"),
            (changes.replaced, "with another content"),
        )
        if each
    ]
    if not said:
        said = ["as many images of each class, with other pixels or in another order"]
    return "; ".join([*said, *files])


def _class_differences(then: Sequence[str], now: Sequence[str]) -> list[str]:
    if list(then) == list(now):
        return []
    if sorted(then) == sorted(now):
        return ["the classes have another order"]
    new = [name for name in now if name not in then]
    gone = [name for name in then if name not in now]
    return [
        f"{pluralize(len(names), 'class', 'classes')} {what} ({some_of(names)})"
        for names, what in ((new, "added"), (gone, "removed"))
        if names
    ]


def _count_differences(
    then: ClassCounts, now: ClassCounts, class_names: Sequence[str]
) -> list[str]:
    return [
        f"{before:,} {_ADJECTIVES.get(split, split)} images of {printable(name)} in the run, "
        f"{after:,} now"
        for split in now
        if split in then
        for name, before, after in zip(class_names, then[split], now[split], strict=True)
        if before != after
    ][:6]
