"""Real searches, killed at seeded random moments until they are done, lose nothing.

Killed is the driver, one of its workers, their fork server, or all of it at once. The end is
compared with that of a search that nobody touched: trial ids, values, order, the metrics of
every epoch, checkpoints and the weights of the exported model.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import signal
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.search.command import (
    SMALL_SPACE,
    epochs_in,
    fork_servers,
    kill_all,
    results,
    run,
    start,
    worker_processes,
)

EPOCHS = 11
"""Epochs of the whole search."""


def exported_weights(run_directory: Path) -> dict[str, bytes]:
    """The weights in the exported `model.keras`, by name."""
    import h5py

    weights: dict[str, bytes] = {}

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            weights[name] = item[()].tobytes()

    with zipfile.ZipFile(run_directory / "best" / "model.keras") as archive:
        content = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(content, "r") as file:
        file.visititems(collect)
    return weights


def outcome(run_directory: Path) -> dict[str, Any]:
    return {**results(run_directory), "weights": exported_weights(run_directory)}


class Storm:
    """One search and whoever kills it."""

    def __init__(self, space: Path, directory: Path, seed: int) -> None:
        self.directory, self.path = directory, directory / "run"
        self.chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.worker_killed_at = -1
        self.servers_killed = 0
        self._arguments = ["--space", space, "--keep", 100, "--directory", directory]
        self._arguments += ["--name", "run", "--workers", 2, "--verbose"]
        self._log = directory / "log.txt"

    def rage(self, kills: int) -> None:
        """Kills the search this many times, then lets it end."""
        whole = b""
        while self.kills.total() < kills:
            process = start(*self._arguments, log=self._log)
            try:
                while self._wait(process) and self._kill(process):
                    pass  # a worker was killed, and the search goes on
            finally:
                with contextlib.suppress(ProcessLookupError):
                    kill_all(process)
                process.wait()
            whole = self._longer_journal(whole)
            assert "Traceback" not in self._log.read_text(), self._log.read_text()
            assert process.returncode in (0, -signal.SIGKILL), self._log.read_text()
            if process.returncode == 0:
                break  # nothing is left to kill
        run(*self._arguments)

    def _wait(self, process: Any) -> bool:
        """Waits for a random moment; `False` if the search ended before it came."""
        epochs = min(EPOCHS, epochs_in(self.path) + self.chance.choice([0, 0, 1, 1, 1, 2]))
        deadline = time.monotonic() + 120
        while epochs_in(self.path) < epochs and time.monotonic() < deadline:
            if process.poll() is not None:
                return False
            time.sleep(0.01)
        time.sleep(self.chance.choice([0.0, 0.02, 0.1, 0.5, 2.0]) * self.chance.random())
        return process.poll() is None

    def _kill(self, process: Any) -> bool:
        """Kills something; `True` if the search goes on."""
        kind = self.chance.choice(["driver", "worker", "fork server", "all"])
        workers, servers = worker_processes(process.pid), fork_servers(process.pid)
        # A trial whose worker dies three times without an epoch is given up, by design.
        if kind == "worker" and (not workers or epochs_in(self.path) <= self.worker_killed_at):
            kind = "fork server"
        # Without an epoch in between, six losses are the machine's fault, by design.
        if kind == "fork server" and (not servers or self.servers_killed >= 4):
            kind = "driver"
        self.kills[kind] += 1
        self.servers_killed = self.servers_killed + 1 if kind == "fork server" else 0
        if kind == "fork server":
            os.kill(servers[-1], signal.SIGKILL)
            return True
        if kind == "worker":
            self.worker_killed_at = epochs_in(self.path)
            os.kill(self.chance.choice(workers), signal.SIGKILL)
            return True
        if kind == "driver":
            process.kill()
            process.wait()
            time.sleep(0.5)  # its workers notice and end by themselves
        else:
            kill_all(process)
        return False

    def _longer_journal(self, before: bytes) -> bytes:
        """The journal's whole lines; those that were there before still are."""
        path = self.path / "journal.jsonl"
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        assert whole.startswith(before)
        return whole


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SMALL_SPACE)
    return path


@pytest.fixture(scope="module")
def untouched(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    directory = tmp_path_factory.mktemp("untouched")
    run("--space", space, "--keep", 100, "--directory", directory, "--name", "run")
    content = outcome(directory / "run")
    assert sum(len(curve) for curve in content["curves"].values()) >= EPOCHS
    yield content


def storm(space: Path, directory: Path, seed: int, kills: int) -> Storm:
    began = time.monotonic()
    raging = Storm(space, directory, seed)
    raging.rage(kills)
    total, seconds = raging.kills.total(), time.monotonic() - began
    print(f"\nseed {seed}: {total} kills in {seconds:.0f} s: {dict(raging.kills)}")
    return raging


@pytest.mark.default
def test_eight_kills(space: Path, untouched: dict[str, Any], tmp_path: Path) -> None:
    raging = storm(space, tmp_path, 0, 8)
    assert outcome(raging.path) == untouched
    assert raging.kills.total() >= 8


@pytest.mark.default
def test_the_fork_server_and_workers_that_have_not_begun(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    """Killed as soon as they are there, before anything is imported or trained."""
    arguments = ["--space", space, "--keep", 100, "--directory", tmp_path, "--name", "run"]
    process = start(*arguments, "--workers", 2, "--verbose", log=tmp_path / "log.txt")
    killed = dict.fromkeys(["worker", "fork server", "worker once more"], 0)
    for kind, find in zip(killed, (worker_processes, fork_servers, worker_processes), strict=True):
        while process.poll() is None and not (
            found := set(find(process.pid)) - {*killed.values()}
        ):
            time.sleep(0.005)
        killed[kind] = min(found)
        os.kill(killed[kind], signal.SIGKILL)
    assert process.wait(timeout=300) == 0, (tmp_path / "log.txt").read_text()
    assert outcome(tmp_path / "run") == untouched


@pytest.mark.slow
def test_more_than_fifty_kills(space: Path, untouched: dict[str, Any], tmp_path: Path) -> None:
    total = 0
    for seed in range(1, 20):
        directory = tmp_path / str(seed)
        directory.mkdir()
        raging = storm(space, directory, seed, 10)
        assert outcome(raging.path) == untouched, f"seed {seed}"
        total += raging.kills.total()
        if total >= 60:
            break
    print(f"\n{total} kills in all")
    assert total >= 50
