"""The seconds of each phase of a worker's trial."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from search.messages import PHASES


class Stopwatch:
    """Adds up the seconds of each phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts the time that the block takes."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - began)

    def add(self, name: str, seconds: float) -> None:
        assert name in PHASES, f"{name} is no phase"
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
