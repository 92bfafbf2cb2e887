"""Keras on the driver's backend, unless another suite of the same process loaded it first."""

from __future__ import annotations

import pytest

from search.imports.keras_in_driver import import_keras_without_tensorflow


def pytest_configure(config: pytest.Config) -> None:
    """Comes before anything here imports `hypermodels`."""
    import_keras_without_tensorflow()
