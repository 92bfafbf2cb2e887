"""The public face: what README and docs import, and that importing `search` costs nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hypermodels
import search


def test_every_public_name_is_there() -> None:
    for package in (hypermodels, search):
        for name in package.__all__:
            assert getattr(package, name) is not None, name
    assert not hasattr(hypermodels, "no_such_name") and not hasattr(search, "no_such_name")


def test_importing_search_loads_no_framework() -> None:
    code = (
        "import search, sys; print(sorted({'keras', 'tensorflow', 'numpy', 'yaml'} & "
        "set(sys.modules)))\n"
        "search.load_space('quickstart'); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=True,
    )
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_the_paths_that_version_0_3_0_documented_still_import() -> None:
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "import hypermodels\n"
            "from hypermodels.hypermodel import ResNetV1HyperModel\n"
            "from hypermodels.knobs import Choice\n"
            "from hypermodels.network import ImageSpec\n"
            "from hypermodels.recipe import Budget\n"
            "print(ImageSpec is hypermodels.ImageSpec, Budget is hypermodels.Budget)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.split() == ["True", "True"]
