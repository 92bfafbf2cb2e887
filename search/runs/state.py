"""The state of a run: its journal, replayed."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from hypermodels.settings.configuration import Configuration, digest
from search.algorithms.trials import TrialSpec
from search.runs.confirmation import ConfirmationState
from search.runs.encoding import from_record, malformed
from search.runs.journal import Record
from search.runs.records import (
    BackboneDescribed,
    ConfirmationPlanned,
    Entry,
    EpochTrained,
    LatencyMeasured,
    LookBegun,
    ModelExported,
    RunBegan,
    SearchExtended,
    SessionEnded,
    TestRead,
    TestScored,
    TrialEnded,
    TrialStarted,
    WorkerDeath,
)
from search.space.settings import direction_of

RUNNING, COMPLETED, FAILED = "RUNNING", "COMPLETED", "FAILED"
"""A trial's status, in KerasTuner's words."""


@dataclass
class TrialState:
    """The state of one trial.

    Args:
        spec: The `TrialSpec`, as it was decided on.
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

    spec: TrialSpec
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
    def trial_id(self) -> str:
        return self.spec.trial_id

    @property
    def lineage(self) -> str:
        return self.spec.lineage

    @property
    def epochs(self) -> int:
        """Epochs in all that it must have trained when it ends."""
        return self.spec.epochs

    @property
    def configuration(self) -> Configuration:
        return self.spec.candidate.configuration

    @property
    def ended(self) -> bool:
        return self.status != RUNNING


