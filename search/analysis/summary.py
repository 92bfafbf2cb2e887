"""What a run found, as a table: for people (Markdown), spreadsheets (CSV), programs (JSON)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hypermodels.knobs import Value
from hypermodels.knobs.per_stage import by_stage
from search.analysis.profile import format_profile, profile
from search.messages import PHASES
from search.runs.encoding import to_record
from search.runs.state import FAILED, RunState, TrialState
from search.space.definition import tuned_sections
from search.storage.files import storage_errors, write_text
from search.text import markdown, pluralize, printable, spreadsheet

Row = dict[str, Any]

_FIXED_COLUMNS = (
    "trial",
    "status",
    "bracket",
    "rung",
    "epochs",
    "parent",
    "preset",
)


def rows(state: RunState) -> list[Row]:
    """Every trial of a run in the order of its id, which no timing can change.

    All columns but `seconds` are a function of the space, the data, the seed and the
    versions.
    """
    columns = value_columns(state)
    return [_row(state, state.trials[name], columns) for name in sorted(state.trials)]


def value_columns(state: RunState) -> list[str]:
    """The knobs worth a column: those that differ between trials, in the space's order."""
    # By id, not as they were handed out, which depends on timing.
    flats = [state.trials[name].configuration.flat() for name in sorted(state.trials)]
    names = list(dict.fromkeys(name for flat in flats for name in flat))
    varied = [
        name for name in names if len({str(flat[name]) for flat in flats if name in flat}) > 1
    ]
    order = [f"{section}.{key}" for section in state.header.space for key in _keys(state, section)]
    tuned = [name for name in order if name in varied]
    return [*tuned, *(name for name in varied if name not in tuned)]


def _keys(state: RunState, section: str) -> list[str]:
    content = state.header.space[section]
    return list(content) if isinstance(content, dict) else []


def _row(state: RunState, trial: TrialState, columns: list[str]) -> Row:
    objective = state.objective
    curve = state.curves.get(trial.lineage, [])
    last = (
        curve[trial.epochs - 1] if trial.score is not None and len(curve) >= trial.epochs else {}
    )
    flat = trial.configuration.flat()
    other = [name for name in ("val_accuracy", "val_loss") if name != objective]
    return {
        "trial": trial.trial_id,
        "status": trial.status,
        "bracket": trial.spec.bracket,
        "rung": trial.spec.rung,
        "epochs": trial.epochs,
        "parent": trial.spec.parent,
        "preset": trial.spec.candidate.preset,
        objective: trial.score,
        **{name: last.get(name) for name in other},
        "parameters": trial.parameters,
        "macs": trial.macs,
        **{name: flat.get(name) for name in columns},
        "seconds": round(trial.seconds, 1),
        "reason": trial.reason,
    }


def to_csv(table: list[Row]) -> str:
    """The table as CSV, one line a trial; a value that is not there is empty.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([spreadsheet(name) for name in (table[0] if table else _FIXED_COLUMNS)])
    writer.writerows([spreadsheet(value) for value in row.values()] for row in table)
    return text.getvalue()


def to_json(state: RunState) -> str:
    """Everything about a run: its header, the table, every epoch's metrics, the exports."""
    curves = {
        trial.trial_id: state.curves.get(trial.lineage, [])[: trial.epochs]
        for trial in state.trials.values()
    }
    content = {
        "run": {key: value for key, value in to_record(state.header).items() if key != "type"},
        "trials": [_with_output(state, row) for row in rows(state)],
        "curves": {name: curves[name] for name in sorted(curves)},
        "test_reads": [to_record(read) for read in state.test_reads],
        "exports": [to_record(export) for export in state.exports],
        "profile": profile(state),
    }
    return json.dumps(content, indent=2) + "\n"


def _with_output(state: RunState, row: Row) -> Row:
    """A row and, where it is of a failed trial, the last lines that its workers printed."""
    output = state.trials[row["trial"]].output
    return {**row, "output": list(output)} if row["status"] == FAILED else row


