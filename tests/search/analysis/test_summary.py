"""What a person takes away: the table in three forms, and what it says."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from pathlib import Path

import pytest

from search.analysis.summary import (
    describe_trial,
    findings,
    format_value,
    rows,
    to_csv,
    to_json,
    to_markdown,
    value_columns,
    write_summary,
)
from search.errors import StorageError
from search.runs.journal import Record, decode, encode
from search.runs.state import RunState
from tests.search.example import REASON, RECORDS, ended, epoch, run, trial

COLUMNS = [
    *("trial", "status", "bracket", "rung", "epochs", "parent", "preset"),
    *("val_accuracy", "val_loss", "parameters", "macs"),
    *("attention.type", "attention.reduction_ratio", "attention.placement"),
    *("recipe.learning_rate", "seconds", "reason"),
]


@pytest.fixture
def state() -> RunState:
    read = [decode(encode(record)[:-1]) for record in RECORDS]
    return RunState.replay(record for record in read if record is not None)


def finished(*trials: tuple[str, int, float], objective: str = "val_accuracy") -> RunState:
    """A run whose trials `(id, epochs, score)` have all finished."""
    records: list[Record] = [run(objective)]
    for name, epochs, score in trials:
        records.append(trial(name, epochs=epochs, rung=int("-" in name)))
        records += [
            epoch(name, number, score, 1 - score if objective == "val_accuracy" else score)
            for number in range(1, epochs + 1)
        ]
        records.append(ended(name, score))
    return RunState.replay(records)


# ---- the table --------------------------------------------------------------------------


def test_the_columns_are_what_differs_in_the_order_of_the_space(state: RunState) -> None:
    assert value_columns(state) == [
        "attention.type",
        "attention.reduction_ratio",
        "attention.placement",
        "recipe.learning_rate",
    ]
    for row in rows(state):
        assert list(row) == COLUMNS


def test_the_rows_are_the_trials_by_id(state: RunState) -> None:
    table = {row["trial"]: row for row in rows(state)}
    assert list(table) == ["0000", "0001", "0001-1", "0002", "0003"]
    assert table["0001-1"] == {
        "trial": "0001-1",
        "status": "COMPLETED",
        "bracket": 1,
        "rung": 1,
        "epochs": 3,
        "parent": "0001",
        "preset": None,
        "val_accuracy": 0.55,
        "val_loss": 1.4,
        "parameters": 78_043,
        "macs": 12_000_000,
        "attention.type": "se",
        "attention.reduction_ratio": 8,
        "attention.placement": "post",
        "recipe.learning_rate": 0.2,
        "seconds": 4.0,
        "reason": "",
    }
    assert table["0001"]["val_loss"] == 1.9  # of its own last epoch, not of its lineage's
    assert table["0000"]["attention.reduction_ratio"] is None
    assert table["0002"]["status"] == "FAILED" and table["0002"]["reason"] == REASON
    assert table["0002"]["val_accuracy"] is None and table["0002"]["val_loss"] is None
    assert table["0003"]["status"] == "RUNNING" and table["0003"]["val_accuracy"] is None


def test_the_table_does_not_depend_on_who_was_handed_out_first(state: RunState) -> None:
    expected = [{**row, "seconds": 0} for row in rows(state)]
    starts = [record for record in RECORDS if record["type"] == "trial"]
    rest = [record for record in RECORDS[1:] if record["type"] != "trial"]
    for order in itertools.permutations(starts):
        found = RunState.replay([RECORDS[0], *order, *rest])
        table = [{**row, "seconds": 0} for row in rows(found)]
        assert [list(row.items()) for row in table] == [list(row.items()) for row in expected]


def test_knobs_that_the_space_does_not_name_come_last(state: RunState) -> None:
    """Presets set knobs that the space leaves alone: they differ too."""
    records = json.loads(json.dumps(RECORDS))
    records[5]["configuration"]["attention"]["mlp_bias"] = False
    found = value_columns(RunState.replay(records))
    assert found == [*value_columns(state), "attention.mlp_bias"]


def test_the_objective_decides_which_metric_comes_first() -> None:
    table = rows(finished(("0000", 1, 0.7), objective="val_loss"))
    assert list(table[0])[7:9] == ["val_loss", "val_accuracy"]


def test_a_space_that_tunes_nothing_has_no_columns_of_values() -> None:
    assert value_columns(finished(("0000", 1, 0.7))) == []
    assert list(rows(finished(("0000", 1, 0.7)))[0])[10:] == ["macs", "seconds", "reason"]


# ---- the three forms --------------------------------------------------------------------


def test_csv_is_read_back(state: RunState) -> None:
    text = to_csv(rows(state))
    read = list(csv.DictReader(io.StringIO(text, newline="")))
    assert read == [
        {name: "" if value is None else str(value) for name, value in row.items()}
        for row in rows(state)
    ]
    assert read[3]["reason"] == REASON


def test_csv_of_nothing_is_its_head() -> None:
    text = to_csv(rows(RunState.replay(RECORDS[:1])))
    assert text == "trial,status,bracket,rung,epochs,parent,preset\r\n"


def test_json_is_read_back(state: RunState) -> None:
    content = json.loads(to_json(state))
    # A failed trial also says what its workers printed last.
    outputs = [row.pop("output", None) for row in content["trials"]]
    assert content["trials"] == rows(state)
    assert [output is not None for output in outputs] == [
        row["status"] == "FAILED" for row in rows(state)
    ]
    assert content["run"] == {key: value for key, value in RECORDS[0].items() if key != "type"}
    lengths = {name: len(curve) for name, curve in content["curves"].items()}
    assert lengths == {"0000": 1, "0001": 1, "0001-1": 3, "0002": 1, "0003": 1}
    assert content["curves"]["0001-1"][1]["val_accuracy"] == 0.5
    assert content["test_reads"] + content["exports"] == RECORDS[-2:]
    assert json.loads(to_json(RunState.replay(RECORDS[:1])))["trials"] == []


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").replace(r"\|", "\0").split("|")]


def test_markdown_is_read_back(state: RunState) -> None:
    lines = to_markdown(state).splitlines()
    table = [cells(line) for line in lines if line.startswith("|")]
    head, rule, *body = table
    assert lines[0] == "# Summary of the search"
    assert set(rule) == {"---"}
    assert {len(row) for row in table} == {len(head)}
    assert head == [name.rpartition(".")[2] for name in COLUMNS]
    assert [row[0] for row in body] == ["0001-1", "0001", "0000", "0002", "0003"]
    best = dict(zip(head, body[0], strict=True))
    assert (best["val_accuracy"], best["parameters"], best["macs"]) == (
        "0.55",
        "78,043",
        "12,000,000",
    )
    assert body[3][-1] == "ResourceExhausted: 2 \0 3 no room"


def test_markdown_has_no_empty_columns() -> None:
    table = to_markdown(finished(("0000", 1, 0.7), ("0001", 1, 0.6)))
    head = next(line for line in table.splitlines() if line.startswith("|"))
    assert "parent" not in head and "reason" not in head
    assert "preset" in head


def test_markdown_of_nothing_says_so() -> None:
    text = to_markdown(RunState.replay(RECORDS[:1]))
    assert text == "# Summary of the search\n\nNo trial has finished.\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (0.123456, "0.1235"),
        (1e-5, "1e-05"),
        (1.0, "1"),
        (9999, "9999"),
        (10_000, "10,000"),
        ("avg+max", "avg+max"),
    ],
)
def test_values_are_shown_briefly(value: object, text: str) -> None:
    assert format_value(value) == text


# ---- what it says -----------------------------------------------------------------------


def test_nothing_has_finished() -> None:
    assert findings(RunState.replay(RECORDS[:1])) == ["No trial has finished."]
    failed = [run(), trial("0000"), ended("0000", None, "killed")]
    assert findings(RunState.replay(failed)) == ["No trial has finished."]


def test_attention_is_best() -> None:
    best, rival = findings(finished(("0000", 3, 0.5), ("0001", 3, 0.5625), ("0002", 3, 0.4)))
    assert best == (
        "Best: trial 0001, attention se, val_accuracy 0.5625 after 3 epochs, 78,043 parameters."
    )
    assert rival == (
        "The best without attention, trial 0000, has 0.5 after as many epochs: 0.0625 apart. "
        "Both are single trainings with one seed, selected on the same validation images; a "
        "difference of this kind is not evidence until it is repeated over seeds."
    )


def test_no_attention_is_best() -> None:
    best, rival = findings(finished(("0000", 3, 0.5), ("0001", 3, 0.25), ("0002", 3, 0.375)))
    assert best.startswith("Best: trial 0000, attention none, val_accuracy 0.5 after 3 epochs")
    assert rival.startswith("The best with attention, trial 0002, has 0.375 after as many")
    assert ": 0.125 apart." in rival


@pytest.mark.parametrize(
    ("names", "other"),
    [(("0001", "0002"), "without attention"), (("0000", "0003"), "with attention")],
)
def test_there_is_no_rival(names: tuple[str, str], other: str) -> None:
    said = findings(finished((names[0], 3, 0.5), (names[1], 3, 0.4)))
    assert said[1:] == [
        f"No trial {other} was trained to 3 epochs, so this search does not say whether "
        "attention helps."
    ]


def test_a_rival_of_fewer_epochs_is_none() -> None:
    said = findings(finished(("0000", 1, 0.9), ("0001", 3, 0.5)))
    assert said[0].startswith("Best: trial 0001, ")
    assert said[1].startswith("No trial without attention was trained to 3 epochs, so")


def test_one_epoch_is_not_epochs() -> None:
    said = findings(finished(("0001", 1, 0.5)))
    assert "after 1 epoch, " in said[0]
    assert "to 1 epoch, so" in said[1]


def test_less_loss_is_better() -> None:
    trials = (("0000", 3, 0.75), ("0001", 3, 0.5))
    best, rival = findings(finished(*trials, objective="val_loss"))
    assert best.startswith("Best: trial 0001, attention se, val_loss 0.5 after 3 epochs")
    assert "trial 0000, has 0.75 after as many epochs: 0.25 apart." in rival


def test_a_trial_in_a_few_words(state: RunState) -> None:
    assert describe_trial(state, state.trials["0001-1"]) == "se r=8 post"
    assert describe_trial(state, state.trials["0000"]) == "none"
    assert describe_trial(state, state.trials["0001"], "recipe") == "lr=0.2"


# ---- files ------------------------------------------------------------------------------


def test_the_files_are_written(tmp_path: Path, state: RunState) -> None:
    for _ in range(2):
        write_summary(tmp_path, state)
        assert sorted(os.listdir(tmp_path)) == ["summary.csv", "summary.json", "summary.md"]
    assert (tmp_path / "summary.csv").read_bytes() == to_csv(rows(state)).encode()
    assert (tmp_path / "summary.json").read_text("utf-8") == to_json(state)
    assert (tmp_path / "summary.md").read_text("utf-8") == to_markdown(state)


def test_files_that_cannot_be_written_are_named(tmp_path: Path, state: RunState) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write the summary to .*: Not a directory"):
        write_summary(tmp_path / "file", state)
