"""What several commands need."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from search.analysis.answer import RunAnswer
from search.analysis.summary import rows
from search.display.answer import answer_record
from search.display.console import make_console
from search.driver.export import Exported
from search.errors import UsageError
from search.executors import local
from search.executors.base import Executor
from search.runs.layout import compiled_folder
from search.runs.run import Run
from search.text import readable


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
