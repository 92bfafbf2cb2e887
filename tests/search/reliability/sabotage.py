"""The command line with real worker processes that train nothing and misbehave as told.

`start` and `run` do what those of `tests.search.command` do. What goes wrong stands in the
environment variable `SABOTAGE`, as JSON: a mapping from trial id to what its worker does,
such as `{"0001": "segfault"}`; with `once` before it, as in `"once segfault"`, the first
worker alone. Workers need no TensorFlow, so a trial takes a tenth of a second.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

import search.executors.local as local  # noqa: E402
from search.assignment import Assignment, EpochDone, TrialDone, TrialFailed  # noqa: E402
from search.errors import CbamSearchError  # noqa: E402
from search.worker import Task  # noqa: E402
from tests.search.reliability.fake_executor import work_of  # noqa: E402

Report = Callable[[int, dict[str, float]], None]


def misbehave(kind: str) -> dict[str, Any]:
    """Goes wrong; where it returns after all, training goes on and has this result."""
    print("about to go wrong", flush=True)
    if kind == "exit":
        os._exit(3)
    elif kind == "segfault":
        ctypes.string_at(0)
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "hang":
        time.sleep(3600)
    elif kind == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif kind == "exception":
        raise ValueError("shapes (3,) and (4,)\nare not aligned")
    elif kind == "infinite":
        raise CbamSearchError("val_loss is not finite after epoch 1")
    elif kind == "unpicklable":
        return {"result": lambda: None}
    elif kind == "talkative":
        for _ in range(200):
            print("x" * 99_999, flush=True)
    elif kind == "eager":
        return {"many": list(range(100_000))}
    else:
        raise AssertionError(kind)
    return {}


def work(payload: tuple[str, Any], report: Report) -> dict[str, Any]:
    """Runs a task's fake, unless it is told to go wrong."""
    function, content = payload
    kind = ""
    if isinstance(content, Assignment):
        kind = json.loads(os.environ.get("SABOTAGE", "{}")).get(content.trial_id, "")
        if kind.startswith("once "):
            kind = kind.removeprefix("once ")
            marker = Path(content.run_directory).parent / f"{content.trial_id}.misbehaved"
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                kind = ""
    result = misbehave(kind) if kind else {}
    for event in work_of(function)(content):
        if isinstance(event, EpochDone):
            time.sleep(float(os.environ.get("EPOCH_SECONDS", "0")))
            report(event.epoch, event.metrics)
        elif isinstance(event, TrialFailed):
            raise CbamSearchError(event.reason)
        elif isinstance(event, TrialDone):
            return {**event.result, **result}
    raise AssertionError("a task ends with an event")


class SabotagedExecutor(local.LocalExecutor):
    """Real processes, fake training."""

    def submit(self, worker: str, task: Task) -> None:
        payload = (task.function, task.payload)
        super().submit(worker, replace(task, function=f"{__name__}:work", payload=payload))


def main() -> int:
    from search.cli import main as cbam_search

    local.PRELOAD[:] = ["tests.search.reliability.sabotage"]
    local.LocalExecutor = SabotagedExecutor  # type: ignore[misc]
    return cbam_search()


PROGRAM = "import sys; from tests.search.reliability.sabotage import main; sys.exit(main())"
ROOT = Path(__file__).parents[3]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *map(str, arguments)]


def environment(sabotage: Mapping[str, str] | None = None, **extra: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    told = {"SABOTAGE": json.dumps(sabotage or {}), "PYTHONPATH": path}
    return {**os.environ, "COLUMNS": "200", **told, **extra}


def run(
    *arguments: object,
    check: int | None = 0,
    sabotage: Mapping[str, str] | None = None,
    **extra: str,
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end; `check` is the exit code it must have."""
    result = subprocess.run(
        command(*arguments, "--verbose"),
        capture_output=True,
        text=True,
        env=environment(sabotage, **extra),
        timeout=300,
    )
    if check is not None:
        assert result.returncode == check, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr, result.stderr
    return result


def start(
    *arguments: object, log: Path, sabotage: Mapping[str, str] | None = None, **extra: str
) -> subprocess.Popen[bytes]:
    """Starts the command in a process group of its own, so that all of it can be killed."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command(*arguments, "--verbose"),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(sabotage, **extra),
            start_new_session=True,
        )
