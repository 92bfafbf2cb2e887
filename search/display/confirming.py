"""What a person sees while a confirmation trains: a line a training."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from search.algorithms.confirmation import arm_of
from search.analysis.summary import format_value
from search.runs.run import Run
from search.text import pluralize, printable


class ConfirmationProgress:
    """Prints a line for every training that ends.

    Args:
        run: The open `Run`, with a confirmation.
        total: Integer, trainings of the looks so far.
        console: Where to print.
    """

    def __init__(self, run: Run, total: int, console: Console) -> None:
        assert run.state.confirmation is not None
        self._run, self._state, self._total = run, run.state.confirmation, total
        self._console = console
        self._before = len(self._state.outcomes)
        self._started = time.monotonic()

    def on_trial_start(self, trial_id: str) -> None: ...

    def on_epoch_end(self, trial_id: str, epoch: int) -> None: ...

    def on_idle(self) -> None: ...

    def on_short_of_memory(self) -> None: ...

    def on_trial_end(self, trial_id: str) -> None:
        """Prints how a training ended."""
        trial = self._state.trials[trial_id]
        done = len(self._state.outcomes)
        arm = self._state.plan.arms[arm_of(trial_id)]["name"]
        how = (
            f"failed: {trial.reason}"
            if trial.score is None
            else f"{self._run.state.objective} {format_value(trial.score)}"
        )
        done_of = f"{done} of {pluralize(self._total, 'training')} done"
        line = f"[{done_of}, about {self._left(done)} left] {trial_id} {arm}: {how}"
        self._console.print(Text(printable(line)), soft_wrap=True)

    def _left(self, done: int) -> str:
        pace = (time.monotonic() - self._started) / max(1, done - self._before)
        seconds = int(pace * (self._total - done))
        return f"{seconds // 60}:{seconds % 60:02d}"
