"""What several commands need."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from search.analysis.answer import RunAnswer
from search.analysis.summary import rows
from search.display.answer import answer_record
from search.display.console import make_console
from search.display.narrator import Narrator
from search.driver.export import Exported
from search.driver.opening import open_run
from search.driver.signals import Signals
from search.errors import UsageError
from search.executors import local
from search.executors.base import Executor
from search.runs.layout import compiled_folder
from search.runs.run import Run, load_run, space_of
from search.text import readable

MAX_NAME = 255
"""Bytes that file systems allow in a name."""


def run_directory(options: argparse.Namespace, default: str) -> Path:
    """The run directory that `--directory` and `--name` say.

    Args:
        options: Those, and `--data`, which is looked at first.
        default: String, the name where none was given.

    Raises:
        UsageError: If one of them cannot be had.
    """
    for option, given in (("--name", options.name), ("--directory", options.directory)):
        if given == "":
            raise UsageError(f"{option} is empty. Give a name, or leave {option} out.")
    name = options.name or default
    check_readable("--data", options.data or "")
    if Path(name).name != name or name in (".", ".."):
        raise UsageError(f"--name is a name, not a path. Received: {name!r}. Use --directory.")
    if "\0" in name or len(os.fsencode(name)) > MAX_NAME:
        raise UsageError(
            f"--name has at most {MAX_NAME} bytes. Received: {ascii(name[:40])}. Choose another."
        )
    path = Path(options.directory) / name
    check_readable("the run directory", absolute(path))
    return path


@contextlib.contextmanager
def opened_again(path: Path) -> Iterator[tuple[Run, Signals]]:
    """A run that is there, open with the space that its journal has, until the block ends."""
    space = space_of(load_run(path), path)
    check_readable("the run directory", absolute(path))
    with (
        Signals().caught() as signals,
        open_run(space, path, restore_data=True, progress=Narrator(signals.check)) as run,
    ):
        yield run, signals


def executor_of(run: Run, workers: int) -> Executor:
    """Workers on this machine, with their files in the run directory."""
    return local.LocalExecutor(workers, run.path / "workers.log", compiled_folder(run.path))


def absolute(path: Path) -> str:
    """A path from the root on.

    Raises:
        UsageError: If the current folder is gone.
    """
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise UsageError("the current folder was deleted. Go to one that is there.") from error


def check_readable(what: str, path: str) -> None:
    """Refuses a path whose bytes are no text: not every library that is to use it can.

    Raises:
        UsageError: If it has such bytes.
    """
    if not readable(path):
        raise UsageError(
            f"{what} has bytes that are no text in this locale. Received: {path}. Choose "
            "another name, or, if the name is right, set LC_ALL=C.UTF-8."
        )


def result_of(run: Run, exported: Exported, answer: RunAnswer | None = None) -> dict[str, Any]:
    """What `--json` prints of a run."""
    return {
        **({"answer": answer_record(answer)} if answer else {}),
        "run": str(run.path),
        "best": {"folder": str(exported.folder), **exported.metrics},
        "trials": rows(run.state),
    }


def console_of(options: argparse.Namespace) -> Console:
    """Where a command prints for people: standard error, where JSON takes standard output."""
    return make_console(
        plain=getattr(options, "verbose", False), to_stderr=getattr(options, "json", False)
    )
