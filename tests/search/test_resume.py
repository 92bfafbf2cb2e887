"""A search that was killed is, when it ends, the search that was not."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from search.runs.journal import read_journal
from search.space.loading import shipped_spaces
from tests.search.command import (
    SMALL_SPACE,
    kill_all,
    results,
    run,
    start,
    wait_for_epochs,
    worker_processes,
)

KEEP = ("--keep", 100)
"""All checkpoints, so that all of them can be compared."""


def search_with_kills(
    directory: Path, kills: list[int], *arguments: object, pause: float = 0.0
) -> Path:
    """Runs a search, killing all of it whenever the journal reaches a number of epochs."""
    path = directory / "run"
    common = [*arguments, *KEEP, "--directory", directory, "--name", "run", "--verbose"]
    for epochs in kills:
        process = start(*common, log=directory / "log.txt")
        assert wait_for_epochs(process, path, epochs), (directory / "log.txt").read_text()
        time.sleep(pause)
        kill_all(process)
    run(*common)
    return path


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SMALL_SPACE)
    return path


@pytest.fixture(scope="module")
def untouched(space: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("untouched")
    run("--space", space, *KEEP, "--directory", directory, "--name", "run", "--workers", 2)
    return results(directory / "run")


def test_killed_three_times_equals_untouched(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    path = search_with_kills(tmp_path, [1, 4, 8], "--space", space, "--workers", 2, pause=0.1)
    assert results(path) == untouched


def test_number_of_workers_does_not_matter(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    path = search_with_kills(tmp_path, [], "--space", space, "--workers", 3)
    assert results(path) == untouched


def test_untouched_search_has_something_to_compare(untouched: dict[str, Any]) -> None:
    assert len(untouched["trials"]) == 6
    assert {row["status"] for row in untouched["trials"]} == {"COMPLETED"}
    assert any(row["parent"] for row in untouched["trials"])
    assert len(untouched["checkpoints"]) >= 4
    accuracies = {row["val_accuracy"] for row in untouched["trials"]}
    assert len(accuracies) > 1


def test_ctrl_c_keeps_everything_and_says_how_to_go_on(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "run"
    common = ["--space", space, *KEEP, "--directory", tmp_path, "--name", "run", "--workers", 2]
    log = tmp_path / "log.txt"
    process = start(*common, log=log)
    assert wait_for_epochs(process, path, 2)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)  # an impatient second one changes nothing
    began = time.monotonic()
    assert process.wait(timeout=120) == 130
    assert time.monotonic() - began < 5
    said = log.read_text()
    assert "run the same command again" in said and "Traceback" not in said
    assert (path / "summary.md").exists()
    run(*common)
    assert results(path) == untouched


@pytest.mark.slow
def test_sigterm_exits_with_143(space: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = start("--space", space, "--directory", tmp_path, "--name", "run", log=log)
    assert wait_for_epochs(process, tmp_path / "run", 1)
    process.terminate()
    assert process.wait(timeout=120) == 143


def test_workers_end_when_the_driver_is_killed(space: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = start("--space", space, "--directory", tmp_path, "--name", "run", log=log)
    assert wait_for_epochs(process, tmp_path / "run", 1)
    os.kill(process.pid, signal.SIGKILL)  # the driver alone
    process.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("processes of the killed search were alive ten seconds later")


def has_recovered(run_directory: Path) -> bool:
    """Whether the trial whose worker died last, if any, has made progress since."""
    records = read_journal(run_directory / "journal.jsonl")[0]
    places = [place for place, record in enumerate(records) if record["type"] == "death"]
    return not places or any(
        record["type"] in ("epoch", "ended") and record["trial"] == records[places[-1]]["trial"]
        for record in records[places[-1] + 1 :]
    )


def test_killed_workers_are_replaced(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "run"
    common = ["--space", space, *KEEP, "--directory", tmp_path, "--name", "run", "--workers", 2]
    process = start(*common, log=tmp_path / "log.txt")
    assert wait_for_epochs(process, path, 1)
    killed = 0
    while killed < 3 and process.poll() is None:
        for child in worker_processes(process.pid)[:1]:
            os.kill(child, signal.SIGKILL)
            killed += 1
            time.sleep(0.5)
        # A trial whose worker dies three times without an epoch is given up, by design.
        while process.poll() is None and not has_recovered(path):
            time.sleep(0.02)
    assert process.wait(timeout=300) == 0
    assert killed == 3
    assert results(path) == untouched
    assert (path / "journal.jsonl").read_bytes().count(b'"type":"death"') >= 1


@pytest.mark.slow
def test_quickstart_killed_three_times_equals_untouched(tmp_path: Path) -> None:
    """The search of it; confirmations are killed in `driver/test_confirmation.py`."""
    straight, killed, wide = (tmp_path / name for name in ("straight", "killed", "wide"))
    for directory in (straight, killed, wide):
        directory.mkdir()
    lines = shipped_spaces()["quickstart"].read_text().splitlines(keepends=True)
    space = tmp_path / "search_alone.yaml"
    space.write_text("".join(line for line in lines if not line.startswith("confirm:")))
    expected = results(search_with_kills(straight, [], "--space", space))
    moments = sorted(random.Random(0).sample(range(2, 60), 3))
    path = search_with_kills(killed, moments, "--space", space, pause=0.7)
    assert results(path) == expected
    path = search_with_kills(wide, [], "--space", space, "--workers", 5)
    assert results(path) == expected
