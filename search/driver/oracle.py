"""A `kt.Oracle`: KerasTuner's face on the pure decisions of an algorithm.

The journal is the truth. `oracle.json` and `trial_*/trial.json` are views of it in the
form that stock `kt.Hyperband` reads, so that its `results_summary` works on a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras_tuner as kt
from keras_tuner.engine.trial import Trial

from hypermodels.hypermodel import AttentionHyperModel
from search.algorithms.base import Algorithm
from search.algorithms.first_trials import all_failed, first_trials
from search.algorithms.handing_out import waiting_trials
from search.algorithms.trials import TrialSpec
from search.errors import START_ANEW, RunDirectoryError
from search.runs.layout import trial_folder
from search.runs.state import COMPLETED, FAILED, RUNNING, RunState, TrialState
from search.space.definition import OBJECTIVES
from search.space.space import Space, tuned_values
from search.storage.entries import ensure_folder, read_bytes
from search.storage.files import storage_errors, write_text

IDLE, STOPPED = "IDLE", "STOPPED"


class SearchOracle(kt.Oracle):
    """Hands out the trials of a search, whatever order they finish in.

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
        name = str(space.search["objective"])
        seed = int(space.search["seed"])
        super().__init__(objective=kt.Objective(name, OBJECTIVES[name]), seed=seed)
        self.seed = self._seed_state = seed  # KerasTuner draws another one where it is 0
        self.verbose = 0
        self._space = space
        self._algorithm = algorithm
        self._state = state
        hypermodel.declare_hyperparameters(self.hyperparameters)

    # ---- decisions --------------------------------------------------------------------

    def plans(self) -> Sequence[TrialSpec]:
        """Every trial that exists so far."""
        return self._algorithm.trials(self._state.outcomes())

    def next_plan(self, running: Mapping[str, TrialSpec]) -> TrialSpec | None:
        """The next trial to run, or `None` if all that exist run, wait or have ended.

        Args:
            running: The trials being trained, by worker. A trial whose lineage is being
                trained by another waits for it.
        """
        ended = self._state.outcomes()
        plans = self._algorithm.trials(ended)
        allowed = first_trials(plans, ended) or plans
        return next(waiting_trials(allowed, ended, running.values()), None)

    def all_failed(self) -> list[TrialSpec]:
        """The first trials, if every one of them has failed; else an empty list."""
        ended = self._state.outcomes()
        if any(outcome is not None for outcome in ended.values()):
            return []  # at once: this is asked all the time
        return all_failed(self._algorithm.trials(ended), ended)

    def waiting(self) -> bool:
        """Whether a trial waits for a worker."""
        return self.next_plan(self._running_plans()) is not None

    # ---- kt.Oracle --------------------------------------------------------------------

    def create_trial(self, tuner_id: str) -> Trial:
        """The next `Trial` for a worker, or one with status `IDLE` or `STOPPED`."""
        running = {worker: plan for worker, plan in self._running_plans().items()}
        plan = self.next_plan(running)
        if plan is None:
            return Trial(self.get_space(), status=IDLE if running else STOPPED)
        trial = Trial(self._values(plan), trial_id=plan.trial_id, status=RUNNING)
        self.trials[plan.trial_id] = trial
        self.ongoing_trials[tuner_id] = trial
        if plan.trial_id not in self.start_order:
            self.start_order.append(plan.trial_id)
        return trial

    def end_trial(self, trial: Trial) -> None:
        """Books a trial whose result is in the journal, and writes its view."""
        state = self._state.trials[trial.trial_id]
        self._refresh(trial, state)
        for worker, other in list(self.ongoing_trials.items()):
            if other.trial_id == trial.trial_id:
                self.release(worker)
        self.end_order.append(trial.trial_id)

    def release(self, tuner_id: str) -> None:
        """Takes a trial back from a worker that died; it will be handed out again."""
        self.ongoing_trials.pop(tuner_id, None)

    def get_best_trials(self, num_trials: int = 1) -> list[Trial]:
        """The best trials: those trained longest first, and of these the best scores."""
        best = self._state.best_first()
        return [self.trials[state.trial_id] for state in best[:num_trials]]

    def get_state(self) -> dict[str, Any]:
        """The state as stock `kt.oracles.HyperbandOracle` saves it."""
        state: dict[str, Any] = super().get_state()
        search = self._space.search
        return {
            **state,
            "ongoing_trials": {},  # a run that is not driven has none, however it was left
            "hyperband_iterations": search["hyperband_iterations"],
            "max_epochs": search["max_epochs"],
            "min_epochs": 1,
            "factor": search["factor"],
            "brackets": self._bracket_views(),
            "current_bracket": 0,
            "current_iteration": 0,
        }

    # ---- views ------------------------------------------------------------------------

    def restore(self) -> None:
        """Rebuilds KerasTuner's trials from the run's state."""
        self.trials, self.start_order = {}, []
        plans = {plan.trial_id: plan for plan in self.plans()}
        for trial_id, state in self._state.trials.items():
            if trial_id not in plans:
                raise RunDirectoryError(
                    f"trial {trial_id} of the journal is none that this search would have "
                    f"tried. Restore the journal from a copy. {START_ANEW}"
                )
            trial = Trial(self._values(plans[trial_id]), trial_id=trial_id, status=RUNNING)
            self._refresh(trial, state)
            self.trials[trial_id] = trial
            self.start_order.append(trial_id)
        self.end_order = list(self._state.end_order)

    def write_views(self, run: Path, *trials: Trial) -> None:
        """Writes the views of some trials and of the oracle, each only if it changed."""
        with storage_errors("a view for KerasTuner", run):
            for trial in trials:
                folder = trial_folder(run, trial.trial_id)
                ensure_folder(folder)
                _write_if_changed(folder / "trial.json", json.dumps(trial.get_state()))
            _write_if_changed(run / "oracle.json", json.dumps(self.get_state()))
            _write_if_changed(run / "tuner0.json", "{}")

    def _running_plans(self) -> dict[str, TrialSpec]:
        if not self.ongoing_trials:
            return {}
        plans = {plan.trial_id: plan for plan in self.plans()}
        return {worker: plans[trial.trial_id] for worker, trial in self.ongoing_trials.items()}

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
                    trial.metrics.register(name, _direction(name))
                trial.metrics.update(name, value, step=epoch)

    def _bracket_views(self) -> list[dict[str, Any]]:
        """The brackets in the form of `kt.oracles.HyperbandOracle._brackets`."""
        views: dict[tuple[int, int], dict[str, Any]] = {}
        for plan in self.plans():
            view = views.setdefault(
                (plan.iteration, plan.bracket),
                {"bracket_num": plan.bracket, "rounds": [[] for _ in range(plan.bracket + 1)]},
            )
            view["rounds"][plan.rung].append({"past_id": plan.parent, "id": plan.trial_id})
        return list(views.values())


def _direction(metric: str) -> str:
    """Whether a metric of training or of validation is the better the `"max"` or the `"min"`."""
    return OBJECTIVES["val_" + metric.removeprefix("val_")]


def _write_if_changed(path: Path, text: str) -> None:
    content = text.encode("utf-8")
    try:
        same = read_bytes(path, len(content)) == content
    except (OSError, ValueError):
        same = False
    if not same:
        write_text(path, text)
