"""The second phase of a run: train the arms with fresh seeds, then look at the test images."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from hypermodels.networks.cost import CostModel
from search.algorithms.confirmation import (
    Arm,
    arm_of,
    confirmation_seeds,
    failed_arms,
    next_training,
)
from search.algorithms.trials import TrialSpec
from search.data import Progress
from search.driver.assigning import assignment_of, restore_checkpoint
from search.driver.retention import discard
from search.driver.side_tasks import run_all, run_to_end
from search.driver.signals import Signals
from search.driver.trial_loop import Listener, TrialLoop, log_of
from search.errors import SearchFailedError, UsageError
from search.executors.base import Executor
from search.messages import LatencyRequest, Task
from search.runs.confirmation import ConfirmationState
from search.runs.records import (
    ConfirmationPlanned,
    LatencyMeasured,
    LookBegun,
    TestRead,
    TestScored,
    now,
)
from search.runs.run import Run
from search.space.image_spec import image_spec


def plan_confirmation(
    run: Run,
    arms: Sequence[Arm],
    notices: Sequence[str],
    *,
    looks: Sequence[int],
    margin: float,
    epochs: int,
) -> None:
    """Writes down what will be compared, before anything of it is trained or read.

    Args:
        run: The open `Run`, without a confirmation.
        arms: The arms, the control first.
        notices: Sentences on what was added or left out.
        looks: Integers, rising: seeds in all at each look.
        margin: Float, the smallest difference that matters, as a share of accuracy.
        epochs: Integer, how long each arm is trained.

    Raises:
        SearchFailedError: If fewer than two arms are there.
    """
    if len(arms) < 2:
        why = " ".join(notices) or "The search has finished no network with attention."
        raise SearchFailedError(f"there is nothing to compare in {run.path}. {why}")
    run.record(
        ConfirmationPlanned(
            arms=[
                {
                    "name": arm.name,
                    "role": arm.role,
                    "configuration": arm.configuration.to_dict(),
                }
                for arm in arms
            ],
            looks=list(looks),
            seeds=confirmation_seeds(run.space.search.seed, looks[-1]),
            epochs=epochs,
            margin=margin,
            selected_from=sum(trial.epochs == epochs for trial in run.state.best_first()),
            notices=list(notices),
            time=now(),
        )
    )


class Confirmation:
    """Runs or resumes the confirmation that a run has planned, up to a look.

    Args:
        run: The open `Run`.
        executor: Where trainings run.
        signals: Looked at between events; a signal ends it with all kept.
        costs: The `CostModel` of its images.
    """

    def __init__(self, run: Run, executor: Executor, signals: Signals, costs: CostModel) -> None:
        assert run.state.confirmation is not None, "it is planned before it is run"
        self._run, self._executor = run, executor
        self._loop = TrialLoop(run, executor, signals, costs, self)
        self._state: ConfirmationState = run.state.confirmation
        self._running: dict[str, str] = {}

    def run(self, listener: Listener, progress: Progress) -> None:
        """Trains up to the current look, then reads the test images of all its trainings.

        Args:
            listener: Told of the trainings.
            progress: Called while test images are scored.

        Raises:
            Interrupted: If a signal asked for the end; everything is kept.
            StorageError: If the machine refused a write.
        """
        self._loop.run(listener)
        self._read_test_images(progress)
        if self._state.latency is None:
            self._measure_latency(progress)

    def begin_look(self, more: bool = False) -> None:
        """Begins the first look, or the next one.

        Args:
            more: Boolean, whether to go on to the next look where this one is answered.

        Raises:
            UsageError: If there is no further look.
        """
        state = self._state
        if not state.looks:
            self._run.record(LookBegun(look=1))
        elif more and state.complete_look() == state.looks:
            if state.looks == len(state.plan.looks):
                raise UsageError(
                    f"the confirmation of {self._run.path} has had its last planned look, with "
                    f"{state.plan.looks[-1]} seeds. Looking until something shows would claim "
                    "differences that are not there; its answer stands."
                )
            self._run.record(LookBegun(look=state.looks + 1))

    # ---- Book -------------------------------------------------------------------------

    def hand_out(self, worker: str) -> TrialSpec | None:
        """The training that an idle worker gets."""
        found = self._next()
        if found is not None:
            self._running[worker] = found.trial_id
        return found

    def waiting(self) -> bool:
        """Whether a training waits for a worker."""
        return self._next() is not None

    def _next(self) -> TrialSpec | None:
        running = set(self._running.values())
        return next_training(self._state.planned(), self._state.outcomes, running)

    def release(self, worker: str) -> None:
        """Takes a training back from a worker that died."""
        self._running.pop(worker, None)

    def started(self, trial_id: str) -> None:
        """Nothing: KerasTuner knows nothing of confirmations."""

    def ended(self, trial_id: str) -> None:
        """Frees the worker of a training that has ended."""
        for worker, name in list(self._running.items()):
            if name == trial_id:
                del self._running[worker]

    def hopeless(self) -> bool:
        """Never: an arm that fails is reported, and the others go on."""
        return False

    # ---- the test images --------------------------------------------------------------

    def _read_test_images(self, progress: Progress) -> None:
        """Scores every training of the look, all arms together, once all have ended."""
        look = self._state.looks
        if self._state.is_scored(look):
            return
        lost = failed_arms(self._state.outcomes)
        names = [
            name
            for name in self._state.planned()
            if name not in self._state.scores and arm_of(name) not in lost
        ]
        purpose = f"look {look} of the confirmation"
        if not any(read.purpose == purpose for read in self._run.state.test_reads):
            self._run.record(TestRead(purpose=purpose, time=now()))
        tasks = [self._scoring(name, progress) for name in names]

        def scored(task: Task, found: dict[str, Any]) -> None:
            self._run.record(TestScored(trial=task.trial_id, **found))
            discard(self._run, task.trial_id)

        def check() -> None:
            done = sum(name in self._state.scores for name in names)
            progress("Reading the test images", done, len(names))

        what = "scoring the test images failed"
        run_all(self._executor, tasks, scored, check, what, SearchFailedError)

    def _measure_latency(self, progress: Progress) -> None:
        """Times the arms; without that, the answer stands as well."""
        space = self._run.space
        request = LatencyRequest(
            tuple(arm.configuration.to_dict() for arm in self._state.arms()),
            image_spec(self._run.info),
            space.data.batch_size,
        )
        log = log_of(self._run, next(iter(self._state.planned())))
        threads = space.search.threads
        task = Task("search.worker.latency:measure", request, "latency", threads, log)
        check = partial(progress, "Timing the arms", 0, 1)
        with contextlib.suppress(SearchFailedError):
            found = run_to_end(self._executor, task, check, "timing failed", SearchFailedError)
            self._run.record(LatencyMeasured(batch=request.batch, **found))

    def _scoring(self, name: str, progress: Progress) -> Task:
        spec, log = self._state.trials[name].spec, log_of(self._run, name)
        restore_checkpoint(self._run, spec, self._executor, progress, log, SearchFailedError)
        assignment = assignment_of(self._run, spec)
        return Task("search.worker.score:score", assignment, name, assignment.threads, log)
