"""`verify` sees whatever contradicts the journal, changes nothing, and runs nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from search.runs.journal import Record, encode, read_journal
from search.storage.entries import remove
from search.storage.files import FileLock
from tests.search.reliability.fork_server import Ended, forked
from tests.search.reliability.forked import CommandLine
from tests.search.reliability.laboratory import Laboratory
from tests.search.reliability.run_damage import tree


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    laboratory.untouched()
    return laboratory


def verified(run: Path) -> Ended:
    return forked(CommandLine(["verify", run]), run.parent / "said.txt")


@pytest.fixture
def run(laboratory: Laboratory, tmp_path: Path) -> Path:
    """A copy of a finished run."""
    path = tmp_path / "small"
    shutil.copytree(laboratory.run("untouched"), path)
    return path


def find(records: list[Record], kind: str, trial: str, **more: object) -> int:
    (number,) = [
        number
        for number, record in enumerate(records)
        if {"type": kind, "trial": trial, **more}.items() <= record.items()
    ]
    return number


# The trial that was promoted, 0002-1, decides nothing any more: changing it changes no other.


def another_score(records: list[Record]) -> str:
    record = records[find(records, "ended", "0002-1")]
    record["score"], true = 0.123, record["score"]
    return f"trial 0002-1 has the score 0.123, but its val_accuracy after epoch 3 is {true}"


def another_last_epoch(records: list[Record]) -> str:
    score = records[find(records, "ended", "0002-1")]["score"]
    records[find(records, "epoch", "0002-1", epoch=3)]["metrics"]["val_accuracy"] = 0.123
    return f"trial 0002-1 has the score {score}, but its val_accuracy after epoch 3 is 0.123"


def a_missing_objective(records: list[Record]) -> str:
    del records[find(records, "epoch", "0002-1", epoch=3)]["metrics"]["val_accuracy"]
    return "its val_accuracy after epoch 3 is None"


def a_missing_last_epoch(records: list[Record]) -> str:
    del records[find(records, "epoch", "0002-1", epoch=3)]
    return "trial 0002-1 finished after 3 epochs, but the journal has 2 of its training"


def a_gap(records: list[Record]) -> str:
    del records[find(records, "epoch", "0002-1", epoch=2)]
    return "epoch 3 of training 0002 stands in the journal where epoch 2 was expected"


def an_epoch_told_otherwise(records: list[Record]) -> str:
    number = find(records, "epoch", "0002-1", epoch=2)
    metrics = {**records[number]["metrics"], "val_accuracy": 0.123}
    records.insert(number + 1, {**records[number], "metrics": metrics})
    return "epoch 2 of training 0002 stands in the journal where epoch 3 was expected"


def an_epoch_too_many(records: list[Record]) -> str:
    number = find(records, "epoch", "0002-1", epoch=3)
    records.insert(number + 1, {**records[number], "epoch": 4})
    return "trial 0002-1 trained epoch 4, but was to end after 3"


def an_end_told_twice(records: list[Record]) -> str:
    number = find(records, "ended", "0002-1")
    records.insert(number + 1, records[number])
    return "trial 0002-1 ended 2 times"


def a_failure_with_a_score(records: list[Record]) -> str:
    records[find(records, "ended", "0002-1")]["status"] = "FAILED"
    return "trial 0002-1 is FAILED but has a score"


@pytest.mark.default
@pytest.mark.parametrize(
    "change",
    [
        another_score,
        another_last_epoch,
        a_missing_objective,
        a_missing_last_epoch,
        a_gap,
        an_epoch_told_otherwise,
        an_epoch_too_many,
        an_end_told_twice,
        a_failure_with_a_score,
    ],
)
def test_contradictions_are_named(change: Callable[[list[Record]], str], run: Path) -> None:
    records = read_journal(run / "journal.jsonl")[0]
    expected = change(records)
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, records)))
    ended = verified(run)
    assert ended.code == 10, ended.said
    assert expected in ended.said, ended.said
    assert "Traceback" not in ended.said


def test_a_true_journal_is_counted(laboratory: Laboratory) -> None:
    ended = verified(laboratory.run("untouched"))
    assert ended.code == 0, ended.said
    assert "6 trials, 7 views, 11 epochs, 6 scores" in ended.said


# ---- nothing is changed -----------------------------------------------------------------------


def torn(run: Path) -> None:
    with (run / "journal.jsonl").open("ab") as file:
        file.write(b"half a rec")


def left_over(run: Path) -> None:
    (run / ".oracle.json.123.tmp").write_text("half")
    (run / "checkpoints" / ".0000.npz.123.tmp").write_text("half")


def compiled(run: Path) -> None:
    (run / "compiled").mkdir()
    (run / "compiled" / "code").write_text("of a session that runs elsewhere")


def without_lock(run: Path) -> None:
    (run / "lock").unlink()


def without_checkpoints(run: Path) -> None:
    shutil.rmtree(run / "checkpoints")


def without_view(run: Path) -> None:
    shutil.rmtree(run / "trial_0001")


@pytest.mark.default
@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda run: None, ""),
        (torn, "torn last record of 10 bytes"),
        (left_over, ""),
        (compiled, ""),
        (without_lock, ""),
        (without_checkpoints, ""),
        (without_view, "trial_0001/trial.json cannot be read"),
    ],
)
def test_nothing_is_changed(change: Callable[[Path], None], finding: str, run: Path) -> None:
    change(run)
    before = tree(run)
    ended = verified(run)
    assert ended.code == (10 if finding else 0), ended.said
    assert finding in ended.said.replace("\n", "")
    assert tree(run) == before


@pytest.mark.default
def test_repair_changes_the_views_alone(run: Path) -> None:
    for name in ("oracle.json", "trial_0002/trial.json"):
        (run / name).write_text("{")
    torn(run)
    compiled(run)
    before = tree(run)
    ended = forked(CommandLine(["verify", run, "--repair"]), run.parent / "said.txt")
    assert ended.code == 10 and "torn last record" in ended.said, ended.said
    assert "(fix:" not in ended.said
    after = tree(run)
    changed = {name for name in before if before[name][3] != after[name][3]}
    assert changed == {str(run / "oracle.json"), str(run / "trial_0002" / "trial.json")}
    assert set(after) == set(before)


@pytest.mark.default
def test_a_disk_that_is_only_read(run: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    try:
        shutil.copytree(run, disk / "small")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        log = tmp_path / "said.txt"
        for verb in ("verify", "summary"):
            ended = forked(CommandLine([verb, disk / "small"]), log)
            assert ended.code == 0, ended.said
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.default
def test_a_run_that_is_driven_is_left_alone(run: Path) -> None:
    lock = FileLock(run / "lock")
    lock.acquire()
    ended = verified(run)
    assert ended.code == 6 and "is being driven by process" in ended.said, ended.said
    lock.release()
    lock.share()  # another that looks
    assert verified(run).code == 0
    lock.release()


# ---- the exported files -----------------------------------------------------------------------


def changed_graph(run: Path) -> str:
    (run / "best" / "saved_model" / "saved_model.pb").write_bytes(b"another graph")
    return "best/saved_model/saved_model.pb is not the file that was exported"


def changed_metrics(run: Path) -> str:
    path = run / "best" / "metrics.json"
    path.write_text(path.read_text().replace("0.5", "0.9"))
    return "best/metrics.json is not the file that was exported"


def added_file(run: Path) -> str:
    (run / "best" / "saved_model" / "assets.extra").write_text("")
    return "assets.extra is no part of the exported model"


def missing_model(run: Path) -> str:
    (run / "best" / "model.keras").unlink()
    return "best/model.keras is missing from the exported model"


def missing_export(run: Path) -> str:
    shutil.rmtree(run / "best")
    return "best is gone"


def linked_model(run: Path) -> str:
    path = run / "best" / "model.keras"
    path.rename(run.parent / "model.keras")
    path.symlink_to(run.parent / "model.keras")
    return "best/model.keras is a link"


@pytest.mark.default
@pytest.mark.parametrize(
    "change",
    [changed_graph, changed_metrics, added_file, missing_model, missing_export, linked_model],
)
def test_an_export_is_compared_and_not_loaded(change: Callable[[Path], str], run: Path) -> None:
    expected = change(run)
    ended = verified(run)
    assert ended.code == 10 and expected in ended.said.replace("\n", ""), ended.said


@pytest.mark.default
@pytest.mark.parametrize("gone", ["", "metrics.json", "saved_model", "."])
def test_an_export_of_an_earlier_version_is_looked_for(gone: str, run: Path) -> None:
    records = read_journal(run / "journal.jsonl")[0]
    del next(record for record in records if record["type"] == "export")["files"]
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, records)))
    if gone:
        remove(run / "best" / gone)
    ended = verified(run)
    assert ended.code == (10 if gone else 0), ended.said
    assert ("the exported model in" in ended.said) == bool(gone)


# ---- damage is a finding ------------------------------------------------------------------------


@pytest.mark.default
def test_everything_that_is_wrong_is_told_at_once(run: Path) -> None:
    (run / "data" / "data.json").write_text("[" * 100_000)
    (run / "checkpoints" / "0004.npz").write_bytes(b"x")
    shutil.rmtree(run / "trial_0001")
    (run / "trial_0001").symlink_to(run.parent)
    os.mkfifo(run / "export.txt")  # of nobody
    (run / "tuner0.json").unlink()
    os.mkfifo(run / "tuner0.json")
    (run / "best" / "model.keras").write_bytes(b"x")
    ended = verified(run)
    said = ended.said.replace("\n", " ")
    assert ended.code == 10
    for word in ("data.json", "0004.npz", "trial_0001 is a link", "tuner0.json is a FIFO"):
        assert word in said, said
    assert "model.keras is not the file" in said and "export.txt" not in said
    for line in ended.said.splitlines()[1:]:
        assert line.startswith("  "), ended.said


@pytest.mark.default
@pytest.mark.parametrize(
    "more",
    [{"hyperband_iterations": 1000, "max_epochs": 729}, {"max_epochs": 99_999, "factor": 2}],
)
def test_a_search_without_end_is_not_followed(more: dict[str, int], run: Path) -> None:
    """A stranger's journal may tell of one; drawing its trials would take for ever."""
    records = read_journal(run / "journal.jsonl")[0]
    records[0]["space"]["search"] |= more
    if "factor" in more:
        header, search = records[0], records[0]["space"]["search"]
        extended = {"type": "extended", "search": search, "budgets": [99_999] * 9}
        records = [header, extended, *records[1:]]
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, records)))
    ended = verified(run)
    assert ended.code == 10, ended.said
    assert "200,000 at most" in ended.said.replace("\n", ""), ended.said
