"""The result of a search on the terminal: the table, the winner, where things are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from search.data.wording import plain
from search.export import Exported
from search.state import RunState
from search.summary import counted, described, findings, shown

SHOWN_TRIALS = 12


def print_result(console: Console, run: Path, state: RunState, exported: Exported) -> None:
    """Prints the best trials, what they say, the exported model and where things are."""
    print_table(console, state, limit=SHOWN_TRIALS)
    print_export(console, exported)
    console.print(
        f"Every trial: {run / 'summary.md'} (also .csv, .json). "
        f"Again on the terminal: cbam-search summary {run}",
        highlight=False,
        soft_wrap=True,
    )


def print_sites(console: Console, rows: list[dict[str, Any]], backbone: Mapping[str, Any]) -> None:
    """Prints where attention can go; the places that the space offers stand out."""
    types = [key.removesuffix(".macs") for key in rows[0] if key.endswith(".macs")] if rows else []
    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)
    for heading in ("site", "stage", "port", "layer", "map", "channels", "offered"):
        numeric = heading in ("stage", "channels")
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for name in types:
        table.add_column(f"+{name}", justify="right", no_wrap=True)
        table.add_column("MACs", justify="right", no_wrap=True)
    for row in rows:
        added = [
            "does not fit"
            if row[f"{name}.{what}"] is None and what == "parameters"
            else shown(row[f"{name}.{what}"])
            for name in types
            for what in ("parameters", "macs")
        ]
        side = "" if row["side"] == "output" else f" ({row['side']})"
        table.add_row(
            row["site"],
            str(row["stage"]),
            row["port"],
            row["layer"] + side,
            row["map"],
            str(row["channels"]),
            "yes" if row["offered"] else "",
            *added,
            style="" if row["offered"] else "dim",
        )
    # A name that is cut short is no name, so the table is as wide as it has to be.
    widest = Measurement.get(console, console.options.update(max_width=1000), table).maximum
    console.width = max(widest, console.width)
    console.print(table, soft_wrap=True)
    offered = [row for row in rows if row["offered"]]
    blocks = len({row["site"] for row in offered})
    console.print(
        f"{len(rows)} places in {counted(len({row['site'] for row in rows}), 'block')}; the space "
        f"offers {len(offered)} of them, in {counted(blocks, 'block')}. Backbone: "
        f"{', '.join(f'{name} {shown(value)}' for name, value in backbone.items())}.",
        highlight=False,
        soft_wrap=True,
    )


def print_export(console: Console, exported: Exported) -> None:
    """Prints where the exported model is and what it is worth."""
    metrics = exported.metrics
    test = metrics["test"]
    console.print(
        f"\nExported trial {exported.trial_id} to {exported.folder}: saved_model, model.keras, "
        f"hyperparameters.yaml, metrics.json.\n"
        f"Test accuracy {shown(test['accuracy'])} ({test['correct']} of "
        f"{metrics['test_images']} images, which the search never read{_constant(metrics)}). "
        f"Largest difference between a score of the saved and "
        f"of the trained model: {metrics['largest_difference']['saved_model']:.1e}.",
        highlight=False,
        soft_wrap=True,
    )


def _constant(metrics: Mapping[str, Any]) -> str:
    """What the best constant answer gets, which an accuracy has to be seen beside."""
    answer = metrics.get("constant_answer")  # not in runs of version 0.1
    if answer is None:
        return ""
    return f"; always answering {plain(answer['class'])} gets {shown(answer['accuracy'])}"


def print_notices(console: Console, notices: Sequence[str]) -> None:
    """Prints what was left out, assumed or could not be looked at, a line each."""
    for notice in notices:
        console.print(
            f"  {plain(notice)}", markup=False, emoji=False, highlight=False, soft_wrap=True
        )


def print_table(console: Console, state: RunState, limit: int | None = None) -> None:
    """Prints the trials, best first, and what they say."""
    objective = state.header["space"]["search"]["objective"]
    ranked = state.best_first(maximise=objective.endswith("accuracy"))
    rest = [trial for _, trial in sorted(state.trials.items()) if trial.score is None]
    sections = [
        section
        for section in ("attention", "backbone", "recipe")
        if any(described(state, trial, section) for trial in state.trials.values())
    ]
    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)
    table.add_column("trial", no_wrap=True)
    for heading in ("bracket", "epochs", objective, "parameters"):
        table.add_column(heading, justify="right", no_wrap=True)
    for section in sections:
        table.add_column(section)
    for place, trial in enumerate([*ranked, *rest][:limit]):
        table.add_row(
            trial.trial_id,
            str(trial.bracket),
            str(trial.epochs),
            shown(trial.score) if trial.ended and not trial.reason else trial.status.lower(),
            shown(trial.parameters),
            *(described(state, trial, section) for section in sections),
            style="bold green" if place == 0 and trial.score is not None else "",
        )
    if table.row_count:
        console.print(table)
    if limit is not None and len(state.trials) > limit:
        console.print(f"… and {len(state.trials) - limit} more trials.", style="dim")
    for sentence in findings(state):
        console.print(sentence, highlight=False, soft_wrap=True)
