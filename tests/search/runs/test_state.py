"""The journal, replayed: what is known about a run."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypermodels.settings.configuration import Configuration
from search.algorithms.trials import Candidate, TrialSpec
from search.errors import RunDirectoryError
from search.runs.encoding import to_record
from search.runs.journal import decode, encode
from search.runs.records import TrialStarted
from search.runs.state import COMPLETED, FAILED, RUNNING, RunState
from tests.search import example
from tests.search.example import RECORDS, death, ended, epoch, run, trial


@pytest.fixture
def state() -> RunState:
    return RunState.replay(RECORDS)


def test_trials_stand_in_the_order_they_were_handed_out(state: RunState) -> None:
    assert list(state.trials) == ["0000", "0001", "0002", "0001-1", "0003"]
    assert {name: trial.status for name, trial in state.trials.items()} == {
        "0000": COMPLETED,
        "0001": COMPLETED,
        "0002": FAILED,
        "0001-1": COMPLETED,
        "0003": RUNNING,
    }
    assert [trial.ended for trial in state.trials.values()] == [True, True, True, True, False]


def test_a_trial_has_all_that_its_records_say(state: RunState) -> None:
    promoted = state.trials["0001-1"]
    spec = promoted.spec
    assert (spec.lineage, spec.parent, spec.slot) == ("0001", "0001", 1)
    assert (spec.bracket, spec.rung, spec.full_epochs) == (1, 1, 9)
    assert (promoted.epochs, promoted.score, promoted.reason) == (3, 0.55, "")
    assert (promoted.parameters, promoted.macs) == (78_043, 12_000_000)
    assert promoted.configuration.attention == example.ATTENTION["0001"]
    assert state.trials["0000"].spec.candidate.preset == "none"
    assert state.trials["0002"].reason == example.REASON


def test_seconds_add_up_over_deaths(state: RunState) -> None:
    assert {name: trial.seconds for name, trial in state.trials.items()} == {
        "0000": 2.0,
        "0001": 2.0,
        "0002": 4.0,
        "0001-1": 4.04,
        "0003": 0.0,
    }


def test_deaths_count_since_the_last_epoch() -> None:
    state = RunState.replay([run(), trial("0000", epochs=3)])
    deaths = []
    for record in (
        death("0000"),
        death("0000"),
        epoch("0000", 1, 0.1),
        death("0000"),
        epoch("0000", 2, 0.2),
    ):
        state.apply(record)
        deaths.append(state.trials["0000"].deaths)
    assert deaths == [1, 2, 0, 1, 0]


def test_a_lineage_has_one_curve(state: RunState) -> None:
    accuracies = {
        name: [metrics["val_accuracy"] for metrics in curve]
        for name, curve in state.curves.items()
    }
    assert accuracies == {
        "0000": [0.3],
        "0001": [0.4, 0.5, 0.55],
        "0002": [0.35],
        "0003": [0.2],
    }


def test_an_epoch_that_is_told_twice_counts_once() -> None:
    """A worker that was killed after its checkpoint, before its message, tells it again."""
    state = RunState.replay(
        [run(), trial("0000"), epoch("0000", 1, 0.3), epoch("0000", 1, 0.9), epoch("0000", 3, 0.8)]
    )
    assert [metrics["val_accuracy"] for metrics in state.curves["0000"]] == [0.3]


def test_outcomes_are_those_of_ended_trials(state: RunState) -> None:
    assert state.outcomes() == {
        "0000": 0.3,
        "0001": 0.4,
        "0002": None,
        "0001-1": 0.55,
    }


def test_reads_of_the_test_images_and_exports_are_kept(state: RunState) -> None:
    assert [read.purpose for read in state.test_reads] == ["export"]
    assert [export.trial for export in state.exports] == ["0001-1"]


def test_the_header_is_the_first_record(state: RunState) -> None:
    assert to_record(state.header) == RECORDS[0]
    assert RunState.replay([]).began is None


def test_records_of_later_versions_are_passed_over(state: RunState) -> None:
    before = state.outcomes()
    state.apply({"type": "verdict", "trial": "nowhere"})
    assert state.outcomes() == before


def test_a_replay_of_the_journal_is_the_state_it_was_written_from(state: RunState) -> None:
    read = [decode(encode(record)[:-1]) for record in RECORDS]
    assert RunState.replay(record for record in read if record is not None) == state


@given(st.integers(0, len(RECORDS)))
@settings(max_examples=30, deadline=None)
def test_a_replay_can_stop_anywhere_and_go_on(cut: int) -> None:
    state = RunState.replay(RECORDS[:cut])
    for record in RECORDS[cut:]:
        state.apply(record)
    assert state == RunState.replay(RECORDS)


def test_the_record_of_a_plan_comes_back_as_its_trial() -> None:
    configuration = Configuration(
        {"family": "resnet_v1", "depth": 20}, {"type": "none"}, {"optimizer": "sgd"}
    )
    plan = TrialSpec(
        trial_id="0012b-2",
        lineage="0012b",
        slot=12,
        candidate=Candidate(configuration, "ab12", "none"),
        iteration=1,
        bracket=3,
        rung=2,
        epochs=9,
        full_epochs=27,
        parent="0012b-1",
    )
    record = json.loads(json.dumps(to_record(TrialStarted.of(plan, 274_442, 41_000_000))))
    found = RunState.replay([run(), record]).trials["0012b-2"]
    # All but what its network is: that is worked out from the configuration again.
    assert found.spec == replace(plan, candidate=Candidate(configuration, "", "none"))
    assert (found.parameters, found.macs) == (274_442, 41_000_000)
    assert (found.status, found.score, found.seconds, found.deaths) == (RUNNING, None, 0.0, 0)


def test_a_journal_begins_with_its_run_record() -> None:
    for records in ([trial("0000")], [run(), run()], [{"type": "of a later version"}]):
        with pytest.raises(RunDirectoryError, match="begins with its one record of type run"):
            RunState.replay(records)


# ---- ranking ----------------------------------------------------------------------------


def test_longer_training_ranks_before_a_better_score() -> None:
    """KerasTuner ranks the scores of one epoch among those of the full budget."""
    records = [trial("0000"), trial("0001"), trial("0001-1", epochs=3, rung=1)]
    records += [ended("0000", 0.9), ended("0001", 0.5), ended("0001-1", 0.4)]
    for objective, expected in (
        ("val_accuracy", ["0001-1", "0000", "0001"]),
        ("val_loss", ["0001-1", "0001", "0000"]),
    ):
        ranked = RunState.replay([run(objective), *records]).best_first()
        assert [trial.trial_id for trial in ranked] == expected


@pytest.mark.parametrize("objective", ["val_accuracy", "val_loss"])
def test_of_equal_scores_the_earlier_trial_is_better(objective: str) -> None:
    for order in itertools.permutations(["0000", "0001", "0002"]):
        records = [run(objective), *map(trial, order), *(ended(name, 0.5) for name in order)]
        ranked = RunState.replay(records).best_first()
        assert [trial.trial_id for trial in ranked] == ["0000", "0001", "0002"]


def test_a_score_of_zero_is_a_score() -> None:
    records = [run(), trial("0000"), trial("0001"), ended("0000", 0.0), ended("0001", None)]
    ranked = RunState.replay(records).best_first()
    assert [trial.trial_id for trial in ranked] == ["0000"]


def test_what_failed_or_runs_is_not_ranked(state: RunState) -> None:
    ranked = list(state.best_first())
    assert [trial.trial_id for trial in ranked] == ["0001-1", "0001", "0000"]
