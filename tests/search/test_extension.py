"""A finished search can go on: more iterations, or a larger budget; and be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.runs.resume_guard import extended_budgets
from tests.search.command import SMALL_SPACE, epochs_in, run

CONSTANT_SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention: {type: {choice: [none, se]}, reduction_ratio: 4}
recipe: {schedule: constant, warmup: 0.0, learning_rate: 0.05}
data: {name: cifar10-sample, limit: 120, validation: 40, batch_size: 20}
search: {max_epochs: 1, factor: 3, seed: 3}
"""


def rows(path: Path) -> list[dict[str, Any]]:
    content = json.loads((path / "summary.json").read_text())
    return [{**row, "seconds": None} for row in content["trials"]]


@pytest.mark.parametrize(
    ("epochs", "iterations", "expected"),
    [
        (9, 1, (9,)),
        (9, 3, (9, 9, 9)),
        (27, 1, (9, 27)),
        (81, 2, (9, 81, 81)),
        (12, 1, None),  # no power of the factor
        (3, 1, None),  # less
    ],
)
def test_extended_budgets(epochs: int, iterations: int, expected: tuple[int, ...] | None) -> None:
    then = {"max_epochs": 9, "hyperband_iterations": 1, "factor": 3}
    now = {"max_epochs": epochs, "hyperband_iterations": iterations, "factor": 3}
    assert extended_budgets((9,), then, now) == expected


def test_fewer_iterations_are_no_extension() -> None:
    then = {"max_epochs": 9, "hyperband_iterations": 2, "factor": 3}
    assert extended_budgets((9, 9), then, {**then, "hyperband_iterations": 1}) is None


def test_more_iterations_keep_what_was_found_and_add_to_it(tmp_path: Path) -> None:
    space = tmp_path / "small.yaml"
    space.write_text(SMALL_SPACE.replace("[2, 4]", "[2, 4, 8, 16, 32]"))
    arguments = ("--space", space, "--directory", tmp_path, "--max-epochs", 1, "--workers", 2)
    run(*arguments)
    before = rows(tmp_path / "small")
    run(*arguments, "--hyperband-iterations", 3)
    after = rows(tmp_path / "small")
    assert len(before) == 1 and len(after) == 3
    # More trials may bring more columns; what was there is as it was.
    assert before[0].items() <= after[0].items()
    # The same as if it had been asked for from the start.
    run(*arguments, "--hyperband-iterations", 3, "--name", "at-once")
    assert rows(tmp_path / "at-once") == after
    said = run(*arguments, check=5).stderr  # back to fewer
    assert "search.hyperband_iterations: 3 in the run, 1 now" in said


@pytest.mark.slow
def test_larger_budget_goes_on_where_that_is_exact(tmp_path: Path) -> None:
    space = tmp_path / "constant.yaml"
    space.write_text(CONSTANT_SPACE)
    arguments = ("--space", space, "--directory", tmp_path, "--workers", 2, "--keep", 9)
    run(*arguments)
    path = tmp_path / "constant"
    assert epochs_in(path) == 1
    run(*arguments, "--max-epochs", 3)
    # Two networks, each trained to three epochs at most, and no epoch twice.
    journal = [json.loads(line[9:]) for line in (path / "journal.jsonl").read_bytes().splitlines()]
    trained = [
        (record["lineage"], record["epoch"]) for record in journal if record["type"] == "epoch"
    ]
    assert len(trained) == len(set(trained)) <= 6
    assert max(row["epochs"] for row in rows(path)) == 3
    said = run("verify", path).stdout
    assert "matches its journal" in said


def test_verify_names_what_is_wrong(tmp_path: Path) -> None:
    space = tmp_path / "constant.yaml"
    space.write_text(CONSTANT_SPACE)
    run("--space", space, "--directory", tmp_path)
    path = tmp_path / "constant"
    run("verify", path)
    checkpoint = next((path / "checkpoints").glob("*.npz"))
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[:1000])
    (path / "oracle.json").write_text("{")
    test_images = path / "data" / "test" / "test_images.npy"
    content = bytearray(test_images.read_bytes())
    content[-1] ^= 1
    test_images.write_bytes(bytes(content))
    said = run("verify", path, check=10).stderr
    assert str(checkpoint) in said and "oracle.json" in said and "test_images.npy" in said
    content[-1] ^= 1
    test_images.write_bytes(bytes(content))
    checkpoint.write_bytes(whole)
    said = run("verify", path, check=10).stderr
    assert "oracle.json" in said and str(checkpoint) not in said
    assert "matches its journal" in run("verify", path, "--repair").stdout


@pytest.mark.slow
def test_checkpoints_of_losers_are_deleted(tmp_path: Path) -> None:
    space = tmp_path / "small.yaml"
    space.write_text(SMALL_SPACE)
    run("--space", space, "--directory", tmp_path, "--workers", 2)
    path = tmp_path / "small"
    kept = [checkpoint.stem for checkpoint in (path / "checkpoints").glob("*.npz")]
    best = json.loads((path / "best" / "metrics.json").read_text())["trial"]
    assert kept == [best.partition("-")[0]]
