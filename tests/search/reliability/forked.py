"""The whole command line in a fork of this process, with nothing trained.

A fork of a process that has imported everything starts in milliseconds, so a search can be
run hundreds of times; and it can die as abruptly as a test likes.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search import cli
from search.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

import search.executors.local  # noqa: E402
import search.export  # noqa: E402, F401
import search.progress  # noqa: E402, F401
import search.report  # noqa: E402, F401
import search.resume_guard  # noqa: E402, F401
import search.summary  # noqa: E402, F401
import search.tuner  # noqa: E402, F401
import search.verify  # noqa: E402, F401
from tests.search.command import results  # noqa: E402
from tests.search.reliability.fake_executor import FakeExecutor  # noqa: E402

SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention:
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [2, 4]}
data: {name: DATA, validation: 10, batch_size: 10}
search: {max_epochs: 3, factor: 3, seed: 3}
"""

PATIENCE = 60
"""Seconds after which a fork counts as hung."""


@dataclass(frozen=True)
class Ended:
    """How a fork ended: its exit code (128 more than the signal that killed it), its output."""

    code: int
    said: str


def forked(work: Callable[[], int], log: Path) -> Ended:
    """Runs `work` in a fork; its result is the exit code. Never returns in the fork."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            signal.alarm(PATIENCE)
            with log.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
            sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)
            code = work()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 98
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code if code >= 0 else 128 - code, log.read_text("utf-8", "replace"))


def write_space(directory: Path, **search: object) -> Path:
    """Writes a data set of tiny images and a space on it; returns the space's path."""
    random = np.random.default_rng(7)
    arrays = {}
    for split, count in (("train", 40), ("test", 10)):
        arrays[f"x_{split}"] = random.integers(0, 256, (count, 16, 16, 3)).astype("uint8")
        arrays[f"y_{split}"] = np.arange(count) % 10
    np.savez(directory / "tiny.npz", **arrays)
    space = directory / "small.yaml"
    text = SPACE.replace("DATA", str(directory / "tiny.npz"))
    for key, value in search.items():
        text = text.rstrip().removesuffix("}") + f", {key}: {value}}}\n"
    space.write_text(text)
    return space


def command_line(arguments: list[object], prepare: Callable[[], None] = lambda: None) -> int:
    """The command line with the fake executor in the place of the real one."""
    search.executors.local.LocalExecutor = FakeExecutor  # type: ignore[assignment, misc]
    prepare()
    return cli.main([str(argument) for argument in arguments])


def log_training(path: Path) -> Callable[[str, int], None]:
    """Appends every trained epoch to a file outside the run, at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    return lambda lineage, epoch: (os.write(descriptor, f"{lineage} {epoch}\n".encode()), None)[1]


def everything(run: Path) -> dict[str, Any]:
    """All of a run that nothing may change: `results`, and KerasTuner's views."""
    oracle = json.loads((run / "oracle.json").read_text())
    # In which order trials run side by side begin and end is a matter of timing.
    for key in ("start_order", "end_order"):
        if key in oracle:
            oracle[key] = sorted(oracle[key])
    trials = {
        path.parent.name: json.loads(path.read_text()) for path in run.glob("trial_*/trial.json")
    }
    best = {
        str(path.relative_to(run)): path.read_bytes() if path.is_file() else b""
        for path in sorted((run / "best").rglob("*"))
    }
    files = sorted(
        str(path.relative_to(run))
        for path in run.rglob("*")
        # Logs are not fsynced, so a power loss may take them; a fence is nobody's after the end.
        if path.suffix not in (".log", ".fence") and path.name != "journal.torn"
    )
    return {**results(run), "oracle": oracle, "views": trials, "export": best, "files": files}
