"""The whole command line in a fork, with nothing trained."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.search.command import results
from tests.search.reliability.crash_points import CrashPoints
from tests.search.reliability.fake_executor import FakeExecutor

SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention:
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [2, 4]}
data: {name: DATA, validation: 10, batch_size: 10}
search: {max_epochs: 3, factor: 3, seed: 3}
"""


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


@dataclass(frozen=True)
class CommandLine:
    """A command line with the fake executor in the place of the real one.

    Args:
        arguments: The arguments; each is turned into a string.
        points: Where the process dies, if anywhere.
        trained: File outside the run that takes every trained epoch.
    """

    arguments: list[object]
    points: CrashPoints | None = None
    trained: Path | None = None

    def __call__(self) -> int:
        """Runs it; returns its exit code."""
        from search.cli import commands as cli
        from search.executors import local

        local.LocalExecutor = FakeExecutor  # type: ignore[assignment, misc]
        if self.trained:
            FakeExecutor.trained = staticmethod(log_training(self.trained))
        if self.points:
            self.points.install()
        return cli.main([str(argument) for argument in self.arguments])


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
