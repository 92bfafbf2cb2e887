"""`cbam-search --space`: runs or resumes a search, and exports its best model."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

from rich.console import Console

from search.analysis.answer import RunAnswer
from search.analysis.image_noise import expected_noise
from search.analysis.summary import write_summary
from search.cli.common import console_of, executor_of, result_of, run_directory
from search.cli.confirm import arms_from_search, confirm
from search.display.answer import print_answer
from search.display.console import print_prose
from search.display.narrator import Narrator
from search.display.progress import Progress
from search.display.report import print_notices, print_result
from search.driver.export import Exported, export_best
from search.driver.opening import open_run
from search.driver.rehearsal import rehearse
from search.driver.signals import Interrupted, Signals
from search.driver.tuner import SearchTuner
from search.executors.devices import default_workers
from search.runs.run import Run
from search.space.loading import load_space
from search.text import pluralize, shell_line


def carry_out(options: argparse.Namespace) -> int:
    """Runs or resumes a search; a signal ends it with all kept."""
    space = load_space(options.space)
    space = space.override("data", name=options.data, limit=options.limit)
    space = space.override(
        "search",
        seed=options.seed,
        max_epochs=options.max_epochs,
        hyperband_iterations=options.hyperband_iterations,
    )
    space.check_size()
    path = run_directory(options, Path(options.space).stem)
    console = console_of(options)
    with (
        Signals().caught() as signals,
        open_run(
            space,
            path,
            overwrite=options.overwrite,
            restore_data=True,
            searching=True,
            progress=Narrator(signals.check),
        ) as run,
    ):
        try:
            exported = _run_search(run, options, console, signals)
            if not options.json:
                print_result(console, run.path, run.state, exported)
                print_prose(console, _noise(run))
            answer = _confirm(run, options, console, signals) if space.confirm.seeds else None
        except Interrupted as stop:
            _say_stopped(console, run, stop, options.line)
            return stop.exit_code
        if options.json:
            print(json.dumps(result_of(run, exported, answer), indent=2))
        elif answer is not None:
            print_answer(console, run.path, answer)
    return 0


def _run_search(
    run: Run, options: argparse.Namespace, console: Console, signals: Signals
) -> Exported:
    workers = options.workers or default_workers(run.space.search.threads)
    print_prose(console, _opening(run, workers))
    print_notices(console, run.notices)
    narrator = Narrator(signals.check)
    with executor_of(run, workers) as executor:
        tuner = SearchTuner(run, executor, signals, options.keep, narrator)
        try:
            print_notices(console, rehearse(run, tuner, executor, narrator))
            with Progress(run, tuner.rungs, tuner.oracle.decisions, workers, console) as progress:
                tuner.search(progress)
            return export_best(run, executor, narrator)
        finally:
            executor.kill()
            write_summary(run.path, run.state)


def _noise(run: Run) -> str:
    """How far scores of the search differ by chance, and what tells more."""
    best = next(run.state.best_first(), None)
    count = run.info.validation_count
    if best is None or best.score is None or run.state.objective != "val_accuracy":
        return f"Scores are those of {count:,} validation images, each of one training."
    apart = math.sqrt(2) * expected_noise(best.score, count)
    said = (
        f"On {count:,} validation images, two trainings of one network may differ by "
        f"{100 * apart:.1f} points for no other reason than their seeds and these images."
    )
    if run.space.confirm.seeds:
        return said
    return f"{said} What is real, {shell_line(['cbam-search', 'confirm', str(run.path)])} tells."


def _confirm(
    run: Run, options: argparse.Namespace, console: Console, signals: Signals
) -> RunAnswer:
    """The second phase of a run whose space asks for it."""
    settings = run.space.confirm
    arms = arms_from_search(run, settings)
    return confirm(run, options.workers, signals, console, settings, arms)


def _opening(run: Run, workers: int) -> str:
    torn = run.journal.torn
    verb = "Resuming" if run.resumed else "Searching"
    info = run.info
    cut = f" A torn last record ({len(torn)} bytes) was cut off its journal." if torn else ""
    return (
        f"{verb} {run.space.source} in {run.path}: {info.source}, {info.train_count:,} training "
        f"and {info.validation_count:,} validation images, {pluralize(workers, 'worker')}.{cut}"
    )


def _say_stopped(console: Console, run: Run, stop: BaseException, arguments: list[str]) -> None:
    done = pluralize(sum(trial.ended for trial in run.state.trials.values()), "finished trial")
    again = [word for word in arguments if word != "--overwrite"]
    how = (
        "run the same command again"
        if again == arguments
        else "run it again without --overwrite, which would delete them"
    )
    print_prose(
        console,
        f"Stopped by {stop}. Kept in {run.path}: {done}, and the other trials up to their last "
        f"epoch. To go on, {how}:\n  {shell_line(['cbam-search', *again])}",
    )
