"""Signals such as Ctrl-C: the first asks for an orderly end, later ones are ignored."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked for the end. `exit_code` is 128 plus its number, as shells have it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Signals:
    """Remembers the first signal; `check` turns it into `Interrupted`.

    Nothing is interrupted in the middle of a write: the driver looks here between events.
    """

    def __init__(self) -> None:
        self._received: int | None = None

    @contextmanager
    def caught(self) -> Iterator[Signals]:
        """Catches the signals while the block runs."""
        before = {number: signal.signal(number, self._remember) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _remember(self, number: int, _: Any) -> None:
        if self._received is None:
            self._received = number

    def check(self) -> None:
        """Raises `Interrupted` if a signal came."""
        if self._received is not None:
            raise Interrupted(self._received)
