"""`verify` sees a journal that contradicts itself, whose checksums all hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from search.journal import Record, encode, read_journal
from tests.search.reliability.fork_server import Ended, forked
from tests.search.reliability.forked import CommandLine
from tests.search.reliability.laboratory import Laboratory


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    laboratory.untouched()
    return laboratory


def verified(run: Path) -> Ended:
    return forked(CommandLine(["verify", run]), run.parent / "said.txt")


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
def test_contradictions_are_named(
    change: Callable[[list[Record]], str], laboratory: Laboratory, tmp_path: Path
) -> None:
    run = tmp_path / "small"
    shutil.copytree(laboratory.run("untouched"), run)
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
    assert "6 trials, 11 epochs, 6 scores" in ended.said
