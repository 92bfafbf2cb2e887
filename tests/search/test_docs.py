"""What the docs say of spaces and commands is what the program has."""

from __future__ import annotations

import re
from pathlib import Path

from hypermodels.backbones import families
from hypermodels.backbones.foreign.application_table import APPLICATIONS
from hypermodels.knobs import Knob
from hypermodels.settings.configuration import STAGE_WORDS
from search.space.definition import PLAIN_SECTIONS, PRESET_NAMES, tuned_sections
from search.space.loading import parse_space

ROOT = Path(__file__).parents[2]


def documented_keys(text: str) -> dict[str, set[str]]:
    """The first column of the tables under each heading of docs/spaces.md."""
    found: dict[str, set[str]] = {}
    heading = ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line[3:]
        match = re.match(r"\| `([\w.]+)` \|", line)
        if match:
            found.setdefault(heading, set()).add(match[1])
    return found


def test_every_key_of_a_space_is_documented() -> None:
    keys = documented_keys((ROOT / "docs" / "spaces.md").read_text())
    for name, section in tuned_sections().items():
        assert keys[name] == set(section.knobs())
    plain = {f"{name}.{knob.name}" for name, knobs in PLAIN_SECTIONS.items() for knob in knobs}
    assert keys["data, search, constraints, confirm, presets"] == plain | {"presets"}


def test_every_choice_is_documented() -> None:
    text = (ROOT / "docs" / "spaces.md").read_text()
    applications = (ROOT / "docs" / "backbones.md").read_text()
    knobs: list[Knob] = [
        knob for section in tuned_sections().values() for knob in section.knobs().values()
    ]
    for knob in (*knobs, *(knob for knobs in PLAIN_SECTIONS.values() for knob in knobs)):
        for choice in knob.choices:
            page = applications if knob.name == "application" else text
            assert f"`{choice}`" in page or str(choice).isdigit(), (knob.name, choice)
    assert all(f"`{name}`" in text for name in PRESET_NAMES)
    row = next(line for line in text.splitlines() if line.startswith("| `stages` |"))
    assert all(f"`{word}`" in row for word in STAGE_WORDS)


def test_every_family_is_documented_with_its_knobs_and_placements() -> None:
    page = (ROOT / "docs" / "spaces.md").read_text()
    text = page.partition("\n## Families\n")[2].partition("\n## ")[0]
    rows = {
        match[1]: [re.findall(r"`([^`]+)`", cell) for cell in match[2].split("|")]
        for match in re.finditer(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
        if match[1] in {entry.name for entry in families()}
    }
    assert list(rows) == [entry.name for entry in families()]
    for entry in families():
        _, knobs, placements = rows[entry.name]
        assert knobs == [knob.name for knob in entry.knobs if knob.name != "depth"]
        assert placements == list(entry.placements)


def test_every_application_is_documented_with_its_ports() -> None:
    text = (ROOT / "docs" / "backbones.md").read_text()
    told: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            names, ports, _ = line.strip("|").split("|")
            found = re.findall(r"`(\w+)`", ports)
            told |= dict.fromkeys(re.findall(r"`(\w+)`", names), found)
    assert told == {name: list(known.blocks.ports) for name, known in APPLICATIONS.items()}


def test_the_example_of_stages_is_what_the_page_says() -> None:
    text = (ROOT / "docs" / "backbones.md").read_text()
    match = re.search(r"<!-- per stage: begin -->\n```yaml\n(.*?)```", text, re.DOTALL)
    assert match is not None
    assert list(parse_space(match[1]).tuned()) == [
        "attention.stage2.type",
        "attention.stage2.reduction_ratio",
        "attention.stage3.type",
        "attention.stage3.reduction_ratio",
        "attention.stage3.spatial_kernel_size",
    ]


def test_readme_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
