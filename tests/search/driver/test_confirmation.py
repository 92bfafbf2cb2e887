"""Confirmations from outside: planned, trained, looked at once, and the same after a kill."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from search.algorithms.confirmation import confirmation_seeds, next_training, trainings
from search.analysis.answer import answer_of
from search.cli import commands as cli
from search.runs.journal import read_journal
from search.runs.run import load_run
from search.space.loading import load_space
from tests.search.command import SMALL_SPACE, epochs_in, kill_all, run, start, wait_for_epochs

SPACE = SMALL_SPACE + "confirm: {seeds: 2, top: 1}\n"


def search(space: Path, runs: Path, **extra: Any) -> None:
    run("--space", space, "--directory", runs, "--workers", 2, "--verbose", **extra)


def records(run_directory: Path) -> list[dict[str, Any]]:
    return read_journal(run_directory / "journal.jsonl")[0]


def answer_in(run_directory: Path) -> dict[str, Any]:
    """A run's answer but for its latencies, which are measured."""
    answer: dict[str, Any] = json.loads((run_directory / "answer.json").read_text())
    assert answer.pop("latency")["milliseconds"] > 0
    assert all(arm.pop("latency") > 0 for arm in answer["arms"])
    return answer


def epochs_searched(run_directory: Path) -> int:
    """Epochs of the search, without those of its confirmation."""
    return sum(
        record["type"] == "epoch" and not record["trial"].startswith("c")
        for record in records(run_directory)
    )


def answer_after(kills: Iterable[int], space: Path, runs: Path) -> dict[str, Any]:
    """The answer of a run that is killed whenever its journal has so many epochs."""
    for epochs in kills:
        arguments = ["--space", space, "--directory", runs, "--workers", 2, "--verbose"]
        process = start(*arguments, log=runs / "said.txt")
        wait_for_epochs(process, runs / "small", epochs)
        kill_all(process)
    search(space, runs)
    return answer_in(runs / "small")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "small.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(scope="module")
