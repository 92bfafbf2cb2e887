"""Signals, a reader that goes away, a terminal that changes its size: nothing is lost."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from tests.search.command import wait_for_epochs, worker_processes
from tests.search.reliability import sabotage
from tests.search.reliability.forked import everything
from tests.search.reliability.laboratory import differences

SLOWLY = {"EPOCH_SECONDS": "2"}


def options(space: Path, directory: Path) -> list[object]:
    return ["--space", space, "--directory", directory, "--name", "run", "--workers", 2]


@pytest.mark.parametrize(
    ("number", "whom"),
    [
        pytest.param(signal.SIGINT, "group", marks=pytest.mark.default),
        (signal.SIGTERM, "group"),
        (signal.SIGHUP, "driver"),
        (signal.SIGHUP, "group"),
        (signal.SIGTERM, "driver"),
        (signal.SIGINT, "driver"),
    ],
)
def test_signals_end_the_search_in_order(
    number: signal.Signals, whom: str, space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    """To the driver alone, as `kill` does it, and to all of it, as terminals and systemd do."""
    arguments, log = options(space, tmp_path), tmp_path / "log.txt"
    process = sabotage.start(*arguments, log=log, **SLOWLY)
    assert wait_for_epochs(process, tmp_path / "run", 2), log.read_text()
    while not worker_processes(process.pid):
        assert process.poll() is None
    began = time.monotonic()
    for _ in range(2):  # an impatient second one changes nothing
        (os.kill if whom == "driver" else os.killpg)(process.pid, number)
    assert process.wait(timeout=120) == 128 + number, log.read_text()
    assert time.monotonic() - began < 30  # the search would go on for longer
    said = log.read_text()
    assert "Traceback" not in said and "run the same command again" in said
    assert (tmp_path / "run" / "summary.md").exists()
    assert b'"death"' not in (tmp_path / "run" / "journal.jsonl").read_bytes()
    sabotage.run(*arguments)
    assert not differences(everything(tmp_path / "run"), untouched)


@pytest.mark.parametrize("lines", [1, 4])
def test_a_reader_that_reads_no_further(
    lines: int, space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    """As `cbam-search ... | head -1` has it; the search goes on to its end."""
    process = subprocess.Popen(
        sabotage.command(*options(space, tmp_path), "--verbose"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=sabotage.environment(),
    )
    assert process.stdout is not None and process.stderr is not None
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0
    assert not differences(everything(tmp_path / "run"), untouched)


@pytest.mark.parametrize("command", [["--help"], ["summary", "RUN", "--format", "json"]])
def test_other_commands_with_nobody_who_reads(
    command: list[str], home: Path, untouched: dict[str, Any]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    arguments = [str(home / "untouched") if each == "RUN" else each for each in command]
    done = subprocess.run(
        sabotage.command(*arguments),
        stdout=writer,
        stderr=subprocess.PIPE,
        env=sabotage.environment(),
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_no_standard_streams_at_all(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    line = sabotage.command(*options(space, tmp_path), "--verbose")
    done = subprocess.run(
        ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *line], env=sabotage.environment(), timeout=120
    )
    assert done.returncode == 0
    assert not differences(everything(tmp_path / "run"), untouched)


def test_a_result_that_finds_no_room_is_an_error(home: Path, untouched: dict[str, Any]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            sabotage.command("summary", home / "untouched", "--format", "json"),
            stdout=full,
            stderr=subprocess.PIPE,
            env=sabotage.environment(),
        )
    assert done.returncode == 7
    assert done.stderr == b"cbam-search: cannot print: No space left on device.\n"


class Terminal:
    """A search on a terminal of its own."""

    def __init__(self, arguments: list[object], **extra: str) -> None:
        self.master, slave = pty.openpty()
        self.resize(30, 120)
        self.process = subprocess.Popen(
            sabotage.command(*arguments),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**sabotage.environment(**extra), "TERM": "xterm-256color", "COLUMNS": ""},
            start_new_session=True,
        )
        os.close(slave)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds: float) -> None:
        """Reads what is shown for some time, or until the program has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:  # the other side has closed it
                    return


def test_a_terminal_that_changes_its_size(
    space: Path, untouched: dict[str, Any], tmp_path: Path
) -> None:
    terminal = Terminal(options(space, tmp_path), **SLOWLY)
    sizes = [(24, 80), (5, 20), (1, 1), (100, 300), (2, 200), (30, 120)]
    deadline = time.monotonic() + 60
    while terminal.process.poll() is None and time.monotonic() < deadline:
        terminal.resize(*sizes[int(time.monotonic() * 10) % len(sizes)])
        os.kill(terminal.process.pid, signal.SIGWINCH)
        terminal.read(0.2)
    assert terminal.process.wait(timeout=60) == 0, terminal.seen
    assert b"Traceback" not in terminal.seen
    assert b"running" in terminal.seen
    # It may have been one column wide when this was printed.
    assert b"Exportedtrial" in b"".join(terminal.seen.split()), terminal.seen[-2000:]
    assert not differences(everything(tmp_path / "run"), untouched)


def test_a_terminal_that_is_closed(space: Path, untouched: dict[str, Any], tmp_path: Path) -> None:
    terminal = Terminal(options(space, tmp_path), **SLOWLY)
    while b"running" not in terminal.seen and terminal.process.poll() is None:
        terminal.read(0.2)
    began = time.monotonic()
    os.close(terminal.master)  # who has no terminal of its own gets no SIGHUP
    os.kill(terminal.process.pid, signal.SIGHUP)
    assert terminal.process.wait(timeout=120) == 129
    assert time.monotonic() - began < 30  # the search would go on for longer
    sabotage.run(*options(space, tmp_path))
    assert not differences(everything(tmp_path / "run"), untouched)
