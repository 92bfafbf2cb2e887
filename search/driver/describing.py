"""A worker builds and tries a person's own networks before anything is written."""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from hypermodels.image import ImageSpec
from hypermodels.settings.configuration import combinations, digest
from search.data import Progress
from search.driver.side_tasks import run_to_end
from search.errors import SpaceError, StorageError
from search.executors.local import LocalExecutor
from search.messages import DescribeRequest, Task
from search.runs.descriptions import Settings, is_foreign
from search.runs.records import BackboneDescribed
from search.space.definition import tuned_sections
from search.space.space import Space

MOST = 64
"""Settings of a foreign backbone that are tried; each takes seconds."""


def describe_foreign(
    space: Space, image: ImageSpec, known: Mapping[str, BackboneDescribed], progress: Progress
) -> dict[str, BackboneDescribed]:
    """Looks at every foreign backbone of a space that is not known yet.

    Args:
        space: The `Space`.
        image: The `ImageSpec` of its data.
        known: What is known already, by the digest of their settings.
        progress: Called while a worker builds.

    Returns:
        What was found of each, by the digest of its settings.

    Raises:
        SpaceError: If building one ends the process.
        StorageError: If no process could be started.
    """
    found: dict[str, BackboneDescribed] = {}
    unknown = (each for each in _foreign(space) if digest(dict(each)) not in known)
    missing = list(itertools.islice(unknown, MOST + 1))
    if not missing:
        return found
    if len(missing) > MOST:
        raise SpaceError(
            f"{space.source}: backbone: your own network is tried with each of its settings, "
            f"of which there are at most {MOST}. Received: {len(missing)} or more. Offer fewer."
        )
    scratch = _scratch()
    with LocalExecutor(1, scratch / "workers.log", scratch / "compiled") as executor:
        for index, settings in enumerate(missing):
            task = Task(
                "search.worker.describe:describe",
                DescribeRequest(settings, image),
                "backbone",
                space.search.threads,
                scratch / "output.log",
            )
            what = f"{space.source}: backbone.model: {settings['model']} could not be tried"
            trying = f"Trying {settings['model']} in a worker process"
            check = partial(progress, trying, index, len(missing))
            result = run_to_end(executor, task, check, what, SpaceError)
            found[digest(dict(settings))] = BackboneDescribed(settings=dict(settings), **result)
    return found


def _scratch() -> Path:
    """A folder that lasts as long as this process: the fork server goes on writing its log."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="cbam-search-"))
    except OSError as error:
        raise StorageError(
            f"there is no room for a temporary folder: {error.strerror or error}. Give a "
            "writable folder in TMPDIR and run the same command again."
        ) from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _foreign(space: Space) -> Iterator[Settings]:
    section = tuned_sections()["backbone"]
    return (
        settings
        for settings in combinations(section, space.settings["backbone"])
        if is_foreign(settings)
    )
