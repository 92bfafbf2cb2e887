"""What mattered: importances that find what was planted, and means that are means."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from search.analysis.importance import ScoredTraining, importance_of
from search.cli import importance as command
from search.space.loading import parse_space

SPACE = parse_space(
    "backbone: {family: resnet_v1, depth: 8}\n"
    "attention:\n"
    "  type: {choice: [none, se, cbam]}\n"
    "  reduction_ratio: {choice: [2, 4, 8]}\n"
    "  spatial_kernel_size: {choice: [3, 7]}\n"
    "recipe: {learning_rate: {float: [0.01, 0.1], sampling: log}}\n"
)
TYPE, RATIO, KERNEL, RATE = (
    "attention.type",
    "attention.reduction_ratio",
    "attention.spatial_kernel_size",
    "recipe.learning_rate",
)


def trainings(effect: dict[str, float], by_ratio: float = 0.0) -> list[ScoredTraining]:
    """Every type and ratio with six learning rates; kernels where there are some."""
    random = np.random.default_rng(1)
    found = []
    for kind, ratio, rate in itertools.product(effect, (2, 4, 8), np.geomspace(0.01, 0.1, 6)):
        values = {TYPE: kind, RATE: float(rate)}
        if kind != "none":
            values[RATIO] = ratio
        if kind == "cbam":
            values[KERNEL] = int(random.choice([3, 7]))
        score = 0.5 + effect[kind] + by_ratio * (ratio == 8) + 0.001 * random.normal()
        found.append(ScoredTraining(values, float(score)))
    return found


def test_it_finds_the_knob_that_decides() -> None:
    found = importance_of(SPACE, trainings({"none": 0.0, "se": 0.02, "cbam": 0.1}), weigh=True)
    assert found[0].knob == TYPE
    share = found[0].importance
    assert share is not None and share > 0.5
    assert all((each.importance or 0.0) < share / 2 for each in found[1:])
    for each in found:
        assert each.low is not None and each.high is not None and each.low <= each.high


def test_it_finds_a_knob_that_not_every_training_has() -> None:
    found = importance_of(SPACE, trainings({"none": 0, "se": 0, "cbam": 0}, 0.1), weigh=True)
    assert found[0].knob == RATIO and found[0].count == 36


def test_less_is_better_of_a_loss() -> None:
    space = SPACE.override("search", objective="val_loss")
    flat = trainings({"none": -0.1, "se": 0.0, "cbam": 0.0})
    found = importance_of(space, flat, weigh=True)
    assert found[0].knob == TYPE


def test_means_are_those_of_numpy_with_the_interval_of_student() -> None:
    given = trainings({"none": 0.0, "se": 0.02, "cbam": 0.1})
    found = {each.knob: each for each in importance_of(SPACE, given, weigh=False)}
    assert [mean.value for mean in found[TYPE].means] == ["none", "se", "cbam"]
    se = [each.score for each in given if each.values[TYPE] == "se"]
    mean = found[TYPE].means[1]
    assert mean.count == len(se) and mean.mean == pytest.approx(np.mean(se))
    half = 2.1098 * np.std(se, ddof=1) / math.sqrt(len(se))  # t(17) of a printed table
    assert (mean.low, mean.high) == pytest.approx((mean.mean - half, mean.mean + half), abs=1e-6)
    assert sum(part.count for part in found[RATE].means) == len(given)
    assert len(found[RATE].means) == 3 and found[TYPE].importance is None


def test_equal_scores_make_nothing_important() -> None:
    flat = [ScoredTraining(each.values, 0.1) for each in trainings({"none": 0, "se": 0})]
    assert all(each.importance is None for each in importance_of(SPACE, flat, weigh=True))


@pytest.mark.parametrize("count", [6, 8, 12])
def test_a_handful_of_trainings_is_enough_to_compute(count: int) -> None:
    whole = trainings({"none": 0.0, "se": 0.02, "cbam": 0.1})
    random = np.random.default_rng(count)
    for _ in range(5):
        few = [whole[i] for i in random.choice(len(whole), count, replace=False)]
        for each in importance_of(SPACE, few, weigh=True):
            assert each.importance is not None and 0 <= each.importance <= 1


def test_a_knob_with_one_value_did_nothing() -> None:
    given = [each for each in trainings({"se": 0.0}) if each.values[RATIO] == 4]
    assert [each.knob for each in importance_of(SPACE, given, weigh=False)] == [RATE]


def test_without_optuna_the_means_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from argparse import Namespace

    state = Namespace(objective="val_accuracy", trials={"0000": None})
    monkeypatch.setattr(command, "has_optuna", lambda: False)
    monkeypatch.setattr(command, "load_run", lambda path: state)
    monkeypatch.setattr(command, "space_of", lambda state, path: SPACE)
    monkeypatch.setattr(command, "trainings_at", lambda *_: trainings({"none": 0, "se": 0.1}))
    options = Namespace(run=tmp_path, epochs=3, one_factor=None, json=False)
    assert command.carry_out(options) == 0
    said = capsys.readouterr().out
    assert "attention.type" in said and "pip install 'cbam-search[importance]'" in said
