"""Forged confirmations: what contradicts the plan is refused before anything follows it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from search.algorithms.confirmation import confirmation_seeds
from search.errors import RunDirectoryError
from search.runs.journal import Record
from search.runs.state import RunState
from tests.search import example

SEEDS = confirmation_seeds(0, 3)
ARM = {
    "backbone": {"family": "resnet_v1", "depth": 8},
    "attention": {"type": "none"},
    "recipe": {"optimizer": "sgd", "learning_rate": 0.1},
}


def plan(**changed: Any) -> Record:
    arms = [
        {"name": "none", "role": "plain", "configuration": ARM},
        {
            "name": "se",
            "role": "attention",
            "configuration": {**ARM, "attention": {"type": "se"}},
        },
    ]
    whole = {"arms": arms, "looks": [2, 3], "seeds": SEEDS, "epochs": 3, "margin": 0.005}
    return {"type": "confirmation", **whole, **changed}


def training(name: str = "c01-01", **changed: Any) -> Record:
    whole = {
        **example.trial("0000", epochs=3, bracket=0),
        "trial": name,
        "lineage": name,
        "configuration": ARM,
        "preset": None,
        "full_epochs": 3,
        "seed": SEEDS[0],
    }
    return {**whole, **changed}


def scored(**changed: Any) -> Record:
    right = base64.b64encode(bytes([255])).decode()
    whole = {"trial": "c01-01", "accuracy": 1.0, "loss": 0.1, "right": right, "images": 8}
    return {"type": "test_scored", **whole, **changed}


LOOK: Record = {"type": "look", "look": 1}


def test_a_confirmation_is_kept_apart_from_its_search() -> None:
    state = RunState.replay([example.run(), plan(), LOOK, training(), scored()])
    assert not state.trials and state.confirmation is not None
    assert list(state.confirmation.trials) == ["c01-01"]
    assert state.confirmation.answers(0, 0).all()
    assert list(state.confirmation.planned()) == ["c01-01", "c02-01", "c01-02", "c02-02"]


LATENCY = {"type": "latency", "batch": 8, "milliseconds": 2.0, "ratios": [1.0, 1.1]}


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([plan(arms=[])], "compares 0 arms"),
        ([plan(looks=[3, 2])], "looks do not rise"),
        ([plan(looks=[])], "looks do not rise"),
        ([plan(seeds=SEEDS[:2])], "not as many seeds"),
        ([plan(seeds=[SEEDS[0]] * 3)], "not as many seeds"),
        ([plan(), plan()], "a confirmation already"),
        ([LOOK], "no confirmation was planned"),
        ([plan(), {"type": "look", "look": 2}], "look 2 is not the next one"),
        ([plan(), LOOK, LOOK], "look 1 is not the next one"),
        ([plan(), training()], "none that was planned"),
        ([plan(), LOOK, training("c03-01")], "none that was planned"),
        ([plan(), LOOK, training(seed=1)], "none that was planned"),
        ([plan(), LOOK, training(epochs=4)], "none that was planned"),
        ([plan(), LOOK, training("0007")], "none that was planned"),
        ([plan(), LOOK, training(), training()], "another trial of this name"),
        ([plan(), LOOK, scored()], "no training of the confirmation"),
        ([plan(), LOOK, training(), scored(images=80)], "not as many as its images"),
        ([plan(), LOOK, training(), scored(right="?")], "not as many as its images"),
        ([LATENCY], "no confirmation was planned"),
        ([plan(), {**LATENCY, "ratios": [1.0]}], "not as many as its arms"),
    ],
)
def test_what_contradicts_the_plan_is_refused(records: list[Record], expected: str) -> None:
    with pytest.raises(RunDirectoryError, match=expected):
        RunState.replay([example.run(), *records])
