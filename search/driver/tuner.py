"""The driver: a `kt.Tuner` that asks the oracle, hands trials out and records results."""

from __future__ import annotations

import contextlib
import io
import time
from pathlib import Path
from typing import Protocol

import keras_tuner as kt

from hypermodels.hypermodel import AttentionHyperModel
from hypermodels.networks.cost import CostModel
from hypermodels.settings.recipe import Budget
from hypermodels.training.batches import steps_per_epoch
from search.algorithms.base import Algorithm
from search.algorithms.brackets import MAX_TRIALS, first_rung_trials
from search.algorithms.hyperband import Hyperband
from search.algorithms.trials import TrialSpec
from search.candidates.sampling import SampledCandidates
from search.data import Progress, no_progress
from search.driver.oracle import SearchOracle
from search.driver.retention import discard_unneeded
from search.driver.signals import Interrupted, Signals
from search.driver.single_task import MAX_DEATHS
from search.errors import START_ANEW, RunDirectoryError, SearchFailedError
from search.executors.base import Executor
from search.messages import (
    Assignment,
    EpochDone,
    Event,
    MachineFault,
    Task,
    TrialDone,
    TrialFailed,
    WorkerDied,
    WorkerLost,
)
from search.runs.descriptions import Descriptions
from search.runs.layout import trial_folder
from search.runs.records import (
    EpochTrained,
    SessionEnded,
    TrialEnded,
    TrialStarted,
    WorkerDeath,
)
from search.runs.run import Run
from search.runs.state import COMPLETED, FAILED
from search.space.image_spec import image_spec
from search.storage.files import last_lines
from search.text import counted

SILENCE = 0.5
"""Seconds the driver sleeps at most before it looks at signals and the clock."""


class Watcher(Protocol):
    """Who is told what happens; see `display/progress.py`."""

    def started(self, trial_id: str) -> None: ...
    def epoch(self, trial_id: str, epoch: int) -> None: ...
    def ended(self, trial_id: str) -> None: ...
    def short_of_memory(self) -> None: ...
    def tick(self) -> None: ...


