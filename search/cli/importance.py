"""`cbam-search importance`: which settings mattered in a search."""

from __future__ import annotations

import argparse
import importlib.util
import json

from search.analysis.importance import epochs_to_compare, importance_of, trainings_at
from search.candidates.one_factor import one_factor_space
from search.cli.common import console_of
from search.display.console import print_prose
from search.display.importance import importance_record, print_importance
from search.errors import UsageError
from search.runs.run import load_run, space_of
from search.runs.state import RunState
from search.space.space import Space
from search.storage.files import storage_errors, write_text
from search.text import pluralize, shell_line

FEWEST = 6
"""Trainings from which on importances are computed: PED-ANOVA compares the best five."""


def carry_out(options: argparse.Namespace) -> int:
    """Prints what mattered; writes a space for a comparison around the best, if asked to."""
    state = load_run(options.run)
    space = space_of(state, options.run)
    console = console_of(options)
    if options.one_factor:
        _write_one_factor(options, space, state)
        command = shell_line(["cbam-search", "compare", "--space", str(options.one_factor)])
        print_prose(console, f"To compare: {command}")
        return 0
    if not state.trials:
        raise UsageError(f"{options.run} has no search, which importances are of.")
    epochs = options.epochs or epochs_to_compare(state)
    trainings = trainings_at(space, state, epochs)
    if len(trainings) < 2:
        raise UsageError(
            f"{options.run} has {pluralize(len(trainings), 'training')} of at least "
            f"{pluralize(epochs, 'epoch')}. Two are needed, and ten say something."
        )
    there = has_optuna()
    knobs = importance_of(space, trainings, weigh=there and len(trainings) >= FEWEST)
    if options.json:
        content = [importance_record(knob) for knob in knobs]
        print(json.dumps({"epochs": epochs, "trainings": len(trainings), "knobs": content}))
        return 0
    print_importance(console, knobs, state.objective, epochs, len(trainings))
    if not there:
        print_prose(
            console,
            "Importances are computed with Optuna, which is not installed. To install it: "
            "pip install 'cbam-search[importance]'",
        )
    return 0


def has_optuna() -> bool:
    """Whether importances can be computed."""
    return importlib.util.find_spec("optuna") is not None


def _write_one_factor(options: argparse.Namespace, space: Space, state: RunState) -> None:
    import yaml

    best = next(
        (trial for trial in state.best_first() if trial.configuration.attention["type"] != "none"),
        None,
    )
    if best is None:
        raise UsageError(f"{options.run} has no finished trial with attention.")
    if options.one_factor.exists():
        raise UsageError(f"{options.one_factor} is there already. Name a file that is not.")
    content = one_factor_space(space, best.configuration)
    head = f"# Trial {best.trial_id} of {options.run}, and each change of one setting of it.\n"
    with storage_errors("the space", options.one_factor):
        write_text(options.one_factor, head + yaml.safe_dump(content, sort_keys=False))
