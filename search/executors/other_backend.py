"""A worker on another Keras backend than the search: a process of its own from the start.

The fork server has imported Keras on the backend that the search trains on, and a backend
is chosen once in a process. What needs TensorFlow, the writing of a SavedModel, is started
apart where that is another one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Iterator
from multiprocessing.context import SpawnContext
from pathlib import Path

from search.executors.fork_server import standard_error
from search.imports.clean_start import clean_start
from search.imports.keras_in_driver import keras_backend


def context_for(backend: str) -> SpawnContext | None:
    """What starts a process for a task that needs a backend; `None` if a fork will do.

    Args:
        backend: The Keras backend; empty for whichever the search has.
    """
    if backend in ("", keras_backend()):
        return None
    return multiprocessing.get_context("spawn")


@contextlib.contextmanager
def on_backend(backend: str, log: Path) -> Iterator[None]:
    """Processes that start in the block have a Keras backend.

    Args:
        backend: The Keras backend.
        log: File that takes what they print before they have a log of their own.
    """
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = backend
    try:
        with standard_error(log), clean_start():
            yield
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before
