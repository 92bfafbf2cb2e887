"""The command line with real worker processes that train nothing and misbehave as told.

`start` and `run` do what those of `tests.search.command` do. What goes wrong stands in the
environment variable `SABOTAGE`, as JSON: a mapping from trial id to what its worker does,
such as `{"0001": "segfault"}`; with `once` before it, as in `"once segfault"`, the first
worker alone. Workers need no TensorFlow, so a trial takes a tenth of a second.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.imports.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

import search.executors.local as local  # noqa: E402
import search.executors.memory as memory  # noqa: E402
import search.worker.process as worker  # noqa: E402
from search.errors import CbamSearchError  # noqa: E402
from search.messages import (  # noqa: E402
    Assignment,
    EpochDone,
    Task,  # noqa: E402
    TrialDone,
    TrialFailed,
)
from search.worker.fence import FencedOffError  # noqa: E402
from tests.search.reliability.fake_executor import FakeExecutor, work_of  # noqa: E402

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
    elif kind == "babbling":
        puts = ctypes.PyDLL(None).puts  # as native code prints, not letting go of the interpreter
        while True:
            puts(b"y" * 9_999)
    elif kind == "eager":
        return {"many": list(range(100_000))}
    else:
        raise AssertionError(kind)
    return {}


def stop_before_writing(diary: Path, watched: bool) -> None:
    """The next epoch is trained, and its process stopped before the checkpoint is written.

    Args:
        diary: File that takes the process's id before it stops, and what stopped it for
            good when it woke up.
        watched: Boolean, whether it may end itself because its driver is gone.
    """
    os.setsid()  # a kernel ends stopped members of a process group that lost its leader
    really_exit, main = os._exit, threading.main_thread()

    def exit_from_main_thread(code: int) -> None:
        if threading.current_thread() is not main:
            threading.Event().wait()
        really_exit(code)

    if not watched:
        os._exit = exit_from_main_thread  # type: ignore[assignment]

    def stop(lineage: str, epoch: int) -> None:
        FakeExecutor.trained = staticmethod(lambda lineage, epoch: None)
        diary.write_text(f"{os.getpid()}\n")
        os.kill(os.getpid(), signal.SIGSTOP)

    FakeExecutor.trained = staticmethod(stop)


def work(payload: tuple[str, Any], report: Report) -> dict[str, Any]:
    """Runs a task's fake, unless it is told to go wrong."""
    function, content = payload
    kind, diary = "", Path()
    if isinstance(content, Assignment):
        kind = json.loads(os.environ.get("SABOTAGE", "{}")).get(content.trial_id, "")
        diary = Path(content.run_directory).parent / f"{content.trial_id}.misbehaved"
        if kind.startswith("once "):
            kind = kind.removeprefix("once ")
            try:
                diary.touch(exist_ok=False)
            except FileExistsError:
                kind = ""
    result: dict[str, Any] = {}
    if kind in ("stop before writing", "stop unwatched before writing"):
        stop_before_writing(diary, watched="unwatched" not in kind)
    elif kind:
        result = misbehave(kind)
    try:
        return {**_trained(function, content, report), **result}
    except FencedOffError:
        with diary.open("a") as file:
            file.write("fenced off\n")
        raise


def _trained(function: str, content: Any, report: Report) -> dict[str, Any]:
    for event in work_of(function)(content):
        if isinstance(event, EpochDone):
            time.sleep(float(os.environ.get("EPOCH_SECONDS", "0")))
            report(event.epoch, event.metrics)
        elif isinstance(event, TrialFailed):
            raise CbamSearchError(event.reason)
        elif isinstance(event, TrialDone):
            return event.result
    raise AssertionError("a task ends with an event")


class SabotagedExecutor(local.LocalExecutor):
    """Real processes, fake training."""

    def submit(self, worker: str, task: Task) -> None:
        payload = (task.function, task.payload)
        super().submit(worker, replace(task, function=f"{__name__}:work", payload=payload))


def start_badly(kind: str, times: Path) -> None:
    """Goes wrong as long as a file is there, or as often as the number in it says."""
    try:
        left = times.read_text()
    except FileNotFoundError:
        return
    if left == "0":
        return
    if left:
        times.write_text(str(int(left) - 1))
    print("libtorn.so.7: the cause of it all", file=sys.stderr, flush=True)
    if kind == "abort":
        os.abort()
    elif kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif kind == "import":
        raise ImportError("libtorn.so.7: failed to map segment from shared object")
    elif kind == "memory":
        raise OSError(errno.ENOMEM, "Cannot allocate memory")
    elif kind == "thread":
        raise RuntimeError("can't start new thread")
    elif kind == "exit":
        os._exit(3)
    else:
        raise AssertionError(kind)


def _sabotage_starts() -> None:
    """In the fork server or a worker: has it go wrong before a task begins, if that is told.

    `BAD_START` is `server KIND FILE` (where the framework is imported) or `worker KIND FILE`.
    """
    if "SABOTAGED" not in os.environ or "BAD_START" not in os.environ:
        return
    where, kind, times = os.environ["BAD_START"].split(" ", 2)
    if where == "server":
        start_badly(kind, Path(times))
        return
    really_configure = worker._configure_device

    def configure(*arguments: Any) -> None:
        start_badly(kind, Path(times))
        really_configure(*arguments)

    worker._configure_device = configure


_sabotage_starts()


def main() -> int:
    from search.cli.commands import main as cbam_search

    os.environ["SABOTAGED"] = "1"  # for the processes that are started from now on
    local.PAUSES = tuple(pause / 20 for pause in local.PAUSES)  # type: ignore[assignment]
    local.PRELOAD[:] = ["tests.search.reliability.sabotage"]
    local.LocalExecutor = SabotagedExecutor  # type: ignore[misc]
    if "FREE_MEMORY" in os.environ:
        memory.available = lambda root=None: int(os.environ["FREE_MEMORY"])  # type: ignore[assignment, misc]
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
