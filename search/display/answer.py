"""The answer of a run in words and a table: whether, which, by how much, and how sure."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from search.algorithms.confirmation import TWIN, WIDER
from search.analysis.answer import RunAnswer
from search.analysis.comparison import Difference
from search.analysis.verdict import Answer, Verdict
from search.display.console import cells, make_table, print_prose, print_table
from search.storage.files import storage_errors, write_json, write_text
from search.text import markdown, pluralize, printable, shell_line

FUTILE = 0.1
"""The chance of settling a question below which going on is advised against."""

_HEADINGS = (
    "arm",
    "accuracy",
    "sd",
    "difference",
    "interval",
    "p",
    "verdict",
    "parameters",
    "MACs",
    "time",
)


def print_answer(console: Console, run: Path, answer: RunAnswer) -> None:
    """Prints the table of the arms and the sentences."""
    table = make_table()
    for heading in _HEADINGS:
        left = heading in ("arm", "verdict", "interval")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in answer_rows(answer):
        table.add_row(*cells(*row))
    print_table(console, table)
    print_prose(console, "\n".join(sentences(run, answer)))


def answer_rows(answer: RunAnswer) -> list[list[str]]:
    """The rows of the table, the control first, then by accuracy."""
    first, *rest = answer.results
    rows = []
    for result in (first, *sorted(rest, key=lambda each: -each.mean)):
        verdict = result.verdict
        found = verdict.difference if verdict else None
        rows.append(
            [
                printable(result.arm.name),
                f"{100 * result.mean:.2f}",
                f"{100 * result.deviation:.2f}",
                _signed(found.mean) if found else "",
                _interval(found) if found else "",
                _p(found.p) if found else "",
                verdict.answer.value if verdict else "",
                f"{result.parameters:,}",
                f"{result.macs:,}",
                "" if result.latency is None else f"{result.latency:.2f}x",
            ]
        )
    return rows


def sentences(run: Path, answer: RunAnswer) -> list[str]:
    """What the look says, a sentence or two a line."""
    seeds = answer.comparison.seeds
    said = [_headline(answer.answer, answer)]
    said += [_explanation(role, verdict) for role, verdict in answer.explained.items()]
    said.append(
        f"Test accuracy on {answer.images:,} images over {seeds} seeds that the search never "
        f"used; look {answer.look} of {len(answer.looks)}, which may claim a difference that is "
        f"not there {100 * answer.error:.1f} times in 100 (all looks: 5). The intervals hold "
        f"for all arms together, and for new seeds and new images."
    )
    said.append(
        "The scores never vary, so nothing can be said of their noise."
        if not answer.comparison.noise
        else f"Two trainings of one network differ by about {100 * answer.noise:.2f} points (one "
        f"standard deviation); {seeds} seeds show a difference of "
        f"{100 * answer.resolvable:.2f} points 8 times in 10."
    )
    if answer.shrunk is not None:
        said.append(
            f"The search's best was {100 * answer.shrunk:+.2f} points on the validation "
            f"images against itself with fresh seeds; selection alone explains "
            f"about {100 * answer.selection:.2f}."
        )
    if answer.milliseconds is not None:
        said.append(
            f"The control takes {answer.milliseconds:.1f} ms for {answer.batch} images on this "
            "machine; times are in units of that."
        )
    said += answer.failed
    if answer.chance is not None:
        command = shell_line(["cbam-search", "confirm", str(run), "--more"])
        seeds = answer.looks[answer.look]
        said.append(
            f"To go on to {seeds} seeds: {command}"
            if answer.chance >= FUTILE
            else f"It is hardly worth going on to {seeds} seeds ({command}): more test images, or "
            "a question about larger differences (confirm.margin), would tell more."
        )
    return said


def write_answer(run: Path, answer: RunAnswer) -> None:
    """Writes `answer.md` and `answer.json`.

    Raises:
        StorageError: If the machine refuses a write.
    """
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|" + "---|" * len(_HEADINGS)]
    lines += ["| " + " | ".join(map(markdown, row)) + " |" for row in answer_rows(answer)]
    text = "\n\n".join(map(markdown, sentences(run, answer)))
    with storage_errors("the answer", run):
        write_text(run / "answer.md", f"{text}\n\n" + "\n".join(lines) + "\n")
        write_json(run / "answer.json", answer_record(answer))


def answer_record(answer: RunAnswer) -> dict[str, Any]:
    """The answer as plain values; accuracies are shares, not points."""
    return {
        "answer": answer.answer.answer.value,
        "arm": answer.answer.arm,
        "look": answer.look,
        "looks": list(answer.looks),
        "seeds": answer.comparison.seeds,
        "error": answer.error,
        "margin": answer.margin,
        "test_images": answer.images,
        "noise": answer.noise,
        "resolvable": answer.resolvable,
        "shrunk": answer.shrunk,
        "selection": answer.selection,
        "chance": answer.chance,
        "latency": {"batch": answer.batch, "milliseconds": answer.milliseconds},
        "explained": {
            role: _verdict_record(verdict) for role, verdict in answer.explained.items()
        },
        "failed": list(answer.failed),
        "arms": [
            {
                "arm": result.arm.name,
                "role": result.arm.role,
                "configuration": result.arm.configuration.to_dict(),
                "accuracy": list(result.accuracy),
                "parameters": result.parameters,
                "macs": result.macs,
                "latency": result.latency,
                "verdict": _verdict_record(result.verdict),
            }
            for result in answer.results
        ],
    }


def _verdict_record(verdict: Verdict | None) -> dict[str, Any] | None:
    if verdict is None:
        return None
    difference = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(verdict.difference).items()
    }
    return {
        "answer": verdict.answer.value,
        "bound": verdict.bound,
        "more_seeds": verdict.more_seeds,
        **difference,
    }


def _headline(verdict: Verdict, answer: RunAnswer) -> str:
    found, arm = verdict.difference, printable(verdict.arm)
    against = "no attention"
    if verdict is answer.explained.get(TWIN):
        against = "no attention with the same recipe, though it differs from the best without"
    size = f"{against}, {_signed(found.mean)} points ({_interval(found)})"
    if verdict.answer is Answer.HELPS:
        return f"Attention helps here: {arm} against {size}."
    if verdict.answer is Answer.HURTS:
        return f"Attention hurts here: even the best, {arm}, against {size}."
    if verdict.answer is Answer.SAME:
        return (
            f"Attention makes no difference larger than {100 * (verdict.bound or 0):.2f} points "
            f"here: the best, {arm}, against {size}."
        )
    last = answer.looks[-1] - answer.comparison.seeds
    more = verdict.more_seeds
    if more is None:
        then = "No number of seeds tells this with these test images."
    elif more > last:
        then = (
            f"About {pluralize(more, 'more seed')} would tell; {last} more are planned. More test "
            "images help as well."
            if last
            else f"All {answer.looks[-1]} planned seeds are used: a difference, if there is one, "
            "lies within that interval."
        )
    else:
        then = f"About {pluralize(more, 'more seed')} would tell."
    if answer.chance is not None:
        then += (
            f" The last planned look, with {answer.looks[-1]} seeds, settles it with a chance of "
            f"{100 * answer.chance:.0f} %."
        )
    return f"Cannot tell yet whether attention helps here: {arm} against {size}. {then}"


_WIDER = "a wider network without attention and with as many parameters"
_AGAINST_WIDER = {
    Answer.HELPS: "what it gains is not due to parameters alone",
    Answer.HURTS: "the same parameters do more good as width",
    Answer.SAME: "width does as much as attention",
    Answer.UNKNOWN: "whether width would do as much cannot be told yet",
}


def _explanation(role: str, verdict: Verdict) -> str:
    found, arm = verdict.difference, printable(verdict.arm)
    size = f"{_signed(found.mean)} points ({_interval(found)})"
    if role == TWIN:
        return f"With the recipe of {arm}, attention changes test accuracy by {size}."
    if role == WIDER:
        return f"Against {_WIDER}, {arm} has {size}: {_AGAINST_WIDER[verdict.answer]}."
    so = {
        Answer.HELPS: "what it gains, it gains by looking at the image",
        Answer.HURTS: "looking at the image costs accuracy",
        Answer.SAME: "looking at the image changes nothing that matters",
        Answer.UNKNOWN: "whether looking at the image matters cannot be told yet",
    }[verdict.answer]
    return f"Against the same gates without sight of the image, {arm} has {size}: {so}."


def _signed(share: float) -> str:
    return f"{100 * share:+.2f}"


def _interval(found: Difference) -> str:
    if not math.isfinite(found.low):
        return "no interval: the scores never vary"
    return f"{100 * found.low:+.2f} to {100 * found.high:+.2f}"


def _p(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"
