"""Two hundred trials in a row: no memory, file descriptor or process is left behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.search.command import members
from tests.search.reliability import sabotage
from tests.search.reliability.forked import write_space

ALLOWED_MB = 20.0


def resident(pid: int) -> float:
    """Megabytes of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.slow
def test_two_hundred_trials(tmp_path: Path) -> None:
    space = write_space(tmp_path, hyperband_iterations=34)
    text = space.read_text().replace("reduction_ratio: {choice: [2, 4]}", "mlp_bias: true")
    text += "recipe: {learning_rate: {float: [0.01, 1.0], sampling: log}}\n"
    space.write_text(text)
    arguments = ["--space", space, "--directory", tmp_path, "--name", "run", "--workers", 2]
    process = sabotage.start(*arguments, log=tmp_path / "log.txt")
    journal, seen = tmp_path / "run" / "journal.jsonl", []
    while process.poll() is None:
        time.sleep(0.25)
        ended = journal.read_bytes().count(b'"type":"ended"') if journal.exists() else 0
        try:
            measured = (resident(process.pid), descriptors(process.pid), members(process.pid))
        except (OSError, IndexError):
            break
        if ended and measured[0] > 0:
            seen.append((ended, *measured))
    assert process.wait() == 0, (tmp_path / "log.txt").read_text()
    deadline = time.monotonic() + 5  # the fork server notices by itself
    while members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert members(process.pid) == 0
    trials = journal.read_bytes().count(b'"type":"ended"')
    assert trials >= 200
    early = [each for each in seen if 10 <= each[0] <= 40]
    late = [each for each in seen if each[0] >= trials - 20]
    memory = max(each[1] for each in late) - min(each[1] for each in early)
    # A worker at work holds five descriptors, so the most at once says how many were seen at work;
    # what is left behind raises the least, which is seen between two trials and in the export.
    files = min(each[2] for each in late) - min(each[2] for each in early)
    processes = max(each[3] for each in seen)
    print(
        f"\n{trials} trials: the driver grew by {memory:.1f} MB to {late[-1][1]:.0f} MB and by "
        f"{files} file descriptors; {processes} processes at most"
    )
    assert memory < ALLOWED_MB
    assert files <= 2
    assert processes <= 6  # driver, resource tracker, fork server, two workers, one to come