@dataclass
class RunState:
    """A run as its journal tells it.

    Args:
        began: The first entry: space, data, versions; the space as last extended. `None` of
            a journal that is empty.
        budgets: The full budget of each Hyperband iteration.
        trials: Mapping from trial id to its state, in the order they were handed out.
        end_order: Ids of the trials that ended, in the order they did.
        curves: Mapping from lineage to the metrics of each epoch, from the first.
        test_reads: When and why the test images were read.
        exports: What was exported, in order.
        sessions: How long drivers drove the search, with how many workers.
        descriptions: What is known of backbones that a person's own code builds, by the
            digest of their settings.
        epochs_trained: Epochs of all trainings together.
        confirmation: What is known of its confirmation, or `None` before one is planned.
    """

    began: RunBegan | None = None
    budgets: tuple[int, ...] = ()
    trials: dict[str, TrialState] = field(default_factory=dict)
    end_order: list[str] = field(default_factory=list)
    curves: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    test_reads: list[TestRead] = field(default_factory=list)
    exports: list[ModelExported] = field(default_factory=list)
    sessions: list[SessionEnded] = field(default_factory=list)
    descriptions: dict[str, BackboneDescribed] = field(default_factory=dict)
    epochs_trained: int = 0
    confirmation: ConfirmationState | None = None
    _outcomes: dict[str, float | None] = field(default_factory=dict)
    _ranked: list[tuple[int, float, str]] = field(default_factory=list)

    @classmethod
    def replay(cls, records: Iterable[Record]) -> RunState:
        state = cls()
        for record in records:
            state.apply(record)
        return state

    @property
    def header(self) -> RunBegan:
        """The first entry of a journal that has one."""
        assert self.began is not None, "the journal is empty"
        return self.began

    @property
    def objective(self) -> str:
        return str(self.header.space["search"]["objective"])

    @property
    def maximize(self) -> bool:
        """Whether a greater score is better."""
        return direction_of(self.objective) == "max"

    def apply(self, record: Record) -> None:
        """Applies a record. Unknown types, of later versions, are ignored.

        Raises:
            RunDirectoryError: If it is a record that this program does not write.
        """
        entry = from_record(record, first=self.began is None)
        match entry:
            case RunBegan():
                self.began = entry
                search = entry.space["search"]
                self.budgets = (search["max_epochs"],) * search["hyperband_iterations"]
            case SearchExtended():
                space = {**self.header.space, "search": entry.search}
                self.began = replace(self.header, space=space)
                self.budgets = tuple(entry.budgets)
            case TrialStarted():
                trials = self._trials_of(entry, record)
                if entry.trial in trials:
                    raise malformed(record, "there is another trial of this name")
                trials[entry.trial] = TrialState(entry.spec(), entry.parameters, entry.macs)
            case EpochTrained():
                trial = self._trial(entry.trial, record)
                if entry.lineage != trial.lineage:
                    raise malformed(record, "it is of another training than its trial")
                curve = self.curves.setdefault(entry.lineage, [])
                if entry.epoch == len(curve) + 1:
                    curve.append(entry.metrics)
                    self.epochs_trained += 1
                trial.deaths = 0  # it makes progress
            case WorkerDeath():
                trial = self._trial(entry.trial, record)
                trial.deaths += 1
                trial.seconds += entry.seconds
            case TrialEnded():
                trial = self._trial(entry.trial, record)
                trial.status, trial.score, trial.reason = entry.status, entry.score, entry.reason
                trial.output, trial.profile = tuple(entry.output), entry.profile
                trial.seconds += entry.seconds
                if self.confirmation and entry.trial in self.confirmation.trials:
                    self.confirmation.outcomes[entry.trial] = trial.score
                    return
                self.end_order.append(entry.trial)
                self._end(trial)
            case TestRead():
                self.test_reads.append(entry)
            case ModelExported():
                self._trial(entry.trial, record)
                self.exports.append(entry)
            case ConfirmationPlanned():
                if self.confirmation is not None:
                    raise malformed(record, "the run has a confirmation already")
                self.confirmation = ConfirmationState(entry)
                self._confirmation(entry, record)
            case LookBegun():
                self._confirmation(entry, record).looks = entry.look
            case TestScored():
                self._confirmation(entry, record).scores[entry.trial] = entry
            case LatencyMeasured():
                self._confirmation(entry, record).latency = entry
            case SessionEnded():
                self.sessions.append(entry)
            case BackboneDescribed():
                self.descriptions[digest(entry.settings)] = entry

    def every_trial(self) -> dict[str, TrialState]:
        """The trials of the search and of its confirmation, by name."""
        return {**self.trials, **(self.confirmation.trials if self.confirmation else {})}

    def trial(self, trial_id: str) -> TrialState | None:
        """The trial of that name, of the search or of its confirmation."""
        confirmed = self.confirmation.trials if self.confirmation else {}
        return self.trials.get(trial_id) or confirmed.get(trial_id)

    def _trial(self, name: str, record: Record) -> TrialState:
        found = self.trial(name)
        if found is None:
            raise malformed(record, "there is no such trial")
        return found

    def _trials_of(self, entry: TrialStarted, record: Record) -> dict[str, TrialState]:
        """Where a trial belongs that is handed out: to the search, or to its confirmation."""
        return self.trials if entry.seed is None else self._confirmation(entry, record).trials

    def _confirmation(self, entry: Entry, record: Record) -> ConfirmationState:
        if self.confirmation is None:
            raise malformed(record, "no confirmation was planned")
        wrong = self.confirmation.contradiction(entry)
        if wrong is not None:
            raise malformed(record, wrong)
        return self.confirmation

    def _end(self, trial: TrialState) -> None:
        if self._outcomes.get(trial.trial_id) is not None:  # told twice, which `verify` names
            self._ranked = [each for each in self._ranked if each[-1] != trial.trial_id]
        self._outcomes[trial.trial_id] = trial.score
        if trial.score is not None:
            signed = -trial.score if self.maximize else trial.score
            insort(self._ranked, (-trial.epochs, signed, trial.trial_id))

    def outcomes(self) -> Mapping[str, float | None]:
        """The outcomes of all ended trials, in the form that an algorithm takes."""
        return self._outcomes

    def best_first(self) -> Iterator[TrialState]:
        """Yields the finished trials: most epochs first, then best score, then earliest.

        A score after one epoch says nothing against a score after the full budget, so
        trials are never ranked across epochs.
        """
        return (self.trials[trial_id] for _, _, trial_id in self._ranked)
