"""Reports on standard error any step that takes longer than two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

FIRST_AFTER_SECONDS = 2.0
EVERY_SECONDS = 5.0


class Narrator:
    """Called with what is being done, how much of it is done and how much there is.

    Nothing is said of what is quick.

    Args:
        check: Called every time, and may raise to end the step. Defaults to nothing.
    """

    def __init__(self, check: Callable[[], object] = lambda: None) -> None:
        self._check = check
        self._what = ""
        self._next = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        self._check()
        now = time.monotonic()
        if what != self._what:
            self._what, self._next = what, now + FIRST_AFTER_SECONDS
        elif now >= self._next:
            self._next = now + EVERY_SECONDS
            print(f"{what}: {done:,} of {total:,}.", file=sys.stderr, flush=True)
