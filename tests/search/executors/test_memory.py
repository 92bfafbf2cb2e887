"""Workers are started beside others only where they fit into memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.executors.memory import ASSUMED, MemoryWatch, available
from search.runs.journal import read_journal
from tests.search.reliability import sabotage
from tests.search.reliability.forked import everything, write_space
from tests.search.reliability.laboratory import differences

GIB = 2**30
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def system(tmp_path: Path) -> Callable[..., Path]:
    """Writes files of `proc` and `sys`; returns their root."""

    def written(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return written


def meminfo(free: int) -> str:
    return f"MemTotal: {2 * free // 1024} kB\nMemFree: 12 kB\nMemAvailable: {free // 1024} kB\n"


def write_resident(root: Path, process: int, size: int) -> None:
    folder = root / "proc" / str(process)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "statm").write_text(f"99999999 {size // PAGE} 100 1 0 5 0\n")


def test_what_the_machine_has(system: Callable[..., Path]) -> None:
    assert available(system(proc__meminfo=meminfo(3 * GIB))) == 3 * GIB
    found = available()
    assert found is not None and 0 < found < 2**50


def test_a_system_that_does_not_say_has_room(tmp_path: Path) -> None:
    assert available(tmp_path) is None
    assert MemoryWatch(tmp_path).room()


@pytest.mark.parametrize(
    "files",
    [
        {
            "proc__self__cgroup": "0::/a/b\n",
            "sys__fs__cgroup__a__b__memory.max": str(2 * GIB),
            "sys__fs__cgroup__a__b__memory.current": str(GIB),
            "sys__fs__cgroup__a__b__memory.stat": f"anon 5\ninactive_file {GIB // 2}\n",
        },
        {  # as seen from inside of a container
            "proc__self__cgroup": "4:cpu,memory:/docker/123\n0::/\n",
            "sys__fs__cgroup__memory__memory.limit_in_bytes": str(2 * GIB),
            "sys__fs__cgroup__memory__memory.usage_in_bytes": str(GIB),
            "sys__fs__cgroup__memory__memory.stat": f"total_inactive_file {GIB // 2}\n",
        },
    ],
)
def test_limits_of_a_container(files: dict[str, str], system: Callable[..., Path]) -> None:
    root = system(proc__meminfo=meminfo(64 * GIB), **files)
    assert available(root) == GIB + GIB // 2


def test_a_container_without_a_limit(system: Callable[..., Path]) -> None:
    files: dict[str, Any] = {"sys__fs__cgroup__memory.max": "max\n"}
    root = system(proc__meminfo=meminfo(GIB), proc__self__cgroup="0::/\n", **files)
    assert available(root) == GIB


def test_room_is_what_the_largest_worker_needed(system: Callable[..., Path]) -> None:
    root = system(proc__meminfo=meminfo(ASSUMED - PAGE))
    watch = MemoryWatch(root)
    assert not watch.room()  # for a worker of which nothing is known
    write_resident(root, 7, GIB // 4)
    watch.started(7)
    write_resident(root, 7, GIB // 2)
    watch.look()  # it needs a quarter, as the other quarter is shared
    assert watch.room()
    system(proc__meminfo=meminfo(GIB // 4 - PAGE))
    assert not watch.room()
    watch.ended(7)
    assert not watch.room()  # it is remembered


def test_workers_that_have_not_grown_yet_are_reckoned_with(system: Callable[..., Path]) -> None:
    root = system(proc__meminfo=meminfo(3 * GIB))
    watch = MemoryWatch(root)
    for process, grown in ((7, 2 * GIB), (8, GIB)):
        write_resident(root, process, GIB)
        watch.started(process)
        write_resident(root, process, GIB + grown)
    watch.look()
    assert watch.room()  # the second grows by one more, the third by two
    system(proc__meminfo=meminfo(3 * GIB - PAGE * 2))
    assert not watch.room()


def running_at_once(run: Path) -> int:
    """The most trials that had been handed out and had not ended."""
    count = most = 0
    for record in read_journal(run / "journal.jsonl")[0]:
        count += {"trial": 1, "ended": -1}.get(str(record["type"]), 0)
        most = max(most, count)
    return most


def test_the_result_does_not_depend_on_memory(tmp_path: Path) -> None:
    space = write_space(tmp_path)
    found: list[dict[str, Any]] = []
    for name, free in (("plenty", 2**40), ("little", 0)):
        arguments = ("--space", space, "--directory", tmp_path / name, "--workers", 3)
        said = sabotage.run(*arguments, FREE_MEMORY=str(free), EPOCH_SECONDS="0.02").stdout
        assert ("Too little memory for 3 trials at once" in said) == (name == "little")
        path = tmp_path / name / space.stem
        found.append(everything(path))
        assert (running_at_once(path) > 1) == (name == "plenty")
    assert not differences(found[1], found[0])
