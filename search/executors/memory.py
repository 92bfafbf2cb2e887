"""Whether another worker fits into memory.

A machine that runs out of memory kills a process, and which one is its own choice: a worker
in the middle of an epoch, or somebody's browser. So a worker is not started beside others
where the largest that was seen so far would not fit. What a worker needs shows while it
runs; before that, an assumption stands in.
"""

from __future__ import annotations

import os
from pathlib import Path

ASSUMED = 2**30
"""Bytes that a worker is taken to need as long as none was measured."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


class MemoryWatch:
    """Follows how much memory each worker has of its own.

    Args:
        root: Where the file system with `proc` and `sys` starts.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._base: dict[int, int] = {}
        self._own: dict[int, int] = {}
        self._largest = 0

    def started(self, process: int) -> None:
        """Notes a new worker. Its memory so far is shared with the fork server."""
        self._base[process] = _resident(self._root, process)
        self._own[process] = 0

    def ended(self, process: int) -> None:
        """A worker is gone; what it needed is remembered."""
        self._base.pop(process, None)
        self._own.pop(process, None)

    def look(self) -> None:
        """Measures all workers."""
        for process, base in self._base.items():
            self._own[process] = max(0, _resident(self._root, process) - base)
        self._largest = max(self._largest, *self._own.values(), 0)

    def room(self) -> bool:
        """Whether one more worker fits, once those that run have become as large as any was."""
        free = available(self._root)
        if free is None:
            return True
        need = self._largest or ASSUMED
        return free - sum(max(0, need - own) for own in self._own.values()) >= need


def available(root: Path = Path("/")) -> int | None:
    """Bytes that processes can still take, on the machine and in this process's container.

    Returns:
        The bytes, or `None` where the system does not say.
    """
    found = [value for value in (_of_machine(root), *_of_groups(root)) if value is not None]
    return min(found, default=None)


def _of_machine(root: Path) -> int | None:
    for line in _lines(root / "proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_groups(root: Path) -> list[int | None]:
    """What is left of the memory limits of this process's control groups, of both kinds."""
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            folder, limit, usage = root / "sys/fs/cgroup", "memory.max", "memory.current"
            cache = "inactive_file"
        elif "memory" in controllers.split(","):
            folder, limit, usage = (
                root / "sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
            )
            cache = "total_inactive_file"
        else:
            continue
        # In a container the path is often that of the host, and the limit stands at the top.
        for place in {folder / path.lstrip("/"), folder}:
            found.append(_left(place / limit, place / usage, place / "memory.stat", cache))
    return found


def _left(limit: Path, usage: Path, stat: Path, cache: str) -> int | None:
    allowed, used = _number(limit), _number(usage)
    if allowed is None or used is None:
        return None
    # Cached files count as used, and are given up as soon as memory is wanted.
    cached = [line.split()[1] for line in _lines(stat) if line.split()[:1] == [cache]]
    return max(0, allowed - used + sum(map(int, cached)))


def _resident(root: Path, process: int) -> int:
    fields = " ".join(_lines(root / f"proc/{process}/statm")).split()
    return int(fields[1]) * _PAGE if len(fields) > 1 else 0


def _number(path: Path) -> int | None:
    text = "".join(_lines(path))
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
