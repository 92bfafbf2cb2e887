"""What the machine does to workers and their fork server is booked against no trial.

The processes are real, their training is not; see `sabotage.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.runs.journal import read_journal
from tests.search.command import children, fork_servers, wait_for_epochs
from tests.search.reliability import sabotage
from tests.search.reliability.forked import everything
from tests.search.reliability.laboratory import differences


def options(space: Path, directory: Path, workers: int = 2) -> list[object]:
    return ["--space", space, "--directory", directory, "--name", "run", "--workers", workers]


def kinds(directory: Path) -> set[str]:
    return {str(record["type"]) for record in read_journal(directory / "run" / "journal.jsonl")[0]}


def busy_fork_servers(driver: int) -> list[int]:
    """The fork servers of a driver that have workers."""
    return [pid for pid in fork_servers(driver) if children(pid)]


# ---- the fork server --------------------------------------------------------------------


@pytest.mark.default
def test_kills_of_the_fork_server_fail_no_trial(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    """As many, on one trial, as would give it up if they were its own deaths."""
    process = sabotage.start(
        *options(space, tmp_path, 1), log=tmp_path / "log.txt", EPOCH_SECONDS="0.6"
    )
    killed: set[int] = set()
    while len(killed) < 4 and process.poll() is None:
        for pid in set(busy_fork_servers(process.pid)) - killed:
            time.sleep(0.2)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.02)
    assert process.wait(timeout=120) == 0, (tmp_path / "log.txt").read_text()
    assert len(killed) == 4 and "death" not in kinds(tmp_path)
    assert not differences(everything(tmp_path / "run"), untouched)


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGSTOP, marks=pytest.mark.default), signal.SIGTERM]
)
def test_a_fork_server_that_is_stopped_or_told_to_end(
    number: signal.Signals, space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    log = tmp_path / "log.txt"
    process = sabotage.start(*options(space, tmp_path), log=log, EPOCH_SECONDS="0.2")
    assert wait_for_epochs(process, tmp_path / "run", 1)
    while not (servers := busy_fork_servers(process.pid)):
        assert process.poll() is None, log.read_text()
    os.kill(servers[0], number)
    assert process.wait(timeout=120) == 0, log.read_text()
    assert "death" not in kinds(tmp_path)
    assert not differences(everything(tmp_path / "run"), untouched)


def test_a_worker_s_own_deaths_are_still_its_trial_s(space: Path, tmp_path: Path) -> None:
    sabotage.run(*options(space, tmp_path), sabotage={"0001": "killed"})
    records = read_journal(tmp_path / "run" / "journal.jsonl")[0]
    assert [each["trial"] for each in records if each["type"] == "death"] == ["0001"] * 3


# ---- workers that do not come to their task -----------------------------------------------


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        pytest.param("worker", "import", marks=pytest.mark.default),
        pytest.param("server", "abort", marks=pytest.mark.default),
        *(("worker", kind) for kind in ("abort", "memory", "killed", "thread", "exit")),
        *(("server", kind) for kind in ("import", "memory", "killed", "thread", "exit")),
    ],
)
def test_a_start_that_fails_is_the_machine_s_fault(
    where: str, kind: str, space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    """No trial is failed, the cause is named, and with the cause gone all is as ever."""
    broken = tmp_path / "broken"
    broken.touch()
    told = {"BAD_START": f"{where} {kind} {broken}"}
    said = sabotage.run(*options(space, tmp_path), check=7, **told).stderr
    raised = {"memory": "Cannot allocate memory", "thread": "can't start new thread"}
    assert raised.get(kind, "libtorn.so.7") in said and "Traceback" not in said, said
    assert "No trial is failed for that" in said
    assert not kinds(tmp_path) & {"death", "ended", "epoch"}
    broken.unlink()
    sabotage.run(*options(space, tmp_path), **told)
    assert not differences(everything(tmp_path / "run"), untouched)


@pytest.mark.parametrize(
    ("where", "times"),
    [pytest.param("worker", 3, marks=pytest.mark.default), ("worker", 5), ("server", 2)],
)
def test_a_start_that_fails_for_a_while_changes_nothing(
    where: str, times: int, space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "times").write_text(str(times))
    told = {"BAD_START": f"{where} killed {tmp_path / 'times'}"}
    sabotage.run(*options(space, tmp_path, 1), **told)
    assert (tmp_path / "times").read_text() == "0"
    assert "death" not in kinds(tmp_path)
    assert not differences(everything(tmp_path / "run"), untouched)


@pytest.mark.parametrize("files", [18, 24])
def test_too_few_open_files(files: int, space: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh"]
        + sabotage.command(*options(space, tmp_path, 8), "--verbose"),
        capture_output=True,
        text=True,
        env=sabotage.environment(EPOCH_SECONDS="0.1"),
        timeout=120,
    )
    assert done.returncode in (0, 7), done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode == 7:
        assert "Too many open files" in done.stderr


# ---- where sockets lie -------------------------------------------------------------------


def deep(folder: Path) -> Path:
    path = folder / "/".join(["a_folder_of_a_job"] * 7)
    path.mkdir(parents=True)
    return path


def a_file(folder: Path) -> Path:
    path = folder / "file"
    path.touch()
    return path


@pytest.fixture
def short() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize(
    "kind",
    [pytest.param("deep", marks=pytest.mark.default), "missing", "file", "long name", "full"],
)
def test_any_folder_for_temporary_files(
    kind: str, space: Path, untouched: dict[str, Any], tmp_path: Path, short: Path
) -> None:
    if kind == "long name":
        (short / ("x" * 200)).mkdir()
    folder = {
        "deep": lambda: deep(tmp_path),
        "missing": lambda: tmp_path / "not there",
        "file": lambda: a_file(tmp_path),
        "long name": lambda: short / ("x" * 200),
        "full": lambda: Path("/proc/self"),
    }[kind]()
    sabotage.run(*options(space, tmp_path), TMPDIR=str(folder))
    assert not differences(everything(tmp_path / "run"), untouched)
    if folder.is_dir() and kind != "full":
        assert not list(folder.iterdir())  # and nothing is left there


@pytest.mark.default
def test_no_folder_for_a_socket_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from search.errors import StorageError
    from search.executors import sockets

    monkeypatch.setattr(tempfile, "tempdir", str(deep(tmp_path)))
    monkeypatch.setattr(sockets, "OTHERS", ("/proc", str(tmp_path / "none")))
    before = tempfile.tempdir
    with pytest.raises(StorageError, match="Give a short") as caught, sockets.socket_folder():
        raise AssertionError
    assert "path too long" in str(caught.value) and "/proc: " in str(caught.value)
    assert tempfile.tempdir == before