class SearchTuner(kt.Tuner):
    """Runs or resumes the search of a run directory, each trial in its own process.

    Args:
        run: The open `Run`.
        executor: Where trials run.
        keep: Integer, how many of the best lineages keep their checkpoint in any case.
        signals: Looked at between events; a signal ends the search with all kept.
        progress: Called while configurations are drawn.
    """

    def __init__(
        self,
        run: Run,
        executor: Executor,
        signals: Signals,
        keep: int = 1,
        progress: Progress = no_progress,
    ) -> None:
        hypermodel = hypermodel_of(run)
        self._costs = costs_of(run)
        self._run, self._executor, self._signals = run, executor, signals
        self._keep = keep
        self._handed_out = 0
        algorithm = algorithm_of(run, self._costs, progress)
        self.rungs = algorithm.rungs()
        oracle = SearchOracle(run.space, algorithm, run.state, hypermodel)
        with contextlib.redirect_stdout(io.StringIO()):  # it announces that it reloads
            super().__init__(
                oracle,
                hypermodel,
                directory=str(run.path.parent),
                project_name=run.path.name,
            )
        self.reload()

    # ---- kt.Tuner ---------------------------------------------------------------------

    def _populate_initial_space(self) -> None:
        """Nothing: the oracle declares the knobs, and building models is the workers' work."""

    def reload(self) -> None:
        """Rebuilds the oracle's trials from the journal, which is all that counts."""
        self.oracle.restore()

    def save(self) -> None:
        """Writes KerasTuner's views of all trials that are not as the journal says."""
        self.oracle.write_views(self._run.path)

    def search(self, watcher: Watcher) -> None:
        """Runs the search to its end, from wherever it stands.

        Args:
            watcher: Told what happens.

        Raises:
            Interrupted: If a signal asked for the end; everything is kept.
            SearchFailedError: If no trial finished, or the first ones have all failed.
            StorageError: If the machine refused a write.
        """
        began, used = time.monotonic(), time.process_time()
        try:
            self._search(watcher)
        except Interrupted:
            self._end_session(began, used)
            raise
        self._end_session(began, used)
        if not any(trial.score is not None for trial in self._run.state.trials.values()):
            raise SearchFailedError(self._why_nothing_finished())

    def _end_session(self, began: float, used: float) -> None:
        if self._handed_out:
            self.save()
            self._run.record(
                SessionEnded(
                    workers=self._executor.workers,
                    seconds=round(time.monotonic() - began, 3),
                    driver_seconds=round(time.process_time() - used, 3),
                )
            )

    def _search(self, watcher: Watcher) -> None:
        self.save()
        self._discard_unneeded()
        while not self.oracle.decisions.all_failed():
            self._hand_out(watcher)
            if not self._executor.running():
                break
            for worker, event in self._executor.events(SILENCE):
                # First, as a signal to the whole process group ends workers too, which is
                # not their trials' fault.
                self._signals.check()
                self._handle(worker, event, watcher)
            self._signals.check()
            self._end_hung_workers()
            watcher.tick()

    # ---- handing out ------------------------------------------------------------------

    def _hand_out(self, watcher: Watcher) -> None:
        for worker in self._executor.idle():
            if not self._executor.has_room():
                if self.oracle.waiting():
                    watcher.short_of_memory()
                return
            plan = self.oracle.hand_out(worker)
            if plan is None:
                return
            if plan.trial_id not in self._run.state.trials:
                cost = self._costs.cost(plan.candidate.configuration)
                self._run.record(TrialStarted.of(plan, cost.parameters, cost.macs))
            self.oracle.write_view(self._run.path, plan.trial_id)
            self._executor.submit(worker, self._task(plan))
            self._handed_out += 1
            watcher.started(plan.trial_id)

    def _task(self, plan: TrialSpec) -> Task:
        assignment = assignment_of(self._run, plan)
        return Task(
            "search.worker.train:train",
            assignment,
            plan.trial_id,
            assignment.threads,
            self._log(plan.trial_id),
        )

    def _log(self, trial_id: str) -> Path:
        """What the trial's workers printed."""
        return trial_folder(self._run.path, trial_id) / "output.log"

    def _end_hung_workers(self) -> None:
        limit = self._run.space.search.epoch_time_limit
        if limit:
            for worker in self._executor.silent(limit):
                self._executor.kill_worker(worker, f"it finished no epoch within {limit:g} s")

    # ---- what workers say ---------------------------------------------------------------

    def _handle(self, worker: str, event: Event, watcher: Watcher) -> None:
        if isinstance(event, EpochDone):
            self._epoch_done(event)
            watcher.epoch(event.trial_id, event.epoch)
        elif isinstance(event, TrialDone):
            state = self._run.state.trials[event.trial_id]
            metrics = self._run.state.curves[state.lineage][state.epochs - 1]
            score = metrics[self._run.state.objective]
            profile = event.result.get("profile")
            self._end(event.trial_id, COMPLETED, score, "", event.seconds, profile)
        elif isinstance(event, TrialFailed):
            self._end(event.trial_id, FAILED, None, event.reason, event.seconds)
        elif isinstance(event, WorkerDied):
            self._worker_died(worker, event)
        elif isinstance(event, WorkerLost):
            self.oracle.release(worker)  # handed out again; it is nothing that the trial did
        elif isinstance(event, MachineFault):
            reason = event.reason.rstrip(".")
            raise event.error(
                f"trial {event.trial_id} cannot go on: {reason}. Everything else is kept, and "
                "the same command goes on."
            )
        if event.final and self._run.state.trials[event.trial_id].ended:
            watcher.ended(event.trial_id)

    def _epoch_done(self, event: EpochDone) -> None:
        lineage = self._run.state.trials[event.trial_id].lineage
        known = len(self._run.state.curves.get(lineage, []))
        if event.epoch > known:
            self._run.record(
                EpochTrained(
                    trial=event.trial_id,
                    lineage=lineage,
                    epoch=event.epoch,
                    metrics=event.metrics,
                )
            )

    def _worker_died(self, worker: str, event: WorkerDied) -> None:
        self._run.record(
            WorkerDeath(trial=event.trial_id, reason=event.reason, seconds=round(event.seconds, 3))
        )
        deaths = self._run.state.trials[event.trial_id].deaths
        if deaths < MAX_DEATHS:
            self.oracle.release(worker)  # handed out again, from its last epoch
            return
        reason = f"{event.reason}, {deaths} times in a row without finishing an epoch"
        self._end(event.trial_id, FAILED, None, reason, 0.0)

    def _end(
        self,
        trial_id: str,
        status: str,
        score: float | None,
        reason: str,
        seconds: float,
        profile: dict[str, float] | None = None,
    ) -> None:
        self._run.record(
            TrialEnded(
                trial=trial_id,
                status=status,
                score=score,
                reason=reason,
                seconds=round(seconds, 3),
                profile={name: round(value, 3) for name, value in (profile or {}).items()},
                output=last_lines(self._log(trial_id)) if status == FAILED else [],
            )
        )
        self.oracle.end_trial(self.oracle.trials[trial_id])
        self.oracle.write_view(self._run.path, trial_id)
        self._discard_unneeded()

    def _discard_unneeded(self) -> None:
        discard_unneeded(self._run, self.oracle.decisions.resumable(), self._keep)

    def _why_nothing_finished(self) -> str:
        trials = self._run.state.trials
        stopped = len(self.oracle.decisions.all_failed())
        text = (
            f"the first {stopped} trials have all failed, so the search has stopped."
            if stopped
            else f"none of {counted(len(trials), 'trial')} finished."
        )
        failed = [trial for trial in trials.values() if trial.reason]
        if failed:
            first = failed[0]
            lines = " | ".join(line.strip() for line in first.output[-3:])
            text += f" The first, {first.trial_id}: {first.reason.rstrip('.')}."
            text += f" The last lines that it printed: {lines}." if lines else ""
            text += f" Its output is in {self._log(first.trial_id)}."
        return (
            f"{text} Mend the cause in the space, the data or the model, and start the search "
            "under another --name: in this run, these trials stay failed."
        )


