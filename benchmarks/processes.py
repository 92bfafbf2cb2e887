"""What the processes of a search use, read from /proc while it runs.

A worker is a fork of the fork server and starts with the server's pages, which both share
until one of them writes. Its resident memory says little: it counts the shared pages of the
framework too, and only those that the kernel has mapped so far, so that it is often less than
the server's. What a worker has beyond the framework's own is `Private_Dirty` of its
`smaps_rollup`: pages that no other process has and that the kernel could not read again from
a file, the copies of the server's pages that it has written to among them.

`VmHWM`, the peak of the resident memory, starts anew: with the inherited pages after a fork,
from nothing after an exec. It is exact, where the rest is sampled.
"""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.search.command import children, command, environment

INTERVAL = 0.1
"""Seconds between two samples."""

ROLLUP_SECONDS = 1.0
"""How often `smaps_rollup` is read, which takes ten milliseconds of a processor. Between,
what is still shared of the anonymous memory is taken to be what it was: it can only shrink,
by the pages that either side writes to."""


def megabytes(pid: int, file: str) -> dict[str, float]:
    """The sizes in `status` or `smaps_rollup` of a process; none where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines if line.endswith(" kB"))
    return {name.rstrip(":"): int(size) * 1024 / 1e6 for name, size, _ in pairs}


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far, its children's left out; also of a zombie."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_ended(pid: int) -> bool:
    """Whether a child has ended; it stays a zombie, whose times can still be read."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@dataclass
class Worker:
    """Peaks of a worker process, in MB.

    Attributes:
        own: Number, its private dirty memory, sampled.
        resident: Number, its resident memory, sampled.
        whole: Number, the same, exact up to the last sample.
    """

    own: float = 0.0
    resident: float = 0.0
    whole: float = 0.0
    shared: float = 0.0
    read_at: float = -ROLLUP_SECONDS

    def look(self, pid: int) -> None:
        """Takes a sample."""
        now = time.monotonic()
        if now > self.read_at + ROLLUP_SECONDS:
            rollup = megabytes(pid, "smaps_rollup")
            if rollup:
                self.read_at, self.shared = now, rollup["Anonymous"] - rollup["Private_Dirty"]
        status = megabytes(pid, "status")
        if "VmRSS" in status:
            self.own = max(self.own, status["RssAnon"] - self.shared)
            self.resident = max(self.resident, status["VmRSS"])
            self.whole = max(self.whole, status["VmHWM"])


@dataclass(frozen=True)
class Moment:
    """The driver at one moment; `trials` and such are counts of records in the journal."""

    seconds: float
    processor: float
    resident: float
    trials: int
    ended: int
    sessions: int


@dataclass
class Watch:
    """Samples of a search that runs, and of all processes that it has had.

    Args:
        driver: Integer, the process id of the command, a child of this process.
        journal: The search's journal; it need not be there yet.

    Attributes:
        workers: The children of the fork server, in the order in which they were forked.
        peak: Number, the driver's largest resident memory, exact.
        server: The fork server's resident memory, as often as it was seen to have workers.
    """

    driver: int
    journal: Path
    moments: list[Moment] = field(default_factory=list)
    workers: dict[int, Worker] = field(default_factory=dict)
    peak: float = 0.0
    server: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Takes a sample of every process."""
        for child in children(self.driver):
            forked = children(child)
            if forked:  # the other child, multiprocessing's resource tracker, has none
                self.server += [megabytes(child, "status").get("VmRSS", 0.0)]
            for pid in forked:
                self.workers.setdefault(pid, Worker()).look(pid)
        status = megabytes(self.driver, "status")
        if "VmRSS" in status:
            text = self.journal.read_bytes() if self.journal.exists() else b""
            counts = [
                text.count(b'"type":"%s"' % kind) for kind in (b"trial", b"ended", b"session")
            ]
            self.peak = max(self.peak, status["VmHWM"])
            processor = processor_seconds(self.driver)
            self.moments.append(Moment(time.monotonic(), processor, status["VmRSS"], *counts))


def watched(arguments: Sequence[object], journal: Path) -> tuple[Watch, float, float]:
    """Runs the command to its end on a terminal.

    Returns:
        What was seen of it, its seconds and its processor seconds from beginning to end.
    """
    ours, theirs = pty.openpty()
    began = time.monotonic()
    process = subprocess.Popen(
        command(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color"),
        start_new_session=True,
    )
    os.close(theirs)
    printed: list[bytes] = []
    threading.Thread(target=_read_all, args=(ours, printed), daemon=True).start()
    watch = Watch(process.pid, journal)
    while not has_ended(process.pid):
        watch.look()
        time.sleep(INTERVAL)
    seconds, used = time.monotonic() - began, processor_seconds(process.pid)
    if process.wait() != 0:
        raise SystemExit(b"".join(printed).decode(errors="replace"))
    return watch, seconds, used


def _read_all(terminal: int, into: list[bytes]) -> None:
    """Keeps the terminal from filling up, which would hold the search up."""
    with contextlib.suppress(OSError):  # how Linux says that nobody has it open any more
        while piece := os.read(terminal, 65536):
            into.append(piece)
