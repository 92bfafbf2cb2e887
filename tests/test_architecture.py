"""The house: which room may import from which, and the map of docs/architecture.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "docs" / "architecture.md").read_text("utf-8")

FORBIDDEN = {
    "hypermodels": ["search"],
    "hypermodels.attention": ["hypermodels.backbones", "hypermodels.graph"],
    "hypermodels.backbones": ["hypermodels.attention"],
    "hypermodels.graph": ["hypermodels.attention", "hypermodels.backbones"],
    "search.storage": ["hypermodels", "search.runs", "search.data", "search.display"],
    "search.algorithms": ["search.storage", "search.runs", "search.space", "search.data"],
    "search.space": ["search.runs", "search.candidates", "search.display"],
    "search.data": ["search.runs", "search.space", "search.display"],
    "search.runs": ["search.worker", "search.executors", "search.driver", "search.display"],
    "search.worker": ["search.driver", "search.display", "search.analysis", "search.executors"],
    "search.executors": ["search.driver", "search.display", "search.runs"],
    "search.driver": ["search.display", "search.cli", "search.analysis"],
    "search.analysis": ["search.display", "search.driver", "search.cli"],
    "search.display": ["search.cli", "search.executors"],
}
"""What a room must not know, directly; the test of circles keeps the rest."""


@cache
def modules() -> dict[str, Path]:
    """Every module of both packages, by its dotted name."""
    found = {}
    for package in ("search", "hypermodels"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def rooms() -> set[str]:
    """The packages within the two packages."""
    return {
        name
        for name, path in modules().items()
        if path.name == "__init__.py" and name.count(".") == 1
    }


def room(module: str) -> str:
    """The room a module is in: a package within a package, or the module itself at the top."""
    return ".".join(module.split(".")[:2])


def imported(path: Path) -> Iterator[str]:
    """The modules of ours that the code of a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            joined = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in modules() else node.module for name in joined]
        yield from (name for name in names if name in modules())


def arrows() -> dict[str, set[str]]:
    """Which rooms each room imports; the packages' own faces, which show all, apart."""
    found: dict[str, set[str]] = {}
    for name, path in modules().items():
        if "." not in name:
            continue
        found.setdefault(room(name), set()).update(room(other) for other in imported(path))
    faces = {"search", "hypermodels"}
    return {name: others - {name} - faces for name, others in found.items()}


def test_arrows_between_rooms_never_run_back() -> None:
    TopologicalSorter(arrows()).prepare()  # raises CycleError with the circle


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_a_room_does_not_know(name: str) -> None:
    for module, path in modules().items():
        if module == name or module.startswith(f"{name}."):
            for other in imported(path):
                for forbidden in FORBIDDEN[name]:
                    assert not f"{other}.".startswith(f"{forbidden}."), f"{module} imports {other}"


def test_every_room_says_what_is_inside() -> None:
    for name in rooms():
        assert ast.get_docstring(ast.parse(modules()[name].read_text("utf-8"))), name


def test_the_map_names_every_room_and_nothing_that_is_not_there() -> None:
    named = set(re.findall(r"`((?:search|hypermodels)/[\w/.]*)`", MAP))
    for path in named:
        assert (ROOT / path).exists(), f"docs/architecture.md names {path}, which is not there"
    for name in rooms():
        assert f"{name.replace('.', '/')}/" in named, f"docs/architecture.md leaves out {name}"


def test_few_modules_lie_at_the_top() -> None:
    top = [name for name, path in modules().items() if len(path.relative_to(ROOT).parts) == 2]
    assert len(top) <= 14, top


def test_every_slow_test_is_in_one_shard() -> None:
    lines = (ROOT / ".ci" / "slow-shards").read_text("utf-8").splitlines()
    named = [line.split()[1] for line in lines if not line.startswith("#")]
    asked = [sys.executable, "-m", "pytest", "-n", "0", "-m", "slow", "--collect-only"]
    asked += ["-o", "addopts=-q --import-mode=importlib"]
    collected = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    slow = re.findall(r"^(tests/\S+\.py::.+)$", collected, re.MULTILINE)
    assert slow
    for test in slow:
        shards = [each for each in named if test == each or test.startswith(f"{each}::")]
        assert len(shards) == 1, test
    for each in named:
        assert any(test == each or test.startswith(f"{each}::") for test in slow), each
    assert {line.split()[0] for line in lines if not line.startswith("#")} == set("1234")
