"""A worker that wakes up after its trial was given away must not touch the checkpoint."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.search.command import kill_all
from tests.search.reliability import sabotage
from tests.search.reliability.forked import everything, write_space
from tests.search.reliability.laboratory import differences

ROOT = Path(__file__).parents[3]

WORKER = """
import os, signal, sys
from pathlib import Path
from search.worker.fence import Fence, FencedOffError
from search.storage.files import write_text
folder, token, stop = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
fence = Fence(folder / "0000.fence", token)
print("ready", flush=True)
sys.stdin.readline()
fence.take()
print("taken", flush=True)
if stop == "stop":
    os.kill(os.getpid(), signal.SIGSTOP)
else:
    sys.stdin.readline()
try:
    with fence.held():
        write_text(folder / "0000.npz", token)
    print("written", flush=True)
except FencedOffError:
    print("fenced off", flush=True)
"""


class Worker:
    """A process that takes a fence and writes a checkpoint, each when it is told to."""

    def __init__(self, folder: Path, token: str, stop: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), token, stop],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.says() == "ready"

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.default
def test_a_stopped_worker_that_wakes_up_is_fenced_off(tmp_path: Path) -> None:
    stale, fresh = Worker(tmp_path, "stale", "stop"), Worker(tmp_path, "fresh")
    try:
        stale.go()
        assert stale.says() == "taken"
        fresh.go()
        assert fresh.says() == "taken"
        fresh.go()
        assert fresh.says() == "written"
        stale.process.send_signal(signal.SIGCONT)
        assert stale.says() == "fenced off"
    finally:
        stale.end()
        fresh.end()
    assert (tmp_path / "0000.npz").read_text() == "fresh"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000.fence", "0000.npz"]


@pytest.mark.default
def test_of_two_that_race_exactly_one_wins(tmp_path: Path) -> None:
    for race in range(5):
        folder = tmp_path / str(race)
        folder.mkdir()
        workers = {token: Worker(folder, token) for token in ("one", "two", "three")}
        try:
            for worker in workers.values():
                worker.go()
            assert [worker.says() for worker in workers.values()] == ["taken"] * 3
            for worker in workers.values():
                worker.go()
            said = {token: worker.says() for token, worker in workers.items()}
        finally:
            for worker in workers.values():
                worker.end()
        assert sorted(said.values()) == ["fenced off", "fenced off", "written"]
        (winner,) = (token for token, word in said.items() if word == "written")
        assert (folder / "0000.npz").read_text() == winner


@pytest.fixture
def tidy(tmp_path: Path) -> Iterator[None]:
    """Whatever happens, no process of the test's searches is left."""
    yield
    diaries = [diary.read_text().split() for diary in tmp_path.glob("*.misbehaved")]
    pids = [int(words[0]) for words in diaries if words]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(state, pids)), "a stopped worker outlives SIGKILL")


def state(pid: int) -> str:
    """A process's state as the kernel has it, such as `"T"`; empty once it has ended."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if letter in "ZX" else letter


def wait_until(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.02)


@pytest.mark.parametrize(
    "kind",
    [
        "stop before writing",
        pytest.param("stop unwatched before writing", marks=pytest.mark.default),
    ],
)
def test_a_stopped_worker_of_a_killed_search_changes_nothing(
    kind: str, tmp_path: Path, tidy: None
) -> None:
    """Stopped between training an epoch and writing it, it wakes when all is over.

    As it is, it ends because its driver is gone, or is fenced off, whichever it notices
    first; without the first guard it is the fence that keeps the checkpoint.
    """
    space, diary = write_space(tmp_path), tmp_path / "0000.misbehaved"
    arguments = ["--space", space, "--directory", tmp_path, "--workers", 2, "--name"]
    sabotage.run(*arguments, "untouched")
    log = tmp_path / "log.txt"
    process = sabotage.start(*arguments, "run", log=log, sabotage={"0000": f"once {kind}"})
    try:
        wait_until(
            lambda: diary.exists() and diary.read_text().endswith("\n"), "no worker stopped"
        )
        stale = int(diary.read_text())
        wait_until(lambda: state(stale) == "T", "the worker did not stop")
    finally:
        kill_all(process)  # the worker has left the group, and stays as it is
    sabotage.run(*arguments, "run")
    before = everything(tmp_path / "run")
    assert not differences(before, everything(tmp_path / "untouched"))
    assert state(stale) == "T"
    os.kill(stale, signal.SIGCONT)
    wait_until(lambda: not state(stale), "the stale worker went on")
    assert everything(tmp_path / "run") == before
    if "unwatched" in kind:
        assert diary.read_text().split("\n")[1] == "fenced off"
