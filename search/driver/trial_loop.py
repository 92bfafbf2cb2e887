"""The loop of a driver: hand trials out, record what workers say, until nothing is left.

A search and its confirmation both run in it; what they hand out, and what follows from a
trial's end, is their own: their `Book`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from hypermodels.networks.cost import CostModel
from search.algorithms.trials import TrialSpec
from search.driver.assigning import assignment_of
from search.driver.side_tasks import MAX_DEATHS
from search.driver.signals import Interrupted, Signals
from search.executors.base import Executor
from search.messages import (
    EpochDone,
    Event,
    MachineFault,
    Task,
    TrialDone,
    TrialFailed,
    WorkerDied,
    WorkerLost,
)
from search.runs.layout import trial_folder
from search.runs.records import EpochTrained, SessionEnded, TrialEnded, TrialStarted, WorkerDeath
from search.runs.run import Run
from search.runs.state import COMPLETED, FAILED, TrialState
from search.storage.files import last_lines

POLL_SECONDS = 0.5
"""Seconds the driver sleeps at most before it looks at signals and the clock."""


class Listener(Protocol):
    """Callbacks of a search; see `display/progress.py`."""

    def on_trial_start(self, trial_id: str) -> None: ...
    def on_epoch_end(self, trial_id: str, epoch: int) -> None: ...
    def on_trial_end(self, trial_id: str) -> None: ...
    def on_short_of_memory(self) -> None: ...
    def on_idle(self) -> None: ...


class Book(Protocol):
    """Which trials there are, and what follows from their ends."""

    def hand_out(self, worker: str) -> TrialSpec | None:
        """The trial that an idle worker gets, or `None` if there is none for now."""

    def waiting(self) -> bool:
        """Whether a trial waits for a worker."""

    def release(self, worker: str) -> None:
        """Takes a trial back from a worker that died; it will be handed out again."""

    def started(self, trial_id: str) -> None:
        """A trial is about to be handed out, and the journal says so."""

    def ended(self, trial_id: str) -> None:
        """A trial has ended, and the journal says how."""

    def hopeless(self) -> bool:
        """Whether to stop, since the first trials have all failed."""


class TrialLoop:
    """Runs the trials of a book to their end.

    Args:
        run: The open `Run`.
        executor: Where trials run.
        signals: Looked at between events; a signal ends the loop with all kept.
        costs: Counts the networks.
        book: The `Book`.
    """

    def __init__(
        self, run: Run, executor: Executor, signals: Signals, costs: CostModel, book: Book
    ) -> None:
        self._run, self._executor, self._signals = run, executor, signals
        self._costs, self._book = costs, book
        self.handed_out = 0

    def run(self, listener: Listener) -> None:
        """Runs the loop until no trial is left.

        Args:
            listener: Told what happens.

        Raises:
            Interrupted: If a signal asked for the end; everything is kept.
            StorageError: If the machine refused a write.
        """
        began, used = time.monotonic(), time.process_time()
        try:
            self._loop(listener)
        except Interrupted:
            self._end_session(began, used)
            raise
        self._end_session(began, used)

    def _loop(self, listener: Listener) -> None:
        while not self._book.hopeless():
            self._hand_out(listener)
            if not self._executor.running():
                break
            for worker, event in self._executor.events(POLL_SECONDS):
                # First, as a signal to the whole process group ends workers too, which is
                # not their trials' fault.
                self._signals.check()
                self._handle(worker, event, listener)
            self._signals.check()
            self._end_hung_workers()
            listener.on_idle()

    # ---- handing out ------------------------------------------------------------------

    def _hand_out(self, listener: Listener) -> None:
        for worker in self._executor.idle():
            if not self._executor.has_room():
                if self._book.waiting():
                    listener.on_short_of_memory()
                return
            plan = self._book.hand_out(worker)
            if plan is None:
                return
            if self._run.state.trial(plan.trial_id) is None:
                cost = self._costs.cost(plan.candidate.configuration)
                self._run.record(TrialStarted.of(plan, cost.parameters, cost.macs))
            self._book.started(plan.trial_id)
            self._executor.submit(worker, self._task(plan))
            self.handed_out += 1
            listener.on_trial_start(plan.trial_id)

    def _task(self, plan: TrialSpec) -> Task:
        assignment = assignment_of(self._run, plan)
        return Task(
            "search.worker.train:train",
            assignment,
            plan.trial_id,
            assignment.threads,
            log_of(self._run, plan.trial_id),
        )

    def _end_hung_workers(self) -> None:
        limit = self._run.space.search.epoch_time_limit
        if limit:
            for worker in self._executor.silent(limit):
                self._executor.kill_worker(worker, f"it finished no epoch within {limit:g} s")

    # ---- what workers say ---------------------------------------------------------------

    def _handle(self, worker: str, event: Event, listener: Listener) -> None:
        if isinstance(event, EpochDone):
            self._epoch_done(event)
            listener.on_epoch_end(event.trial_id, event.epoch)
        elif isinstance(event, TrialDone):
            state = self._trial(event.trial_id)
            metrics = self._run.state.curves[state.lineage][state.epochs - 1]
            score = metrics[self._run.state.objective]
            profile = event.result.get("profile")
            self._end(event.trial_id, COMPLETED, score, "", event.seconds, profile)
        elif isinstance(event, TrialFailed):
            self._end(event.trial_id, FAILED, None, event.reason, event.seconds)
        elif isinstance(event, WorkerDied):
            self._worker_died(worker, event)
        elif isinstance(event, WorkerLost):
            self._book.release(worker)  # handed out again; it is nothing that the trial did
        elif isinstance(event, MachineFault):
            reason = event.reason.rstrip(".")
            raise event.error(
                f"trial {event.trial_id} cannot go on: {reason}. Everything else is kept, and "
                "the same command goes on."
            )
        if event.final and self._trial(event.trial_id).ended:
            listener.on_trial_end(event.trial_id)

    def _epoch_done(self, event: EpochDone) -> None:
        lineage = self._trial(event.trial_id).lineage
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
        deaths = self._trial(event.trial_id).deaths
        if deaths < MAX_DEATHS:
            self._book.release(worker)  # handed out again, from its last epoch
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
                output=last_lines(log_of(self._run, trial_id)) if status == FAILED else [],
            )
        )
        self._book.ended(trial_id)

    def _trial(self, trial_id: str) -> TrialState:
        found = self._run.state.trial(trial_id)
        assert found is not None, "what was handed out is in the journal"
        return found

    def _end_session(self, began: float, used: float) -> None:
        if self.handed_out:
            self._run.record(
                SessionEnded(
                    workers=self._executor.workers,
                    seconds=round(time.monotonic() - began, 3),
                    driver_seconds=round(time.process_time() - used, 3),
                )
            )


def log_of(run: Run, trial_id: str) -> Path:
    """What the trial's workers printed."""
    return trial_folder(run.path, trial_id) / "output.log"
