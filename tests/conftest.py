"""A process has one Keras backend: the driver's where only the `search` suite runs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

SEARCH = Path(__file__).parent / "search"
STARTED = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--stop-after", type=float, metavar="SECONDS", help="start no test after so many seconds"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    limit = item.config.getoption("--stop-after")
    if limit is not None and time.monotonic() - STARTED > limit:
        pytest.skip("--stop-after: out of time")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Loads Keras on its own backend, before the `search` suite would on the driver's."""
    asked = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    if not all(path.is_relative_to(SEARCH) for path in asked):
        import keras  # noqa: F401
