"""What mattered in a search, as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from search.analysis.importance import KnobImportance, MarginalMean
from search.display.console import cells, make_table, print_prose, print_table


def print_importance(
    console: Console, knobs: Sequence[KnobImportance], objective: str, epochs: int, count: int
) -> None:
    """Prints each knob with its importance, and below it the mean of each of its values."""
    table = make_table()
    for heading in ("knob", "importance", "10 to 90 %", "value", "trainings", objective, "95 %"):
        right = heading in ("importance", "trainings", objective)
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for knob in knobs:
        for number, mean in enumerate(knob.means):
            first = (knob.knob, _share(knob.importance), _range(knob.low, knob.high))
            table.add_row(*cells(*(first if not number else ("", "", "")), *_shown(mean)))
    print_table(console, table)
    print_prose(
        console,
        f"Of {count} trainings after {epochs} epochs, each with one seed and chosen by the "
        "search: this describes what the search saw, and proves nothing. Importance is a knob's "
        "share of what all knobs explain (PED-ANOVA); beside it is what resampled trainings give. "
        "A mean is that of all trainings with the value, whatever else they have.",
    )


def importance_record(knob: KnobImportance) -> dict[str, Any]:
    """A knob as plain values."""
    return {
        "knob": knob.knob,
        "trainings": knob.count,
        "importance": knob.importance,
        "low": knob.low,
        "high": knob.high,
        "values": [
            {
                "value": mean.value,
                "trainings": mean.count,
                "mean": mean.mean,
                "low": mean.low if math.isfinite(mean.low) else None,
                "high": mean.high if math.isfinite(mean.high) else None,
            }
            for mean in knob.means
        ],
    }


def _shown(mean: MarginalMean) -> tuple[str, str, str, str]:
    interval = f"{mean.low:.3f} to {mean.high:.3f}" if math.isfinite(mean.low) else ""
    return mean.value, str(mean.count), f"{mean.mean:.4f}", interval


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.2f}"


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.2f} to {high:.2f}"
