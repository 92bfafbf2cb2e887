"""Stock KerasTuner opens a run directory and prints its results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from search.imports.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

import keras_tuner as kt  # noqa: E402

from tests.search.command import SMALL_SPACE, run  # noqa: E402


class NeverBuilt(kt.HyperModel):  # type: ignore[misc]
    def build(self, hp: Any) -> None:
        raise AssertionError("a reloaded tuner has no need to build a model")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("views")
    (directory / "small.yaml").write_text(SMALL_SPACE)
    run("--space", directory / "small.yaml", "--directory", directory, "--workers", 2)
    return directory / "small"


def stock_tuner(path: Path) -> kt.Hyperband:
    return kt.Hyperband(
        NeverBuilt(),
        objective=kt.Objective("val_accuracy", "max"),
        max_epochs=3,
        factor=3,
        directory=str(path.parent),
        project_name=path.name,
        overwrite=False,
    )


def test_stock_hyperband_prints_the_results(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tuner = stock_tuner(finished)
    tuner.results_summary(100)
    printed = capsys.readouterr().out
    rows = json.loads((finished / "summary.json").read_text())["trials"]
    for row in rows:
        assert f"Trial {row['trial']} summary" in printed
        assert f"Score: {row['val_accuracy']}" in printed
    assert "attention.type: " in printed


def test_stock_hyperband_has_every_trial_as_it_was(finished: Path) -> None:
    tuner = stock_tuner(finished)
    summary = json.loads((finished / "summary.json").read_text())
    assert set(tuner.oracle.trials) == {row["trial"] for row in summary["trials"]}
    for row in summary["trials"]:
        trial = tuner.oracle.trials[row["trial"]]
        assert trial.status == row["status"] and trial.score == row["val_accuracy"]
        assert trial.hyperparameters.values["attention.type"] == row["attention.type"]
        assert trial.hyperparameters.values["tuner/bracket"] == row["bracket"]
        history = trial.metrics.get_history("val_accuracy")
        assert [point.step for point in history][-1] == row["epochs"]
        assert history[-1].value == [row["val_accuracy"]]
    # Nothing is left for the stock tuner to do: its brackets are as it keeps them.
    brackets = tuner.oracle.get_state()["brackets"]
    assert [bracket["bracket_num"] for bracket in brackets] == [1, 0]


def test_torn_and_missing_views_are_rebuilt(finished: Path) -> None:
    views = [finished / "oracle.json", *sorted(finished.glob("trial_*/trial.json"))]
    before = {path: path.read_text() for path in views}
    views[0].write_text(before[views[0]][:100])
    views[1].unlink()
    views[2].write_text("")
    run("--space", finished.parent / "small.yaml", "--directory", finished.parent)
    assert {path: path.read_text() for path in views} == before
