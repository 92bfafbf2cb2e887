"""The table of docs/attention.md is what the mechanisms have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hypermodels.attention import Mechanism, mechanisms
from hypermodels.knobs import join_values
from hypermodels.settings.presets import PRESETS

DOCS = Path(__file__).parents[2] / "docs" / "attention.md"
LAYERED = tuple(entry for entry in mechanisms() if entry.layer is not None)


def rows() -> dict[str, list[str]]:
    """The table's cells by attention type."""
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def test_every_type_has_its_row() -> None:
    assert set(rows()) == {entry.name for entry in LAYERED}


@pytest.mark.parametrize("entry", LAYERED, ids=lambda entry: entry.name)
def test_a_row_is_what_the_mechanism_has(entry: Mechanism) -> None:
    assert entry.layer is not None
    paper, _, knobs, parameters, presets = rows()[entry.name]
    assert re.fullmatch(r"\[[^\]]+\d{4}\]\(https://[^)]+\)", paper)
    assert paper[1:].split(" et ")[0].split(" and ")[0] in entry.reference
    assert knobs == ", ".join(
        f"`{knob.name}` {join_values([knob.default])}" for knob in entry.knobs
    )
    count = entry.layer.parameters((16, 16, 64), entry.settings({}))
    assert parameters == f"{count:,}"
    own = [name for name, settings in PRESETS.items() if settings["type"] == entry.name]
    assert presets == ", ".join(f"`{name}`" for name in own)
