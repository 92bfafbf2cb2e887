"""Standard output that may go away: `| head`, a closed terminal, a full disk.

What is printed is for people. When nobody can read it any more, the work goes on.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any


class ForgivingStream:
    """A stream whose writes never fail; everything else is the stream's own.

    A character that its encoding lacks is written as an escape, such as `\\u4e2d`.

    Attributes:
        lost: The first error of a write, or `None`; from then on nothing is printed.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.lost: OSError | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            known = self._stream.encoding or "ascii"
            return self.write(text.encode(known, "backslashreplace").decode(known))
        except OSError as error:
            self._give_up(error)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.lost = self.lost or error
        # What the buffers still hold must go somewhere, or Python complains at its end.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def forgiving_streams() -> Iterator[ForgivingStream]:
    """Makes both standard streams forgiving while the block runs; yields standard output."""
    for descriptor in range(3):
        # One that was closed before the program began would be given to the next file.
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before = sys.stdout, sys.stderr
    output, errors = (
        ForgivingStream(stream or open(os.devnull, "w"))  # noqa: SIM115
        for stream in before
    )
    sys.stdout, sys.stderr = output, errors
    try:
        yield output
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def went_away(error: OSError) -> bool:
    """Whether the reader closed the pipe."""
    return error.errno == errno.EPIPE
