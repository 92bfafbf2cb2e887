"""The driver: a `kt.Tuner` that asks the oracle, hands trials out and records results."""

from __future__ import annotations

import contextlib
import io

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
from search.driver.trial_loop import Listener, TrialLoop, log_of
from search.errors import START_ANEW, RunDirectoryError, SearchFailedError
from search.executors.base import Executor
from search.runs.descriptions import Descriptions
from search.runs.run import Run
from search.space.image_spec import image_spec
from search.text import pluralize


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
        """Writes all of KerasTuner's views that do not match the journal."""
        self.oracle.write_views(self._run.path)

    def search(self, listener: Listener) -> None:
        """Runs the search to its end, from wherever it stands.

        Args:
            listener: Told what happens.

        Raises:
            Interrupted: If a signal asked for the end; everything is kept.
            SearchFailedError: If no trial finished, or the first ones have all failed.
            StorageError: If the machine refused a write.
        """
        self.save()
        self._discard_unneeded()
        loop = TrialLoop(self._run, self._executor, self._signals, self._costs, self)
        try:
            loop.run(listener)
        except Interrupted:
            self.save()
            raise
        self.save()
        if not any(trial.score is not None for trial in self._run.state.trials.values()):
            raise SearchFailedError(self._why_nothing_finished())

    # ---- Book -------------------------------------------------------------------------

    def hand_out(self, worker: str) -> TrialSpec | None:
        """The trial that an idle worker gets."""
        found: TrialSpec | None = self.oracle.hand_out(worker)
        return found

    def waiting(self) -> bool:
        """Whether a trial waits for a worker."""
        return bool(self.oracle.waiting())

    def release(self, worker: str) -> None:
        """Takes a trial back from a worker that died."""
        self.oracle.release(worker)

    def started(self, trial_id: str) -> None:
        """Writes KerasTuner's view of a trial."""
        self.oracle.write_view(self._run.path, trial_id)

    def ended(self, trial_id: str) -> None:
        """Books a trial's end, and drops the checkpoints that nobody needs any more."""
        self.oracle.end_trial(self.oracle.trials[trial_id])
        self.oracle.write_view(self._run.path, trial_id)
        self._discard_unneeded()

    def hopeless(self) -> bool:
        """Whether the first trials have all failed."""
        return bool(self.oracle.decisions.all_failed())

    def _discard_unneeded(self) -> None:
        discard_unneeded(self._run, self.oracle.decisions.resumable(), self._keep)

    def _why_nothing_finished(self) -> str:
        trials = self._run.state.trials
        stopped = len(self.oracle.decisions.all_failed())
        text = (
            f"the first {stopped} trials have all failed, so the search has stopped."
            if stopped
            else f"none of {pluralize(len(trials), 'trial')} finished."
        )
        failed = [trial for trial in trials.values() if trial.reason]
        if failed:
            first = failed[0]
            lines = " | ".join(line.strip() for line in first.output[-3:])
            text += f" The first, {first.trial_id}: {first.reason.rstrip('.')}."
            text += f" The last lines that it printed: {lines}." if lines else ""
            text += f" Its output is in {log_of(self._run, first.trial_id)}."
        return (
            f"{text} Fix the cause in the space, the data or the model, and start the search "
            "under another --name: in this run, these trials stay failed."
        )


def hypermodel_of(run: Run) -> AttentionHyperModel:
    """The search space of a run as a KerasTuner `HyperModel`."""
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
    return Hyperband(budgets, search.factor, candidates, run.space.maximize)
