"""A `kt.Oracle`: KerasTuner's face on the pure decisions of an algorithm.

The journal is the truth. `oracle.json` and `trial_*/trial.json` are views of it in the
form that stock `kt.Hyperband` reads, so that its `results_summary` works on a run.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import keras_tuner as kt
from keras_tuner.engine.trial import Trial

from hypermodels.hypermodel import AttentionHyperModel
from hypermodels.knobs.renamed import OLD_NAMES
from search.algorithms.base import Algorithm, Decisions
from search.algorithms.trials import TrialSpec
from search.errors import START_ANEW, RunDirectoryError
from search.runs.layout import trial_folder
from search.runs.state import COMPLETED, FAILED, RUNNING, RunState, TrialState
from search.space.settings import direction_of
from search.space.space import Space, tuned_values
from search.storage.entries import ensure_folder, read_bytes
from search.storage.files import storage_errors, write_text

IDLE, STOPPED = "IDLE", "STOPPED"


def view_text(state: dict[str, Any]) -> str:
    """A view as its file has it: views from before a knob was renamed have its old name."""
    text = json.dumps(state)
    for new, old in OLD_NAMES.items():
        text = text.replace(f'.{new}"', f'.{old}"')
    return text


class SearchOracle(kt.Oracle):
    """Hands out the trials of a search. Their order of finishing does not matter.

    Args:
        space: The `Space`.
        algorithm: The decisions.
        state: The `RunState`, kept up to date by whoever records what happens.
        hypermodel: Declares the tuned knobs.
    """

    def __init__(
        self,
        space: Space,
        algorithm: Algorithm,
        state: RunState,
        hypermodel: AttentionHyperModel,
    ) -> None:
        name, seed = space.search.objective, space.search.seed
        super().__init__(objective=kt.Objective(name, direction_of(name)), seed=seed)
        self.seed = self._seed_state = seed  # KerasTuner draws another one where it is 0
        self.verbose = 0
        self._space = space
        self._unwritten = 0
        self._running: dict[str, TrialSpec] = {}
        self._decisions = algorithm.decisions(state.outcomes())
        self._state = state
        hypermodel.declare_hyperparameters(self.hyperparameters)

    # ---- decisions --------------------------------------------------------------------

    @property
    def decisions(self) -> Decisions:
        """What the algorithm says, for all that has ended so far."""
        return self._decisions

    def waiting(self) -> bool:
        """Whether a trial waits for a worker."""
        return self._decisions.next_trial(self._running.values()) is not None

    def hand_out(self, worker: str) -> TrialSpec | None:
        """Gives a worker the next trial; `None` if there is none now."""
        plan = self._decisions.next_trial(self._running.values())
        if plan is not None:
            trial = Trial(self._values(plan), trial_id=plan.trial_id, status=RUNNING)
            self._running[worker] = plan
            self.trials[plan.trial_id] = self.ongoing_trials[worker] = trial
            if plan.trial_id not in self.start_order:
                self.start_order.append(plan.trial_id)
        return plan

    # ---- kt.Oracle --------------------------------------------------------------------

    def create_trial(self, tuner_id: str) -> Trial:
        """The next `Trial` for a worker, or one with status `IDLE` or `STOPPED`."""
        plan = self.hand_out(tuner_id)
        if plan is None:
            return Trial(self.get_space(), status=IDLE if self._running else STOPPED)
        return self.trials[plan.trial_id]

    def end_trial(self, trial: Trial) -> None:
        """Books a trial whose result is in the journal."""
        state = self._state.trials[trial.trial_id]
        self._decisions.end(trial.trial_id, state.score)
        self._refresh(trial, state)
        for worker, other in list(self._running.items()):
            if other.trial_id == trial.trial_id:
                self.release(worker)
        self.end_order.append(trial.trial_id)

    def release(self, tuner_id: str) -> None:
        """Takes a trial back from a worker that died; it will be handed out again."""
        self._running.pop(tuner_id, None)
        self.ongoing_trials.pop(tuner_id, None)

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials: those trained longest first, and of these the best scores."""
        best = islice(self._state.best_first(), num_trials)
        return [self.trials[state.trial_id] for state in best]

    def get_state(self) -> dict[str, Any]:
        """The state as stock `kt.oracles.HyperbandOracle` saves it."""
        state: dict[str, Any] = super().get_state()
        search = self._space.search
        return {
            **state,
            "ongoing_trials": {},  # a run that is not driven has none, however it was left
            "hyperband_iterations": search.hyperband_iterations,
            "max_epochs": search.max_epochs,
            "min_epochs": 1,
            "factor": search.factor,
            "brackets": self._bracket_views(),
            "current_bracket": 0,
            "current_iteration": 0,
        }

    # ---- views ------------------------------------------------------------------------

    def restore(self) -> None:
        """Rebuilds KerasTuner's trials from the run's state."""
        self.trials, self.start_order = {}, []
        for trial_id, state in self._state.trials.items():
            plan = self._decisions.spec(trial_id)
            if plan is None:
                raise RunDirectoryError(
                    f"trial {trial_id} of the journal is none that this search would have "
                    f"tried. Restore the journal from a copy. {START_ANEW}"
                )
            trial = Trial(self._values(plan), trial_id=trial_id, status=RUNNING)
            self._refresh(trial, state)
            self.trials[trial_id] = trial
            self.start_order.append(trial_id)
        self.end_order = list(self._state.end_order)

    def write_views(self, run: Path) -> None:
        """Writes every view that does not match the journal."""
        for trial in self.trials.values():
            self._write_trial(run, trial)
        self._write_oracle(run)

    def write_view(self, run: Path, trial_id: str) -> None:
        """Writes the view of a trial, and the oracle's where enough has happened.

        The oracle's grows with the search. It is written again when a fiftieth of the trials
        have changed, so that it does not cost more than they do; `write_views` brings it up
        to date when the search ends, or goes on.
        """
        self._write_trial(run, self.trials[trial_id])
        self._unwritten += 1
        if self._unwritten > len(self.trials) // 50:
            self._write_oracle(run)

    def _write_trial(self, run: Path, trial: Trial) -> None:
        with storage_errors("a view for KerasTuner", run):
            folder = trial_folder(run, trial.trial_id)
            ensure_folder(folder)
            _write_if_changed(folder / "trial.json", view_text(trial.get_state()))

    def _write_oracle(self, run: Path) -> None:
        with storage_errors("a view for KerasTuner", run):
            _write_if_changed(run / "oracle.json", view_text(self.get_state()))
            _write_if_changed(run / "tuner0.json", "{}")
        self._unwritten = 0

    def _values(self, plan: TrialSpec) -> kt.HyperParameters:
        values = self.get_space()
        values.values = {
            **tuned_values(self._space, plan.candidate.configuration),
            "tuner/epochs": plan.epochs,
            "tuner/initial_epoch": self._initial_epoch(plan),
            "tuner/bracket": plan.bracket,
            "tuner/round": plan.rung,
        }
        if plan.parent:
            values.values["tuner/trial_id"] = plan.parent
        return values

    def _initial_epoch(self, plan: TrialSpec) -> int:
        parent = self._state.trials.get(plan.parent or "")
        return parent.epochs if parent else 0

    def _refresh(self, trial: Trial, state: TrialState) -> None:
        if not state.ended:
            return
        trial.status = COMPLETED if state.status == COMPLETED else FAILED
        trial.score = state.score
        trial.best_step = state.epochs
        trial.message = state.reason or None
        parent = self._state.trials.get(state.spec.parent or "")
        first = parent.epochs if parent else 0
        curve = self._state.curves.get(state.lineage, [])
        for epoch, metrics in enumerate(curve[first : state.epochs], first + 1):
            for name, value in metrics.items():
                if not trial.metrics.exists(name):
                    trial.metrics.register(name, direction_of(name))
                trial.metrics.update(name, value, step=epoch)

    def _bracket_views(self) -> list[dict[str, Any]]:
        """The brackets in the form of `kt.oracles.HyperbandOracle._brackets`."""
        views: dict[tuple[int, int], dict[str, Any]] = {}
        for plan in self._decisions.trials():
            view = views.setdefault(
                (plan.iteration, plan.bracket),
                {"bracket_num": plan.bracket, "rounds": [[] for _ in range(plan.bracket + 1)]},
            )
            view["rounds"][plan.rung].append({"past_id": plan.parent, "id": plan.trial_id})
        return list(views.values())


def _write_if_changed(path: Path, text: str) -> None:
    content = text.encode("utf-8")
    try:
        same = read_bytes(path, len(content)) == content
    except (OSError, ValueError):
        same = False
    if not same:
        write_text(path, text)