def confirmed(space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search and its confirmation that nobody disturbed."""
    runs = tmp_path_factory.mktemp("runs")
    search(space, runs)
    return runs / "small"


def test_the_main_command_ends_with_an_answer(confirmed: Path) -> None:
    answer = json.loads((confirmed / "answer.json").read_text())
    assert answer["answer"] in ("helps", "hurts", "makes no difference", "cannot tell yet")
    assert answer["seeds"] == 2 and answer["looks"] == [2, 3, 5]
    arms = {arm["arm"]: arm for arm in answer["arms"]}
    assert arms["none"]["role"] == "plain" and arms["none"]["verdict"] is None
    attended = [arm for arm in answer["arms"] if arm["role"] == "attention"]
    assert len(attended) == 1
    blind = [arm for arm in answer["arms"] if arm["role"] == "blind"]
    assert len(blind) == 1 and blind[0]["parameters"] == attended[0]["parameters"]
    assert blind[0]["accuracy"] != attended[0]["accuracy"]
    assert set(answer["explained"]) >= {"blind"}
    verdict = attended[0]["verdict"]
    assert verdict["low"] <= verdict["mean"] <= verdict["high"]
    markdown = (confirmed / "answer.md").read_text()
    assert "Attention" in markdown or "Cannot tell yet" in markdown


def test_the_plan_stands_before_its_trainings_and_the_look_after_them(confirmed: Path) -> None:
    kinds = [
        (record["type"], str(record.get("trial") or record.get("purpose", "")))
        for record in records(confirmed)
    ]
    plan = kinds.index(("confirmation", ""))
    confirming = [number for number, (_, name) in enumerate(kinds) if name.startswith("c")]
    read = kinds.index(("test_read", "look 1 of the confirmation"))
    ended = [number for number in confirming if kinds[number][0] == "ended"]
    scored = [number for number in confirming if kinds[number][0] == "test_scored"]
    assert plan < min(confirming) and max(ended) < read < min(scored)
    assert len(ended) == len(scored)


def test_arms_share_seeds_that_the_search_never_had(confirmed: Path) -> None:
    seeds: dict[str, set[int]] = {}
    for record in records(confirmed):
        if record["type"] == "trial" and record["trial"].startswith("c"):
            seeds.setdefault(record["trial"][-2:], set()).add(record["seed"])
    assert all(len(each) == 1 for each in seeds.values()) and len(seeds) == 2
    assert 3 not in set.union(*seeds.values())


def test_the_search_is_as_without_a_confirmation(confirmed: Path) -> None:
    rows = json.loads((confirmed / "summary.json").read_text())["trials"]
    assert rows and not any(row["trial"].startswith("c") for row in rows)
    run("verify", confirmed)


def test_a_finished_confirmation_answers_without_training(confirmed: Path) -> None:
    before = (confirmed / "answer.json").read_bytes()
    epochs = epochs_in(confirmed)
    said = run("confirm", confirmed).stdout
    assert "look 1 of 3" in said
    assert epochs_in(confirmed) == epochs
    assert (confirmed / "answer.json").read_bytes() == before


def test_the_winner_is_compared_with_itself_after_as_many_epochs_alone(confirmed: Path) -> None:
    state = load_run(confirmed)
    found = answer_of(state)
    assert found is not None and found.shrunk is not None
    assert state.confirmation is not None
    state.confirmation.plan = dataclasses.replace(state.confirmation.plan, epochs=99)
    found = answer_of(state)
    assert found is not None and found.shrunk is None


def test_an_arm_that_failed_is_reported_and_the_others_answer_stands(confirmed: Path) -> None:
    state = load_run(confirmed)
    confirmation = state.confirmation
    assert confirmation is not None
    roles = [arm.role for arm in confirmation.arms()]
    number = roles.index("blind")
    name = f"c{number + 1:02d}-02"
    whole = answer_of(state)
    confirmation.outcomes[name] = None
    confirmation.trials[name].reason = "out of memory"
    del confirmation.scores[name]
    found = answer_of(state)
    assert found is not None and whole is not None
    assert "blind has no answer" in found.failed[0] and "out of memory" in found.failed[0]
    assert "blind" not in found.explained and "blind" in whole.explained
    assert len(found.results) == len(whole.results) - 1
    assert found.comparison == whole.comparison and found.answer == whole.answer
    confirmation.outcomes["c01-01"] = None  # the control: nothing is left to compare with
    confirmation.trials["c01-01"].reason = "out of memory"
    assert answer_of(state) is None


def test_another_number_of_seeds_is_refused_once_it_is_planned(
    confirmed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["confirm", str(confirmed), "--seeds", "7"]) == 2
    assert "is planned with 2 seeds" in capsys.readouterr().err


def test_what_mattered_and_a_comparison_around_the_best(confirmed: Path, tmp_path: Path) -> None:
    found = json.loads(run("importance", confirmed, "--epochs", 1, "--json").stdout)
    assert found["epochs"] == 1 and found["trainings"] > 2
    knobs = {each["knob"]: each for each in found["knobs"]}
    assert sum(each["trainings"] for each in knobs["attention.type"]["values"]) > 2
    shown = run("importance", confirmed, "--epochs", 1).stdout
    assert "attention.type" in shown and "proves nothing" in shown
    space = tmp_path / "around.yaml"
    said = run("importance", confirmed, "--one-factor", space).stdout
    assert f"compare --space {space}" in said
    assert load_space(str(space)).presets[:2] == ("none", "best")
    assert (
        "is there already" in run("importance", confirmed, "--one-factor", space, check=2).stderr
    )
    assert "Two are needed" in run("importance", confirmed, "--epochs", 99, check=2).stderr


def test_a_search_that_goes_on_is_not_confirmed(space: Path, tmp_path: Path) -> None:
    process = start("--space", space, "--directory", tmp_path, log=tmp_path / "said.txt")
    wait_for_epochs(process, tmp_path / "small", 1)
    kill_all(process)
    refused = run("confirm", tmp_path / "small", check=2).stderr
    assert "is not over" in refused and "go on, then confirm" in refused
    assert not any(record["type"] == "confirmation" for record in records(tmp_path / "small"))


def test_killed_it_gives_the_same_answer(confirmed: Path, space: Path, tmp_path: Path) -> None:
    whole = epochs_in(confirmed)
    searched = epochs_searched(confirmed)
    kills = (searched + 2, whole - 1)
    assert answer_after(kills, space, tmp_path) == answer_in(confirmed)


@pytest.mark.slow
def test_more_goes_to_the_planned_looks_and_no_further(space: Path, tmp_path: Path) -> None:
    search(space, tmp_path)
    there = tmp_path / "small"
    for look, seeds in ((2, 3), (3, 5)):
        said = run("confirm", there, "--more").stdout
        assert f"look {look} of 3" in said
        assert json.loads((there / "answer.json").read_text())["seeds"] == seeds
    assert "last planned look" in run("confirm", there, "--more", check=2).stderr
    run("verify", there)


@pytest.mark.slow
def test_a_storm_of_kills_over_a_confirmation(
    confirmed: Path, space: Path, tmp_path: Path
) -> None:
    searched = epochs_searched(confirmed)
    kills = range(searched, epochs_in(confirmed) + 1)
    assert answer_after(kills, space, tmp_path) == answer_in(confirmed)


def test_compare_needs_no_search(tmp_path: Path) -> None:
    space = tmp_path / "few.yaml"
    space.write_text(
        "backbone: {family: resnet_v1, depth: 8}\n"
        "attention: {type: {choice: [se, eca]}}\n"
        "data: {name: cifar10-sample, limit: 120, validation: 40, batch_size: 20}\n"
        "search: {max_epochs: 1}\n"
        "presets: [{'a|b <i>': {type: simam}}]\n"
    )
    arguments = ["compare", "--space", space, "--directory", tmp_path, "--seeds", 2]
    said = run(*arguments, "--workers", 2).stdout
    assert "The space offers no network without attention; it was added." in said
    answer = json.loads((tmp_path / "few-compared" / "answer.json").read_text())
    assert [arm["arm"] for arm in answer["arms"]] == ["none", "a|b <i>", "se", "eca"]
    assert "matches its journal" in run("verify", tmp_path / "few-compared").stdout
    refused = run("importance", tmp_path / "few-compared", check=2).stderr
    assert "has no search" in refused
    assert "4 arms over 2 seeds: none; a|b <i>; se; eca." in said
    assert r"| a\|b \<i\> |" in (tmp_path / "few-compared" / "answer.md").read_text()


def test_compare_refuses_a_tuned_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "tuned.yaml"
    space.write_text("backbone: {}\nrecipe: {learning_rate: {float: [0.1, 0.2]}}\n")
    code = cli.main(["compare", "--space", str(space), "--directory", str(tmp_path)])
    assert code == 3
    assert "recipe.learning_rate is tuned" in capsys.readouterr().err


def test_seeds_of_a_later_look_begin_with_those_of_the_first() -> None:
    few, many = confirmation_seeds(1, 5), confirmation_seeds(1, 12)
    assert many[:5] == few and len(set(many)) == 12
    assert confirmation_seeds(2, 5) != few


def test_an_arm_that_failed_gets_no_more_trainings() -> None:
    from hypermodels.settings.configuration import Configuration

    arm = Configuration({"family": "resnet_v1"}, {"type": "none"}, {})
    planned = trainings([arm, arm], [7, 8], 3)
    assert list(planned) == ["c01-01", "c02-01", "c01-02", "c02-02"]
    handed = next_training(planned, {"c02-01": None, "c01-01": 0.5}, [])
    assert handed is not None and handed.trial_id == "c01-02"
    assert next_training(planned, {"c02-01": None, "c01-01": 0.5, "c01-02": 0.5}, []) is None
