"""A worker that wakes up after its trial was given away must not touch the checkpoint."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.search.command import wait_for_epochs, worker_processes
from tests.search.reliability import sabotage
from tests.search.reliability.forked import everything, write_space
from tests.search.reliability.laboratory import differences

ROOT = Path(__file__).parents[3]

WORKER = """
import os, signal, sys
from pathlib import Path
from search.fence import Fence, FencedOffError
from search.files import write_text
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


def test_a_stopped_worker_of_a_killed_search_changes_nothing(tmp_path: Path) -> None:
    space = write_space(tmp_path)
    arguments = ["--space", space, "--directory", tmp_path, "--workers", 2, "--name"]
    sabotage.run(*arguments, "untouched")
    process = sabotage.start(*arguments, "run", log=tmp_path / "log.txt", EPOCH_SECONDS="0.3")
    assert wait_for_epochs(process, tmp_path / "run", 1)
    while not (stale := worker_processes(process.pid)):
        assert process.poll() is None
    for worker in stale:
        os.kill(worker, signal.SIGSTOP)
    process.kill()
    process.wait()
    sabotage.run(*arguments, "run")
    before = everything(tmp_path / "run")
    assert not differences(before, everything(tmp_path / "untouched"))
    for worker in stale:
        os.kill(worker, signal.SIGCONT)
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{worker}").exists() for worker in stale):
        assert time.monotonic() < deadline, "a stale worker went on"
        time.sleep(0.02)
    assert everything(tmp_path / "run") == before
