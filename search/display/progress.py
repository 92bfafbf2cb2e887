"""What a person sees while a search runs: a live panel, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, islice

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.algorithms.base import Decisions
from search.algorithms.trials import RungSize
from search.analysis.summary import describe_trial, format_value
from search.display.console import print_prose
from search.driver.retention import bytes_kept
from search.runs.run import Run
from search.runs.state import FAILED, TrialState
from search.text import pluralize, printable

REDRAW_SECONDS = 0.9
"""The clock shows seconds; each drawing takes some milliseconds of the driver's time."""


class Progress:
    """Shows a run; told of every event by the tuner.

    Args:
        run: The open `Run`.
        rungs: How many trials each rung is there for.
        decisions: What the algorithm says so far, for how much is left.
        workers: Integer, how many run at once.
        console: Where to print.
    """

    def __init__(
        self,
        run: Run,
        rungs: Sequence[RungSize],
        decisions: Decisions,
        workers: int,
        console: Console,
    ) -> None:
        self._run, self._workers, self._console = run, workers, console
        self._rungs, self._decisions = rungs, decisions
        self._started = time.monotonic()
        self._epochs_before = self._epochs_done()
        self._running: dict[str, int] = {}
        self._live: Live | None = None
        self._drawn = 0.0
        self._told_of_memory = False

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live = Live(
                self._panel(), console=self._console, auto_refresh=False, transient=True
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    # ---- events -----------------------------------------------------------------------

    def on_trial_start(self, trial_id: str) -> None:
        self._running[trial_id] = 0
        self.on_idle(force=True)

    def on_epoch_end(self, trial_id: str, epoch: int) -> None:
        self._running[trial_id] = epoch
        self.on_idle()

    def on_trial_end(self, trial_id: str) -> None:
        self._running.pop(trial_id, None)
        if self._live is None:
            line = self._line(self._run.state.trials[trial_id])
            self._console.print(Text(printable(line)), soft_wrap=True)
        self.on_idle(force=True)

    def on_short_of_memory(self) -> None:
        """Says, once, that fewer trials run than could for lack of memory."""
        if not self._told_of_memory:
            self._told_of_memory = True
            print_prose(
                self._console,
                f"Too little memory for {pluralize(self._workers, 'trial')} at once: the next one "
                "starts when one of those that run is done, or memory is free.",
            )

    def on_idle(self, *, force: bool = False) -> None:
        """Redraws the panel when it is due, or when trials begin and end."""
        now = time.monotonic()
        if self._live is not None and (force or now - self._drawn > REDRAW_SECONDS):
            self._drawn = now
            self._live.update(self._panel(), refresh=True)

    # ---- drawing ------------------------------------------------------------------------

    def _line(self, trial: TrialState) -> str:
        done = len(self._run.state.outcomes())
        objective = self._run.state.objective
        what = (
            f"failed: {trial.reason}"
            if trial.status == FAILED
            else f"{objective} {format_value(trial.score)}"
        )
        spec = trial.spec
        return (
            f"[{done:>3} done, about {self._left()} left] trial {trial.trial_id:<7} "
            f"bracket {spec.bracket} rung {spec.rung} epochs {spec.epochs:<3} {what}  "
            f"{self._values(trial)}"
        )

    def _panel(self) -> Group:
        state = self._run.state
        done = self._epochs_done()
        total = done + self._epochs_left()
        head = Table.grid(padding=(0, 2))
        head.add_row(
            ProgressBar(total=max(1, total), completed=done, width=36),
            Text(f"{done}/{pluralize(total, 'epoch')}"),
            Text(f"{_clock(time.monotonic() - self._started)} elapsed"),
            Text(f"about {self._left()} left", style="bold"),
            Text(pluralize(self._workers, "worker"), style="dim"),
        )
        counts = Counter(trial.status for trial in state.trials.values())
        parts: list[Table | Text] = [head, self._bracket_table()]
        for trial_id, done_epochs in sorted(self._running.items()):
            trial = state.trials[trial_id]
            epoch = min(done_epochs + 1, trial.epochs)
            parts.append(
                Text.assemble(
                    ("running  ", "cyan"),
                    f"{printable(trial_id):<8} epoch {epoch}/{trial.epochs}  "
                    f"{self._values(trial)}",
                    overflow="ellipsis",
                    no_wrap=True,
                )
            )
        best = islice(state.best_first(), 1)
        for trial in best:
            parts.append(
                Text.assemble(
                    ("best     ", "bold green"),
                    f"{printable(trial.trial_id):<8} {self._run.state.objective} ",
                    (format_value(trial.score), "bold"),
                    f" after {pluralize(trial.epochs, 'epoch')}  {self._values(trial)}",
                    overflow="ellipsis",
                    no_wrap=True,
                )
            )
        failed = f", {counts[FAILED]} failed" if counts[FAILED] else ""
        kept = bytes_kept(self._run) / 1e6
        ended = pluralize(sum(trial.ended for trial in state.trials.values()), "trial")
        parts.append(
            Text(
                f"{ended} done{failed}, {kept:.0f} MB of checkpoints. Ctrl-C stops, keeps what is "
                "done and says how to go on.",
                style="dim",
            )
        )
        return Group(*parts)

    def _bracket_table(self) -> Table:
        """Finished trials of each rung, bracket by bracket."""
        finished = Counter(
            (trial.spec.full_epochs, trial.spec.bracket, trial.epochs)
            for trial in self._run.state.trials.values()
            if trial.score is not None
        )
        table = Table.grid(padding=(0, 2))
        groups = groupby(self._rungs, lambda rung: (rung.full_epochs, rung.bracket))
        for (_, number), bracket in groups:
            row = [Text(f"bracket {number}", style="magenta")]
            for rung in bracket:
                count = finished[rung.full_epochs, rung.bracket, rung.epochs]
                style = "green" if count >= rung.trials else ""
                row.append(Text(f"{rung.epochs} ep: {count}/{rung.trials}", style=style))
            table.add_row(*row)
        return table

    def _values(self, trial: TrialState) -> str:
        parts = (
            describe_trial(self._run.state, trial, section)
            for section in ("attention", "backbone", "recipe")
        )
        return printable(" ".join(part for part in parts if part))

    def _epochs_done(self) -> int:
        return self._run.state.epochs_trained

    def _epochs_left(self) -> int:
        state = self._run.state
        trained = {lineage: len(curve) for lineage, curve in state.curves.items()}
        return self._decisions.remaining_epochs(trained)

    def _left(self) -> str:
        done = self._epochs_done()
        trained = done - self._epochs_before
        if trained < 1:
            return "?"
        pace = (time.monotonic() - self._started) / trained
        return _clock(self._epochs_left() * pace)


def _clock(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
