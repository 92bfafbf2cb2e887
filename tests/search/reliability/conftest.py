"""Fault injection takes minutes: it runs with `pytest -m slow`, but for what is marked `default`.

Every kind of fault has one test of that mark, so that the default command meets all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("default"):
            item.add_marker(pytest.mark.slow)