def to_markdown(state: RunState) -> str:
    """The table and what it says, best trials first."""
    by_id = {row["trial"]: row for row in rows(state)}
    ranked = [by_id[trial.trial_id] for trial in state.best_first()]
    rest = [row for name, row in sorted(by_id.items()) if row not in ranked]
    table = [*ranked, *rest]
    lines = ["# Summary of the search", "", *map(markdown, findings(state)), *_noticed(state)]
    if not table:
        return "\n".join(lines) + "\n"
    columns = [name for name in table[0] if any(row[name] not in (None, "") for row in table)]
    lines.append("")
    lines.append("| " + " | ".join(markdown(_heading(name)) for name in columns) + " |")
    lines.append("|" + "---|" * len(columns))
    lines += [
        "| " + " | ".join(markdown(format_value(row[name])) for name in columns) + " |"
        for row in table
    ]
    found = profile(state)
    if found:
        lines += ["", "## Where the time went", "", format_profile(found), ""]
        lines += ["| phase | seconds | |", "|---|---:|---|"]
        explained = {
            **PHASES,
            "other": "the rest of the trials' processes",
            "idle": "workers without a trial",
            "driver": "processor time of the driver, beside the workers'",
        }
        lines += [
            f"| {name} | {found[name]:,.1f} | {what} |"
            for name, what in explained.items()
            if name in found
        ]
    for name, trial in sorted(state.trials.items()):
        if trial.output:
            title = f"Last lines that trial {name} printed before it failed:"
            lines += ["", markdown(title), ""]
            lines += [f"    {printable(line)}" for line in trial.output]
    return "\n".join(lines) + "\n"


def _noticed(state: RunState) -> list[str]:
    """What was said when the run began, under a heading of its own."""
    notices = state.header.notices
    if not notices:
        return []
    return ["", "## Said when the run began", "", *(f"* {markdown(each)}" for each in notices)]


def findings(state: RunState) -> list[str]:
    """What the table says and what it does not, in sentences."""
    objective = state.objective
    ranked = list(state.best_first())
    if not ranked:
        return ["No trial has finished."]
    best = ranked[0]
    kind, label = (
        best.configuration.attention["type"],
        attention_label(best.configuration.attention),
    )
    said = [
        f"Best: trial {best.trial_id}, attention {label}, {objective} {format_value(best.score)} "
        f"after {pluralize(best.epochs, 'epoch')}, {best.parameters:,} parameters."
    ]
    rivals = [
        trial
        for trial in ranked
        if trial.epochs == best.epochs
        and (trial.configuration.attention["type"] == "none") != (kind == "none")
    ]
    other = "with attention" if kind == "none" else "without attention"
    if not rivals:
        said.append(
            f"No trial {other} was trained to {pluralize(best.epochs, 'epoch')}, so this search "
            "does not say whether attention helps."
        )
    elif best.score is not None and rivals[0].score is not None:
        gap = abs(best.score - rivals[0].score)
        said.append(
            f"The best {other}, trial {rivals[0].trial_id}, has {format_value(rivals[0].score)} "
            f"after as many epochs: {format_value(gap)} apart. Both are single trainings with one "
            "seed, selected on the same validation images; a difference of this kind is "
            "not evidence until it is repeated over seeds."
        )
    return said


def _heading(name: str) -> str:
    return name.removeprefix("attention.").removeprefix("recipe.").removeprefix("backbone.")


def format_value(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


def describe_trial(state: RunState, trial: TrialState, section: str = "attention") -> str:
    """A trial's tuned values of one section in a few words: `se r=8 post`.

    The field's abbreviations: `r` reduction ratio, `k` spatial kernel size, `lr` learning
    rate, `wd` weight decay.
    """
    settings = trial.configuration.to_dict()[section]
    words = [
        _word(section, key, settings[key])
        # What single stages have stands with their types.
        for key, setting in by_stage(state.header.space[section]).common.items()
        if isinstance(setting, dict) and key in settings and key != "type"
    ]
    if section == "attention":
        words.insert(0, attention_label(trial.configuration.attention))
        if trial.spec.candidate.preset and trial.spec.candidate.preset != "none":
            words.append(f"({trial.spec.candidate.preset})")
    return " ".join(words)


def _word(section: str, key: str, value: Value) -> str:
    """A value with its name; a word such as `post` speaks for itself."""
    knob = tuned_sections()[section].knob(key)
    label = knob.label if knob else None
    if label is None:
        label = "" if isinstance(value, str) else f"{key}="
    return label + format_value(value)


def attention_label(attention: Mapping[str, Value]) -> str:
    """The attention type, or that of each stage: `1:none 2:se,r=4 3:cbam,r=8,k=3`."""
    parts = by_stage(attention)
    labels = []
    for stage, own in sorted(parts.own.items()):
        names = [name for name in parts.listed if name in own and name != "type"]
        words = [_word("attention", name, own[name]) for name in names]
        labels.append(f"{stage}:" + ",".join([str(own["type"]), *words]))
    return " ".join(labels) or str(attention["type"])


def write_summary(run: Path, state: RunState) -> None:
    """Writes `summary.csv`, `summary.json` and `summary.md`."""
    with storage_errors("the summary", run):
        write_text(run / "summary.csv", to_csv(rows(state)))
        write_text(run / "summary.json", to_json(state))
        write_text(run / "summary.md", to_markdown(state))
