"""Fault injection takes minutes: it runs with `pytest -m slow`, but for what is marked `default`.

Every kind of fault has one test of that mark, so that the default command meets all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("default"):
            item.add_marker(pytest.mark.slow)


# Imported when they are asked for: the folder is collected before Keras has its backend.


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def space(home: Path) -> Path:
    """A small space whose searches `sabotage.py` can make slow, or fail."""
    from tests.search.reliability.forked import write_space

    return write_space(home)


@pytest.fixture(scope="module")
def untouched(home: Path, space: Path) -> dict[str, Any]:
    """All of a run of the space to which nothing happened."""
    from tests.search.reliability import sabotage
    from tests.search.reliability.forked import everything

    sabotage.run("--space", space, "--directory", home, "--name", "untouched")
    return everything(home / "untouched")
