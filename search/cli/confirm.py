"""`cbam-search confirm`: the second phase of a run, which answers its question."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable, Sequence

from rich.console import Console

from hypermodels.networks.cost import CostModel
from search.algorithms.confirmation import Arm
from search.analysis.answer import RunAnswer, answer_of
from search.analysis.image_noise import expected_noise
from search.analysis.looks import LOOKS, planned_looks, spent_error
from search.analysis.resolution import resolvable_difference
from search.candidates.arms import arms_of_search
from search.cli.common import console_of, executor_of, opened_again
from search.display.answer import answer_record, print_answer, write_answer
from search.display.confirming import ConfirmationProgress
from search.display.console import print_prose
from search.display.narrator import Narrator
from search.display.report import print_notices
from search.driver.confirmation import Confirmation, plan_confirmation
from search.driver.signals import Interrupted, Signals
from search.driver.tuner import algorithm_of, costs_of
from search.errors import SearchFailedError, UsageError
from search.executors.devices import default_workers
from search.runs.run import Run
from search.space.settings import ConfirmSettings
from search.text import pluralize, shell_line

Choice = Callable[[CostModel], tuple[list[Arm], list[str]]]
"""Chooses the arms, and says what was added or left out."""


def carry_out(options: argparse.Namespace) -> int:
    """Runs or resumes the confirmation of a finished search."""
    console = console_of(options)
    with opened_again(options.run) as (run, signals):
        settings = settings_of(run, options)
        check_finished(run)
        arms = arms_from_search(run, settings)
        try:
            answer = confirm(
                run, options.workers, signals, console, settings, arms, more=options.more
            )
        except Interrupted as stop:
            return say_stopped(console, run, stop, ["confirm", str(options.run)])
        return say(console, run, answer, as_json=options.json)


def arms_from_search(run: Run, settings: ConfirmSettings) -> Choice:
    """Chooses the arms from what the run's search has found."""
    return lambda costs: arms_of_search(run.space, run.state, costs, settings.top)


def check_finished(run: Run) -> None:
    """Makes sure that arms are chosen from all that a search has to choose from.

    Raises:
        UsageError: If the search goes on, and no confirmation is planned.
    """
    if run.state.confirmation:
        return
    if not run.state.trials:
        raise UsageError(
            f"{run.path} has no search: nothing to confirm. Compare with `cbam-search compare`."
        )
    outcomes = run.state.outcomes()
    left = [
        trial
        for trial in algorithm_of(run, costs_of(run)).trials(outcomes)
        if trial.trial_id not in outcomes
    ]
    if left:
        raise UsageError(
            f"the search in {run.path} is not over: {pluralize(len(left), 'trial')} at least "
            "still to run. What it has not looked at cannot be compared. Let the same command "
            "that began it go on, then confirm."
        )


def settings_of(run: Run, options: argparse.Namespace) -> ConfirmSettings:
    """How to confirm: what the command line says, else the space, else the defaults.

    Raises:
        UsageError: If the plan is made already and says something else.
    """
    found = run.space.confirm
    found = dataclasses.replace(found, seeds=options.seeds or found.seeds or LOOKS[0])
    found = dataclasses.replace(found, top=getattr(options, "top", None) or found.top)
    confirmation = run.state.confirmation
    if confirmation and options.seeds and options.seeds != confirmation.plan.looks[0]:
        raise UsageError(
            f"the confirmation of {run.path} is planned with {confirmation.plan.looks[0]} seeds "
            f"at its first look. Received: --seeds {options.seeds}. Leave it out: a plan that "
            "could be changed after a look would be none."
        )
    return found


def confirm(
    run: Run,
    workers: int | None,
    signals: Signals,
    console: Console,
    settings: ConfirmSettings,
    arms: Choice,
    *,
    more: bool = False,
) -> RunAnswer:
    """Plans a confirmation unless that is done, runs it up to its look, and answers.

    Raises:
        SearchFailedError: If there is nothing to compare, or the control failed.
    """
    costs = costs_of(run)
    if run.state.confirmation is None:
        chosen, notices = arms(costs)
        plan_confirmation(
            run,
            chosen,
            notices,
            looks=planned_looks(settings.seeds),
            margin=settings.margin,
            epochs=settings.epochs or run.state.budgets[-1],
        )
    with executor_of(run, workers or default_workers(run.space.search.threads)) as executor:
        confirmation = Confirmation(run, executor, signals, costs)
        confirmation.begin_look(more)
        assert run.state.confirmation is not None
        plan = run.state.confirmation.plan
        total = len(run.state.confirmation.planned())
        print_prose(
            console,
            f"Comparing {pluralize(len(plan.arms), 'arm')} over "
            f"{pluralize(total // len(plan.arms), 'seed')}: "
            f"{'; '.join(str(arm['name']) for arm in plan.arms)}.",
        )
        print_notices(console, plan.notices)
        if not run.state.confirmation.outcomes:
            print_prose(console, _beforehand(run, len(plan.arms), plan.looks[0]))
        narrator = Narrator(signals.check)
        confirmation.run(ConfirmationProgress(run, total, console), narrator)
    answer = answer_of(run.state)
    if answer is None:
        failed = [trial for trial in run.state.confirmation.trials.values() if trial.reason]
        why = f" {failed[0].trial_id}: {failed[0].reason}." if failed else ""
        raise SearchFailedError(
            f"the confirmation of {run.path} has no answer: the network without attention, or "
            f"every arm with it, has failed.{why}"
        )
    write_answer(run.path, answer)
    return answer


def _beforehand(run: Run, arms: int, seeds: int) -> str:
    """What the first look can see at most, said before anything is spent on it."""
    best = next(run.state.best_first(), None)
    known = best is not None and run.state.objective == "val_accuracy"
    accuracy = float(best.score or 0.5) if best is not None and known else 0.5
    noise = expected_noise(accuracy, run.info.test_count)
    error = spent_error(planned_looks(seeds))[0]
    smallest = resolvable_difference(noise, seeds, arms - 1, error)
    if smallest > 1:
        return (
            f"With {run.info.test_count:,} test images and {pluralize(seeds, 'seed')}, the first "
            "look can see no difference at all. More test images or more seeds are needed."
        )
    return (
        f"With {run.info.test_count:,} test images and {pluralize(seeds, 'seed')}, the first look "
        f"sees a difference of {100 * smallest:.1f} points 8 times in 10, smaller ones where the "
        "networks err on the same images. More test images or more seeds show smaller ones still."
    )


def say(console: Console, run: Run, answer: RunAnswer, *, as_json: bool) -> int:
    """Prints the answer; returns the exit code."""
    if as_json:
        print(json.dumps({"run": str(run.path), **answer_record(answer)}, indent=2))
    else:
        print_answer(console, run.path, answer)
    return 0


def say_stopped(console: Console, run: Run, stop: Interrupted, arguments: Sequence[str]) -> int:
    """Says what is kept and how to go on; returns the exit code."""
    done = len(run.state.confirmation.outcomes) if run.state.confirmation else 0
    print_prose(
        console,
        f"Stopped by {stop}. Kept in {run.path}: {pluralize(done, 'finished training')} of the "
        "confirmation, and the others up to their last epoch. To go on:\n  "
        f"{shell_line(['cbam-search', *arguments])}",
    )
    return stop.exit_code
