"""`normalization` was `normalisation` once: spaces may say so still, and runs keep it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hypermodels.knobs import Choice, KnobError
from hypermodels.settings.configuration import Configuration, backbone_section, digest
from search.driver.oracle import view_text
from search.errors import SpaceError
from search.messages import Assignment
from search.runs.encoding import from_record, to_record
from search.runs.records import BackboneDescribed, Entry, RunBegan, TrialStarted
from search.runs.state import RunState
from search.space.loading import parse_space, recorded_space
from tests.search import example

SPACE = """
backbone: {model: "my:build", %s: {choice: [none, data]}}
"""
BACKBONE = {"family": "model", "model": "my:build", "normalization": "none"}
WRITTEN = {"family": "model", "model": "my:build", "normalisation": "none"}


def test_a_space_may_use_the_old_name_and_is_told_the_new_one() -> None:
    old, new = (parse_space(SPACE % name) for name in ("normalisation", "normalization"))
    assert old == replace(new, source=old.source) and "normalization" in old.settings["backbone"]
    assert old.notices == (
        "backbone.normalisation is now called normalization. The old name still works.",
    )
    assert not new.notices
    assert not recorded_space(old.to_dict(), "space").notices


def test_a_space_with_both_names_is_refused() -> None:
    text = 'backbone:\n  model: "my:build"\n  normalization: none\n  normalisation: none\n'
    with pytest.raises(SpaceError, match=r":4: backbone\.normalisation: the old name of norm"):
        parse_space(text)
    with pytest.raises(KnobError, match="backbone.normalisation is now called normalization"):
        backbone_section().accept({**BACKBONE, "normalisation": "none"})


def test_python_may_use_the_old_name_and_is_warned() -> None:
    with pytest.warns(FutureWarning, match="now called normalization"):
        assert backbone_section().accept(WRITTEN) == BACKBONE
    assert Configuration.resolve({"backbone": WRITTEN}).backbone["normalization"] == "none"


def test_what_a_tuner_sampled_under_the_old_name_counts() -> None:
    settings: dict[str, Any] = {**WRITTEN, "normalisation": Choice(("none", "data"))}
    sampled = {"backbone.normalization": "none", "backbone.normalisation": "data"}
    resolved = Configuration.resolve({"backbone": settings}, sampled)
    assert resolved.backbone["normalization"] == "data"


def test_a_journal_keeps_the_old_name() -> None:
    space = parse_space(SPACE % "normalization").to_dict()
    began = RunBegan(space=space, data="", versions={})
    trial = from_record(example.trial("0000"), first=False)
    assert isinstance(trial, TrialStarted)
    trial = replace(trial, configuration={**trial.configuration, "backbone": BACKBONE})
    described = BackboneDescribed(settings=BACKBONE, description=None, refused=None, notices=[])
    entries: tuple[Entry, ...] = began, trial, described
    records = [to_record(entry) for entry in entries]
    assert "normalisation" in records[0]["space"]["backbone"]
    assert records[1]["configuration"]["backbone"] == records[2]["settings"] == WRITTEN

    state = RunState.replay(records)
    assert state.header.space == space
    assert state.trials["0000"].configuration.backbone == BACKBONE
    assert set(state.descriptions) == {digest(BACKBONE)}


def test_a_view_keeps_the_old_name() -> None:
    """Otherwise `verify` would find every view of an older run changed."""
    assert view_text({"values": {"backbone.normalization": "none"}}) == (
        '{"values": {"backbone.normalisation": "none"}}'
    )


@pytest.mark.parametrize("backbone", [BACKBONE, WRITTEN])
def test_a_training_has_the_name_that_it_had(backbone: dict[str, Any]) -> None:
    """The name was computed before the knob was renamed: checkpoints carry it."""
    configuration = {
        "backbone": backbone,
        "attention": {"type": "none"},
        "recipe": {"optimizer": "sgd"},
    }
    run = Path()
    assignment = Assignment("0000", "0", configuration, 1, 1, 0, 32, 1, "val_accuracy", run)
    assert assignment.training("data") == (
        "ce4457ba99df361ee0b28b3849070a0a946ffa6cda5597132e5a17828c1cdd0e"
    )
