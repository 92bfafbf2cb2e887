"""The result of a search on the terminal: the table, the winner, where things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from search.analysis.summary import describe_trial, findings, format_value
from search.display.console import cells, make_table, print_prose
from search.display.console import print_table as print_whole_table
from search.driver.export import Exported
from search.runs.export_formats import KERAS_FILE, SAVED_MODEL, notes
from search.runs.state import RunState
from search.text import pluralize, printable, shell_line

SHOWN_TRIALS = 12


def print_result(console: Console, run: Path, state: RunState, exported: Exported) -> None:
    """Prints the best trials, what they say, the exported model and where things are."""
    print_table(console, state, limit=SHOWN_TRIALS)
    print_export(console, exported)
    print_prose(
        console,
        f"Every trial: {run / 'summary.md'} (also .csv, .json). "
        f"Again on the terminal: {shell_line(['cbam-search', 'summary', str(run)])}",
    )


def print_sites(console: Console, rows: list[dict[str, Any]], backbone: Mapping[str, Any]) -> None:
    """Prints where attention can go; sites that the space does not offer are dimmed."""
    types = [key.removesuffix(".macs") for key in rows[0] if key.endswith(".macs")] if rows else []
    table = make_table()
    for heading in ("site", "stage", "port", "layer", "map", "channels", "offered"):
        numeric = heading in ("stage", "channels")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for name in types:
        table.add_column(f"+{printable(name)}", justify="right", no_wrap=True)
        table.add_column("MACs", justify="right", no_wrap=True)
    for row in rows:
        added = [
            "does not fit"
            if row[f"{name}.{what}"] is None and what == "parameters"
            else format_value(row[f"{name}.{what}"])
            for name in types
            for what in ("parameters", "macs")
        ]
        side = "" if row["side"] == "output" else f" ({row['side']})"
        table.add_row(
            *cells(
                row["site"],
                row["stage"],
                row["port"],
                row["layer"] + side,
                row["map"],
                row["channels"],
                "yes" if row["offered"] else "",
                *added,
            ),
            style="" if row["offered"] else "dim",
        )
    print_whole_table(console, table)
    offered = [row for row in rows if row["offered"]]
    blocks = len({row["site"] for row in offered})
    sites = pluralize(len({row["site"] for row in rows}), "block")
    print_prose(
        console,
        f"{pluralize(len(rows), 'place')} in {sites}; the space "
        f"offers {len(offered)} of them, in {pluralize(blocks, 'block')}. Backbone: "
        f"{', '.join(f'{name} {format_value(value)}' for name, value in backbone.items())}.",
    )


def print_export(console: Console, exported: Exported) -> None:
    """Prints where the exported model is and what it is worth."""
    metrics = exported.metrics
    test = metrics["test"]
    print_prose(
        console,
        f"\nExported trial {exported.trial_id} to {exported.folder}: {_saved(metrics)}, "
        f"hyperparameters.yaml, metrics.json.\n"
        f"Test accuracy {format_value(test['accuracy'])} ({test['correct']} of "
        f"{metrics['test_images']} images, which the search never read{_constant(metrics)}). "
        f"Largest difference between a score of the saved and "
        f"of the trained model: {metrics['largest_difference']['saved_model']:.1e}.",
    )
    print_notices(console, list(notes(metrics)))


def _saved(metrics: Mapping[str, Any]) -> str:
    """The formats that were saved, and what there is to know of them."""
    formats = [
        name for name in (SAVED_MODEL, KERAS_FILE) if name not in metrics.get("missing", {})
    ]
    return ", ".join(formats)


def _constant(metrics: Mapping[str, Any]) -> str:
    """What the best constant answer gets, which an accuracy has to be seen beside."""
    answer = metrics.get("constant_answer")  # not in runs of version 0.1
    if answer is None:
        return ""
    return (
        f"; always answering {printable(answer['class'])} gets {format_value(answer['accuracy'])}"
    )


def print_notices(console: Console, notices: Sequence[str]) -> None:
    """Prints what was left out, assumed or could not be looked at, a line each."""
    for notice in notices:
        print_prose(console, f"  {printable(notice)}")


def print_table(console: Console, state: RunState, limit: int | None = None) -> None:
    """Prints the trials, best first, and what they say."""
    objective = state.objective
    ranked = list(state.best_first())
    rest = [trial for _, trial in sorted(state.trials.items()) if trial.score is None]
    sections = [
        section
        for section in ("attention", "backbone", "recipe")
        if any(describe_trial(state, trial, section) for trial in state.trials.values())
    ]
    table = make_table()
    table.add_column("trial", no_wrap=True)
    for heading in ("bracket", "epochs", printable(objective), "parameters"):
        table.add_column(heading, justify="right", no_wrap=True)
    for section in sections:
        table.add_column(section)
    for index, trial in enumerate([*ranked, *rest][:limit]):
        table.add_row(
            *cells(
                trial.trial_id,
                trial.spec.bracket,
                trial.epochs,
                format_value(trial.score)
                if trial.ended and not trial.reason
                else trial.status.lower(),
                format_value(trial.parameters),
                *(describe_trial(state, trial, section) for section in sections),
            ),
            style="bold green" if index == 0 and trial.score is not None else "",
        )
    if table.row_count:
        print_whole_table(console, table)
    if limit is not None and len(state.trials) > limit:
        more = pluralize(len(state.trials) - limit, "more trial")
        print_prose(console, f"... and {more}.", "dim")
    for sentence in findings(state):
        print_prose(console, sentence)
