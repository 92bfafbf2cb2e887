"""What is known about a run: the journal, replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypermodels.configuration import Configuration, digest
from search.algorithms.trials import TrialSpec
from search.runs.journal import Record
from search.runs.records import check_record, malformed

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
"""A trial's status, in KerasTuner's words."""


@dataclass
class TrialState:
    """All that a run knows about one trial.

    Args:
        trial_id: String.
        lineage: String; trials of one lineage are one training, continued.
        configuration: Its `Configuration`.
        preset: Name of the preset it is, or `None`.
        iteration: Integer from 0.
        bracket: Integer, the bracket's `s`.
        rung: Integer from 0.
        epochs: Integer, epochs in all that it must have trained when it ends.
        full_epochs: Integer, the full budget of its iteration.
        parent: String, the trial it continues, or `None`.
        parameters: Integer, weights of its network.
        macs: Integer, multiply-adds of its network for one image.
        status: `"RUNNING"` until it ends, then `"COMPLETED"` or `"FAILED"`.
        score: Number, the objective at its last epoch, or `None`.
        reason: String, why it failed, or empty.
        output: Strings, the last lines that a failed trial's workers printed.
        seconds: Number, wall time its workers spent on it.
        deaths: Integer, how often its worker process died since it last made progress.
        profile: Mapping from what its last worker did to the seconds that took.
    """

    trial_id: str
    lineage: str
    configuration: Configuration
    preset: str | None
    iteration: int
    bracket: int
    rung: int
    epochs: int
    full_epochs: int
    parent: str | None
    parameters: int
    macs: int
    status: str = RUNNING
    score: float | None = None
    reason: str = ""
    output: tuple[str, ...] = ()
    seconds: float = 0.0
    deaths: int = 0
    profile: dict[str, float] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status != RUNNING


@dataclass
class RunState:
    """A run as its journal tells it.

    Args:
        header: The first record: space, data, versions; the space as last extended.
        budgets: The full budget of each Hyperband iteration.
        trials: Mapping from trial id to its state, in the order they were handed out.
        end_order: Ids of the trials that ended, in the order they did.
        curves: Mapping from lineage to the metrics of each epoch, from the first.
        test_reads: When and why the test images were read.
        exports: What was exported, in order.
        sessions: How long drivers drove the search, with how many workers.
        descriptions: The records of backbones that a person's own code builds, by the
            digest of their settings.
    """

    header: Record = field(default_factory=dict)
    budgets: tuple[int, ...] = ()
    trials: dict[str, TrialState] = field(default_factory=dict)
    end_order: list[str] = field(default_factory=list)
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    test_reads: list[Record] = field(default_factory=list)
    exports: list[Record] = field(default_factory=list)
    sessions: list[Record] = field(default_factory=list)
    descriptions: dict[str, Record] = field(default_factory=dict)

    @classmethod
    def replay(cls, records: Iterable[Record]) -> RunState:
        state = cls()
        for record in records:
            state.apply(record)
        return state

    def apply(self, record: Record) -> None:
        """Takes a record into account. Kinds it does not know are left for later versions.

        Raises:
            RunDirectoryError: If it is a record that this program does not write.
        """
        check_record(record, self.header)
        kind = record["type"]
        if kind in ("epoch", "death", "ended", "export") and record["trial"] not in self.trials:
            raise malformed(record, "there is no such trial")
        if kind == "run":
            self.header = record
            search = record["space"]["search"]
            self.budgets = (search["max_epochs"],) * search["hyperband_iterations"]
        elif kind == "extended":
            space = self.header["space"]
            self.header = {**self.header, "space": {**space, "search": record["search"]}}
            self.budgets = tuple(record["budgets"])
        elif kind == "trial":
            state = _trial_state(record)
            if state.trial_id in self.trials:
                raise malformed(record, "there is another trial of this name")
            self.trials[state.trial_id] = state
        elif kind == "epoch":
            if record["lineage"] != self.trials[record["trial"]].lineage:
                raise malformed(record, "it is of another training than its trial")
            curve = self.curves.setdefault(record["lineage"], [])
            if record["epoch"] == len(curve) + 1:
                curve.append(record["metrics"])
            self.trials[record["trial"]].deaths = 0  # it makes progress
        elif kind == "death":
            trial = self.trials[record["trial"]]
            trial.deaths += 1
            trial.seconds += record["seconds"]
        elif kind == "ended":
            trial = self.trials[record["trial"]]
            trial.status = record["status"]
            trial.score = record["score"]
            trial.reason = record["reason"]
            trial.output = tuple(record.get("output", ()))
            trial.seconds += record["seconds"]
            trial.profile = record.get("profile", {})
            self.end_order.append(trial.trial_id)
        elif kind == "test_read":
            self.test_reads.append(record)
        elif kind == "export":
            self.exports.append(record)
        elif kind == "session":
            self.sessions.append(record)
        elif kind == "backbone":
            self.descriptions[digest(record["settings"])] = record

    def outcomes(self) -> dict[str, float | None]:
        """The trials that have ended, as Hyperband takes them."""
        return {name: trial.score for name, trial in self.trials.items() if trial.ended}

    def best_first(self, *, maximise: bool) -> list[TrialState]:
        """The finished trials: most epochs first, then best score, then earliest.

        A score after one epoch says nothing against a score after the full budget, so
        trials are never ranked across epochs.
        """
        sign = -1.0 if maximise else 1.0
        finished = [trial for trial in self.trials.values() if trial.score is not None]
        return sorted(
            finished, key=lambda trial: (-trial.epochs, sign * _score(trial), trial.trial_id)
        )


def _score(trial: TrialState) -> float:
    return 0.0 if trial.score is None else trial.score


def trial_record(plan: TrialSpec, parameters: int, macs: int) -> Record:
    """The journal's record of a trial that is handed out for the first time."""
    return {
        "type": "trial",
        "trial": plan.trial_id,
        "lineage": plan.lineage,
        "configuration": plan.candidate.configuration.to_dict(),
        "preset": plan.candidate.preset,
        "iteration": plan.iteration,
        "bracket": plan.bracket,
        "rung": plan.rung,
        "epochs": plan.epochs,
        "full_epochs": plan.full_epochs,
        "parent": plan.parent,
        "parameters": parameters,
        "macs": macs,
    }


def planned(plan: TrialSpec) -> TrialState:
    """A trial that is decided on and not handed out."""
    return _trial_state(trial_record(plan, 0, 0))


def _trial_state(record: Mapping[str, Any]) -> TrialState:
    return TrialState(
        record["trial"],
        record["lineage"],
        Configuration.from_dict(record["configuration"]),
        record["preset"],
        record["iteration"],
        record["bracket"],
        record["rung"],
        record["epochs"],
        record["full_epochs"],
        record["parent"],
        record["parameters"],
        record["macs"],
    )
