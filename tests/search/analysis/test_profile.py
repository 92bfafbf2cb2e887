"""Where the time went: phases are measured, add up, and stand in the summary."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from search.analysis.profile import format_profile, in_training, profile
from search.analysis.summary import to_json, to_markdown
from search.messages import PHASES
from search.runs.state import RunState
from search.worker.stopwatch import Stopwatch
from tests.search import example
from tests.search.command import run
from tests.search.example import epoch, trial

SPENT = {
    "start": 0.1,
    "build": 0.4,
    "trace": 1.0,
    "data": 0.2,
    "train": 6.0,
    "validate": 0.3,
    "checkpoint": 0.1,
}


def state_with(*more: object) -> RunState:
    ended = {**example.ended("0000", 0.3, seconds=9.0), "profile": SPENT}
    return RunState.replay([example.run(), trial("0000"), epoch("0000", 1, 0.3), ended, *more])


def test_a_stopwatch_adds_up_and_knows_its_phases() -> None:
    watch = Stopwatch()
    for _ in range(2):
        with watch.phase("train"):
            time.sleep(0.01)
    assert set(watch.seconds) == {"train"} and watch.seconds["train"] >= 0.02
    with pytest.raises(ZeroDivisionError), watch.phase("data"):
        _ = 1 / 0
    assert watch.seconds["data"] >= 0
    with pytest.raises(AssertionError, match="lunch is no phase"):
        watch.add("lunch", 1.0)


def test_seconds_add_up_to_what_workers_had() -> None:
    assert profile(RunState.replay([example.run()])) == {}
    found = profile(state_with())
    assert {name: found[name] for name in PHASES} == SPENT
    assert found["other"] == pytest.approx(9.0 + SPENT["start"] - sum(SPENT.values()))
    assert "idle" not in found
    session = {"type": "session", "workers": 2, "seconds": 10.0, "driver_seconds": 0.05}
    found = profile(state_with(session))
    assert (found["idle"], found["driver"]) == (10.9, 0.05)
    assert sum(found.values()) - found["driver"] == pytest.approx(20.0)
    assert in_training(found) == pytest.approx(0.35)
    assert format_profile(found).startswith(
        "Of 20 worker-seconds: idle 55%, train 30%, trace 5%, "
    )


def test_the_summary_has_it() -> None:
    state = state_with()
    assert json.loads(to_json(state))["profile"] == profile(state)
    text = to_markdown(state)
    assert "## Where the time went" in text
    assert "| train | 6.0 | all other training steps |" in text
    assert "## Where the time went" not in to_markdown(RunState.replay([example.run()]))


def test_a_real_search_measures_every_phase(tmp_path: Path) -> None:
    space = tmp_path / "one.yaml"
    space.write_text(
        "backbone: {depth: 8}\nattention: {type: se}\n"
        "data: {name: cifar10-sample, limit: 100, validation: 20, batch_size: 20}\n"
        "search: {max_epochs: 2}\n"
    )
    run("--space", space, "--directory", tmp_path, "--name", "run", "--workers", 1)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    found = summary["profile"]
    assert set(found) == {*PHASES, "other", "idle", "driver"}
    assert all(found[name] > 0 for name in (*PHASES, "driver"))
    assert found["other"] < 0.5 * sum(row["seconds"] for row in summary["trials"])