def hypermodel_of(run: Run) -> AttentionHyperModel:
    """What a run searches over, as KerasTuner takes it."""
    space, batch_size = run.space, run.space.data.batch_size
    steps = steps_per_epoch(run.info.train_count, batch_size)
    return AttentionHyperModel(
        image_spec(run.info),
        Budget(space.search.max_epochs, steps),
        backbone=space.settings["backbone"],
        attention=space.settings["attention"],
        recipe=space.settings["recipe"],
        seed=space.search.seed,
        batch_size=batch_size,
    )


def costs_of(run: Run) -> CostModel:
    """Counts the networks of a run; what others built is described in its journal."""
    return run.costs or CostModel(image_spec(run.info), Descriptions(run.state.descriptions))


def algorithm_of(run: Run, costs: CostModel, progress: Progress = no_progress) -> Algorithm:
    """The decisions of a run's search.

    Args:
        run: The open `Run`.
        costs: The `CostModel` of its images.
        progress: Called while configurations are drawn.

    Raises:
        RunDirectoryError: If the journal tells of more trials than a search may have.
    """
    search = run.space.search
    budgets = run.state.budgets
    # A space is looked at before a run begins, but a journal may come from anywhere.
    count = sum(first_rung_trials(epochs, search.factor) for epochs in budgets)
    if count > MAX_TRIALS:
        raise RunDirectoryError(
            f"the journal of {run.path} tells of a search that begins with {count:,} trials; a "
            f"search has {MAX_TRIALS:,} at most. Restore the journal from a copy. {START_ANEW}"
        )
    candidates = SampledCandidates(run.space, costs, budgets, progress)
    return Hyperband(budgets, search.factor, candidates, run.space.maximise)


def assignment_of(run: Run, trial: TrialSpec) -> Assignment:
    """The training that makes up a trial of a run."""
    search = run.space.search
    return Assignment(
        trial.trial_id,
        trial.lineage,
        trial.candidate.configuration.to_dict(),
        trial.epochs,
        trial.full_epochs,
        search.seed,
        run.space.data.batch_size,
        search.threads,
        search.objective,
        Path(run.path).resolve(),
    )
