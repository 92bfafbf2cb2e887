"""Whole searches in processes that die, or are refused an operation, at a chosen point."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.search.reliability.crash_points import BEFORE, CrashPoints, Operation
from tests.search.reliability.fork_server import Ended, forked
from tests.search.reliability.forked import CommandLine, everything, write_space


class Laboratory:
    """Searches of one space, each in a folder of its own and in a process that may die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.space = write_space(folder)
        self.operations: list[Operation] = []

    def search(
        self,
        name: str,
        at: int = -1,
        how: str = BEFORE,
        *more: object,
        refuse: int = 0,
        lasting: bool = False,
    ) -> Ended:
        """Searches; the process dies at operation `at`, or is refused it with an error."""
        root = self.folder / name
        (root / "runs").mkdir(parents=True, exist_ok=True)
        arguments: list[object] = ["--space", self.space, "--directory", root / "runs"]
        arguments += ["--workers", 2, "--verbose", *more]
        log = root / "operations.txt"
        points = CrashPoints(root / "runs", at, how, refuse, lasting, log)
        return forked(CommandLine(arguments, points, root / "trained.txt"), root / "said.txt")

    def untouched(self) -> dict[str, Any]:
        ended = self.search("untouched")
        assert ended.code == 0, ended.said
        self.operations = self.operations_of("untouched")
        return everything(self.run("untouched"))

    def operations_of(self, name: str) -> list[Operation]:
        """All operations of the searches of that name."""
        lines = (self.folder / name / "operations.txt").read_text().splitlines()
        fields = [line.split("\t") for line in lines]
        return [Operation(kind, path, int(size)) for kind, path, size in fields]

    def run(self, name: str) -> Path:
        return self.folder / name / "runs" / "small"

    def trained(self, name: str) -> list[tuple[str, int]]:
        path = self.folder / name / "trained.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(lineage, int(epoch)) for lineage, epoch in map(str.split, lines)]

    def forget(self, name: str) -> None:
        shutil.rmtree(self.folder / name)


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    return [
        f"{key}: {found[key]} is not {expected[key]}"[:2000]
        for key in expected
        if found[key] != expected[key]
    ]
