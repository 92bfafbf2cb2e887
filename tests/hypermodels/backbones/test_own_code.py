"""Modules of the current folder: the person's are found, and nobody else's name is taken."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hypermodels.backbones.foreign.sources import imported, source_files
from hypermodels.errors import BackboneError

NETWORK = "def build(shape, classes):\n    return {}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "owner"),
    [
        ("random", "Python's standard library"),
        ("types", "Python's standard library"),
        ("queue", "Python's standard library"),
        ("time", "Python's standard library"),  # built in
        ("search", "cbam-search itself"),
        ("hypermodels", "cbam-search itself"),
        ("keras", "an installed package"),
        ("yaml", "an installed package"),
    ],
)
@pytest.mark.parametrize("package", [False, True])
def test_a_name_that_is_taken_is_refused(name: str, owner: str, package: bool, here: Path) -> None:
    path = here / name / "__init__.py" if package else here / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("raise SystemExit('this was run')\n")
    with pytest.raises(BackboneError, match=f"the name {name} is taken by {owner}.*Rename it"):
        imported(f"{name}:build")
    assert source_files(name) == ()


@pytest.mark.parametrize("name", ["models", "utils", "nets", "train", "my_random"])
def test_a_name_that_is_nobody_s_is_found(name: str, here: Path) -> None:
    (here / f"{name}.py").write_text(NETWORK.format(f"'{name}'"))
    assert imported(f"{name}:build")((1, 1, 3), 2) == name
    assert source_files(name) == (Path(f"{name}.py"),)
    assert str(here) not in sys.path and "" not in sys.path


def test_a_module_s_own_imports(here: Path) -> None:
    """Siblings, packages, relative ones, late ones, by name: found; taken names: not."""
    for name in ("random", "json", "numpy"):
        (here / f"{name}.py").write_text("raise SystemExit('this was run')\n")
    (here / "first_helper.py").write_text("import random\nfrom own_package import deep\nx = 1\n")
    (here / "own_package").mkdir()
    (here / "own_package" / "__init__.py").write_text("")
    (here / "own_package" / "deep.py").write_text("from . import deeper\nimport json\n")
    (here / "own_package" / "deeper.py").write_text("y = 2\n")
    (here / "no_package").mkdir()
    (here / "no_package" / "inside.py").write_text("z = 3\n")
    (here / "late_helper.py").write_text("import second_late_helper\nw = 4\n")
    (here / "second_late_helper.py").write_text("")
    (here / "own_net.py").write_text(
        "import importlib, numpy, random\nimport first_helper\n"
        "import no_package.inside as inside\n"
        "def build(shape, classes):\n"
        "    from late_helper import w\n"
        "    named = importlib.import_module('named_' + 'helper')\n"
        "    return first_helper.x, inside.z, w, named.v, numpy.__name__, random.random() < 1\n"
    )
    (here / "named_helper.py").write_text("v = 5\n")
    assert imported("own_net:build")((1, 1, 3), 2) == (1, 3, 4, 5, "numpy", True)
    assert {path.as_posix() for path in source_files("own_net")} == {
        "own_net.py",
        "first_helper.py",
        "own_package/__init__.py",
        "own_package/deep.py",
        "own_package/deeper.py",
        "no_package/inside.py",
        "late_helper.py",
        "second_late_helper.py",
    }


def test_a_package_s_module(here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "__init__.py").write_text("from .deep import build\n")
    (here / "mine" / "deep.py").write_text(NETWORK.format(7))
    assert imported("mine.deep:build")((1, 1, 3), 2) == 7
    assert imported("mine:build")((1, 1, 3), 2) == 7
    assert source_files("mine") == (Path("mine/__init__.py"), Path("mine/deep.py"))
    assert source_files("mine.deep") == (Path("mine/__init__.py"), Path("mine/deep.py"))


def test_what_others_look_for_is_not_found_here(here: Path) -> None:
    """As a library does that looks whether another is installed."""
    (here / "optional_library.py").write_text("raise SystemExit('this was run')\n")
    (here / "own_net.py").write_text(NETWORK.format(1))
    imported("own_net:build")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("optional_library")


def test_a_module_that_puts_its_folder_first(here: Path) -> None:
    (here / "own_net.py").write_text(
        "import os, sys\nsys.path.insert(0, os.path.dirname(__file__))\nsys.path.append('.')\n"
        "sys.path.append('/somewhere/else')\nimport beside\n" + NETWORK.format(1)
    )
    (here / "beside.py").write_text("")
    imported("own_net:build")
    assert str(here) not in sys.path and "." not in sys.path
    assert "/somewhere/else" in sys.path


def test_a_folder_that_is_installed_as_it_is(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with `pip install -e .`: who has the name is the very same file."""
    (here / "own_net.py").write_text(NETWORK.format(1))
    monkeypatch.setattr(sys, "path", [*sys.path, str(here)])
    assert imported("own_net:build")((1, 1, 3), 2) == 1


def test_a_stray_folder_of_an_installed_package(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without `__init__.py` elsewhere takes no name from a module."""
    installed = tmp_path_factory.mktemp("site")
    (installed / "models").mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    (here / "models.py").write_text(NETWORK.format(3))
    assert imported("models:build")((1, 1, 3), 2) == 3


def test_the_folder_goes_off_the_path(tmp_path: Path) -> None:
    """Whatever put it there; the program itself is still found where it lies in that folder."""
    program = (
        "import sys; sys.path[:0] = ['', '.', {0!r}, {0!r} + '/']; "
        "from search.imports.import_path import forget_current_folder, is_current_folder; "
        "forget_current_folder(); print([e for e in sys.path if is_current_folder(e)]); "
        "import search.errors"
    )
    root = str(Path(__file__).parents[3])
    for folder, left in ((str(tmp_path), "[]"), (root, f"[{root!r}]")):
        said = subprocess.run(
            [sys.executable, "-c", program.format(folder)],
            cwd=folder,
            env={"PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert said.strip() == left
