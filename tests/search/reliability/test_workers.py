"""Workers that crash, hang, fail and babble: retried, then failed with the reason; replaced.

The processes are real, their training is not; see `sabotage.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.executors.output import KEPT_BYTES, LEFT_OUT, LIMIT
from search.runs.journal import read_journal
from tests.search.command import members, wait_for_epochs, worker_processes
from tests.search.command import run as run_really
from tests.search.reliability import sabotage
from tests.search.reliability.forked import everything, write_space
from tests.search.reliability.laboratory import differences

Search = Callable[..., Path]


@pytest.fixture
def search(tmp_path: Path) -> Search:
    """Runs a search to its end with some sabotage; returns its run directory."""

    def searched(told: dict[str, str] | None = None, check: int = 0, **search: object) -> Path:
        space = write_space(tmp_path, **search)
        arguments = ("--space", space, "--directory", tmp_path, "--name", "run", "--workers", 2)
        result = sabotage.run(*arguments, sabotage=told, check=check)
        (tmp_path / "said.txt").write_text(result.stdout + result.stderr)
        return tmp_path / "run"

    return searched


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("untouched")
    space = write_space(directory)
    sabotage.run("--space", space, "--directory", directory, "--workers", 2)
    return everything(directory / "small")


def changed(run: Path, untouched: dict[str, Any]) -> list[str]:
    """What is not as in the untouched search, but for the path of the space."""
    pair = (everything(run), {**untouched, "export": dict(untouched["export"])})
    for content in pair:
        del content["export"]["best/hyperparameters.yaml"]
    return differences(*pair)


def deaths(run: Path) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for record in read_journal(run / "journal.jsonl")[0]:
        if record["type"] == "death":
            reasons.setdefault(record["trial"], []).append(record["reason"])
    return reasons


def rows(run: Path) -> dict[str, dict[str, Any]]:
    content = json.loads((run / "summary.json").read_text())
    return {row["trial"]: row for row in content["trials"]}


@pytest.mark.default
def test_workers_that_die_once_change_nothing(search: Search, untouched: dict[str, Any]) -> None:
    once = {
        "0000": "once exit",
        "0001": "once segfault",
        "0002": "once killed",
        "0003": "once hang",
        "0004": "once stop",
    }
    run = search(once, epoch_time_limit=1)
    assert not changed(run, untouched)
    found = deaths(run)
    assert {name: len(reasons) for name, reasons in found.items()} == dict.fromkeys(once, 1)
    assert found["0000"] == ["its worker process ended with exit code 3"]
    assert "SIGSEGV" in found["0001"][0]
    assert "SIGKILL" in found["0002"][0] and "out-of-memory" in found["0002"][0]
    assert found["0003"] == found["0004"] == ["it finished no epoch within 1 s"]


def test_workers_that_always_die_fail_their_trials(search: Search) -> None:
    run = search({"0000": "exit", "0001": "segfault", "0003": "hang"}, epoch_time_limit=1)
    found, table = deaths(run), rows(run)
    for name, reason in (
        ("0000", "exit code 3"),
        ("0001", "SIGSEGV"),
        ("0003", "no epoch within 1 s"),
    ):
        assert len(found[name]) == 3
        assert table[name]["status"] == "FAILED"
        assert reason in table[name]["reason"] and "3 times in a row" in table[name]["reason"]
        assert table[name]["output"] == ["about to go wrong"] * 3
    finished = [row for row in table.values() if row["status"] == "COMPLETED"]
    # Each slot has a replacement, and each rung all its slots.
    assert {"0000b", "0001b", "0003b"} <= set(table)
    assert sorted((row["bracket"], row["rung"]) for row in finished) == [
        *[(0, 0)] * 2,
        *[(1, 0)] * 3,
        (1, 1),
    ]
    printed = (run / "summary.md").read_text()
    assert "about to go wrong" in printed and "SIGSEGV" in printed
    assert "failed: its worker process was killed by SIGSEGV" in (
        (run.parent / "said.txt").read_text()
    )


def test_trainings_that_raise_fail_at_once(search: Search) -> None:
    told = {"0000": "exception", "0001": "infinite", "0002": "unpicklable"}
    run = search(told)
    table = rows(run)
    assert not deaths(run)
    assert table["0000"]["reason"] == "ValueError: shapes (3,) and (4,)"
    assert any("are not aligned" in line for line in table["0000"]["output"])
    assert table["0001"]["reason"] == "val_loss is not finite after epoch 1"
    assert "lambda" in table["0002"]["reason"] or "pickle" in table["0002"]["reason"]
    assert all(table[name]["status"] == "FAILED" for name in told)
    assert table["0001b"]["status"] == "COMPLETED"


@pytest.mark.default
def test_workers_that_say_much_change_nothing(search: Search, untouched: dict[str, Any]) -> None:
    run = search({"0000": "talkative", "0001": "eager"})
    assert not changed(run, untouched)
    log = (run / "trial_0000" / "output.log").read_bytes()
    assert 2 * KEPT_BYTES < len(log) <= LIMIT  # of twenty million
    assert log.startswith(b"about to go wrong\nxxx") and log.endswith(b"xxx\n")
    assert log.count(LEFT_OUT) == 1


@pytest.mark.default
def test_workers_that_print_without_end(tmp_path: Path) -> None:
    """They are ended at the time limit; until then they wait for the driver, not it for them."""
    arguments = ["--space", write_space(tmp_path, epoch_time_limit=1), "--directory", tmp_path]
    told = {"0000": "babbling", "0001": "babbling"}
    process = sabotage.start(*arguments, "--workers", 2, log=tmp_path / "log.txt", sabotage=told)
    run, largest = tmp_path / "small", 0
    while process.poll() is None:
        sizes = [path.stat().st_size for path in run.glob("trial_*/output.log")]
        largest = max([largest, *sizes])
        time.sleep(0.02)
    assert process.returncode == 0, (tmp_path / "log.txt").read_text()
    assert LIMIT / 2 < largest <= LIMIT
    assert {name: len(reasons) for name, reasons in deaths(run).items()} == dict.fromkeys(told, 3)
    table = rows(run)
    for name in told:
        assert "no epoch within 1 s" in table[name]["reason"]
        assert table[name]["output"][-1].startswith("yyy")
    assert {"0000b", "0001b"} <= set(table)


def test_a_printing_worker_ends_with_its_driver(tmp_path: Path) -> None:
    arguments = ["--space", write_space(tmp_path), "--directory", tmp_path, "--workers", 1]
    log = tmp_path / "log.txt"
    process = sabotage.start(*arguments, log=log, sabotage={"0000": "babbling"})
    printed = tmp_path / "small" / "trial_0000" / "output.log"
    try:
        while not printed.exists() or printed.stat().st_size < LIMIT / 2:
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        process.kill()
        process.wait()
        deadline = time.monotonic() + 10
        while members(process.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert members(process.pid) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert printed.stat().st_size <= LIMIT


def test_a_search_whose_trials_all_fail(search: Search) -> None:
    names = [f"{slot:04d}{letter}" for slot in range(5) for letter in ["", *"bcdefghi"]]
    run = search(dict.fromkeys(names, "exception"), check=8)
    said = (run.parent / "said.txt").read_text()
    assert "the first 8 trials have all failed, so the search has stopped" in said
    assert "ValueError: shapes (3,) and (4,)" in said and "are not aligned" in said
    assert "output.log" in said.replace("\n", "") and "under another --name" in said
    # Five slots, and three of their replacements, whatever runs side by side. The space has
    # five configurations, so the bracket of three slots has two others to replace with.
    tried = [*(f"{slot:04d}" for slot in range(5)), "0000b", "0001b", "0003b"]
    assert {name: row["status"] for name, row in rows(run).items()} == dict.fromkeys(
        tried, "FAILED"
    )
    journal = (run / "journal.jsonl").read_bytes()
    search(dict.fromkeys(names, "exception"), check=8)  # again: it says the same
    assert "the first 8 trials have all failed" in (run.parent / "said.txt").read_text()
    assert (run / "journal.jsonl").read_bytes() == journal


@pytest.mark.parametrize("workers", [1, 7])
def test_one_success_among_the_first_lets_the_search_go_on(workers: int, tmp_path: Path) -> None:
    """With one worker as with seven: nothing beyond the first eight ran before it."""
    names = [*(f"{slot:04d}" for slot in range(5)), "0000b", "0001b"]
    arguments = ("--space", write_space(tmp_path), "--directory", tmp_path)
    sabotage.run(*arguments, "--workers", workers, sabotage=dict.fromkeys(names, "exception"))
    records = read_journal(tmp_path / "small" / "journal.jsonl")[0]
    tried = [record["trial"] for record in records if record["type"] == "trial"]
    assert set(tried[:8]) == {*names, "0003b"}
    assert rows(tmp_path / "small")["0003b"]["status"] == "COMPLETED"


def test_killed_fork_server_is_started_again(tmp_path: Path, untouched: dict[str, Any]) -> None:
    arguments = ["--space", write_space(tmp_path), "--directory", tmp_path, "--workers", 2]
    process = sabotage.start(*arguments, log=tmp_path / "log.txt", EPOCH_SECONDS="0.2")
    assert wait_for_epochs(process, tmp_path / "small", 2)
    while not (workers := worker_processes(process.pid)):
        assert process.poll() is None
    stat = Path(f"/proc/{workers[0]}/stat").read_text()
    os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)  # its parent
    assert process.wait(timeout=120) == 0, (tmp_path / "log.txt").read_text()
    assert not changed(tmp_path / "small", untouched)


@pytest.mark.slow
def test_loss_that_is_not_finite(tmp_path: Path) -> None:
    """A real training that diverges: it fails with the reason, and is not tried again."""
    (tmp_path / "wild.yaml").write_text(
        "backbone: {depth: 8}\nattention: {type: none}\n"
        "recipe: {learning_rate: 100.0, weight_decay: 1.0, warmup: 0.0}\n"
        "data: {name: cifar10-sample, limit: 260, validation: 10, batch_size: 10}\n"
        "search: {max_epochs: 1}\n"
    )
    began = time.monotonic()
    result = run_really("--space", tmp_path / "wild.yaml", "--directory", tmp_path, check=8)
    print(f"{time.monotonic() - began:.0f} s: {result.stderr}")
    assert "is not finite after epoch 1" in result.stderr and "Traceback" not in result.stderr
    (row,) = rows(tmp_path / "wild").values()
    assert row["status"] == "FAILED" and row["val_accuracy"] is None
    assert not deaths(tmp_path / "wild")
