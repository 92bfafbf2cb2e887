"""Runs the installed command as a person does: a real process, a real run directory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

SMALL_SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention:
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [2, 4]}
recipe: {weight_averaging: 0.9}
data: {name: cifar10-sample, limit: 120, validation: 40, batch_size: 20}
search: {max_epochs: 3, factor: 3, seed: 3}
"""


class Payload:
    """A pickle of this makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "search", *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "COLUMNS": "200", **extra}


def run(
    *arguments: object, check: int | None = 0, cwd: Path | None = None, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end; `check` is the exit code it must have."""
    result = subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        env=environment(**extra),
        cwd=cwd,
        timeout=900,
    )
    if check is not None:
        assert result.returncode == check, result.stdout + result.stderr
    return result


def start(
    *arguments: object, log: Path, cwd: Path | None = None, **extra: str
) -> subprocess.Popen[bytes]:
    """Starts the command in a process group of its own, so that all of it can be killed."""
    with log.open("ab") as file:
        return subprocess.Popen(
            command(*arguments),
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment(**extra),
            cwd=cwd,
            start_new_session=True,
        )


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the driver, the fork server and every worker at once."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def children(pid: int) -> list[int]:
    """The children of a process, oldest first; none where it is gone."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in listed]


def worker_processes(driver: int) -> list[int]:
    """The grandchildren of the driver: its fork server's children that run a trial."""
    return [worker for child in children(driver) for worker in children(child)]


def fork_servers(driver: int) -> list[int]:
    """The processes of a driver that workers are forked from: one, which may have no worker."""
    found = []
    for pid in children(driver):
        with contextlib.suppress(OSError):
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def members(group: int) -> int:
    """Processes of a process group."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        count += int(fields[2]) == group and fields[0] != "Z"
    return count


def epochs_in(run_directory: Path) -> int:
    """Epochs that the journal has, whatever state it is in."""
    try:
        return (run_directory / "journal.jsonl").read_bytes().count(b'"type":"epoch"')
    except FileNotFoundError:
        return 0


def wait_for_epochs(process: subprocess.Popen[bytes], run_directory: Path, count: int) -> bool:
    """Waits until the journal has `count` epochs; `False` if the process ended before."""
    while epochs_in(run_directory) < count:
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def results(run_directory: Path) -> dict[str, Any]:
    """All of a run that no timing may change: the table, every epoch, every checkpoint."""
    content = json.loads((run_directory / "summary.json").read_text())
    for row in content["trials"]:
        del row["seconds"]
    checkpoints = {}
    for path in sorted((run_directory / "checkpoints").glob("*.npz")):
        with np.load(path) as archive:
            checkpoints[path.name] = {key: archive[key].tobytes() for key in archive.files}
    return {
        "trials": content["trials"],
        "curves": content["curves"],
        "checkpoints": checkpoints,
        "best": json.loads((run_directory / "best" / "metrics.json").read_text()),
    }
