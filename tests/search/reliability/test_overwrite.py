"""A search that dies while `--overwrite` deletes a finished run: there is the old run or none.

The old run has another seed, so anything of it that were left would change the new one.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from search.runs.journal import encode
from tests.search.example import run as header
from tests.search.reliability.crash_points import AFTER, BEFORE, CRASHED, POWER
from tests.search.reliability.forked import everything
from tests.search.reliability.laboratory import Laboratory, differences

SAMPLE = 9


@dataclass(frozen=True)
class Demolition:
    """A laboratory with a finished run of another seed, and how both searches end."""

    laboratory: Laboratory
    old: dict[str, Any]
    new: dict[str, Any]

    def site(self, name: str) -> Path:
        """A fresh copy of the old run."""
        shutil.copytree(self.laboratory.run("old"), self.laboratory.run(name))
        return self.laboratory.run(name)

    def points(self) -> list[tuple[int, str]]:
        """Every way to die between the start and the first record of the new journal."""
        if not self.laboratory.run("counted").exists():
            self.site("counted")
            ended = self.laboratory.search("counted", -1, BEFORE, "--overwrite")
            assert ended.code == 0, ended.said
        operations = self.laboratory.operations_of("counted")
        names = [(each.kind, each.path) for each in operations]
        gone = names.index(("unlink", "small/journal.discarded"))
        begun = names.index(("create", "small/journal.jsonl"))
        assert names.index(("replace", "small/journal.discarded")) < gone < begun
        # What lies between is the data, whose crash points other tests have.
        numbers = [*range(gone + 3), begun, begun + 1]
        return [(number, how) for how in (BEFORE, AFTER, POWER) for number in numbers]

    def survives(self, at: int, how: str, again: bool) -> str:
        """Dies at one point, then goes on with or without `--overwrite`; what was wrong."""
        name = f"{how[0]}{at} {again}"
        path = self.site(name)
        died = self.laboratory.search(name, at, how, "--overwrite")
        if died.code != CRASHED:
            return f"exit code {died.code} where it should have died: {died.said}"
        whole = (path / "journal.jsonl").exists() and not died_after_birth(path)
        ended = self.laboratory.search(name, -1, BEFORE, *(["--overwrite"] if again else []))
        if "Traceback" in ended.said:
            return ended.said
        if whole and not again:
            expected, code = self.old, 5
            if "search.seed: 4 in the run, 3 now" not in ended.said:
                return f"it said {ended.said}"
        else:
            expected, code = self.new, 0
        if ended.code != code:
            return f"exit code {ended.code}: {ended.said}"
        wrong = differences(everything(path), expected)
        self.laboratory.forget(name)
        return "; ".join(wrong)


def died_after_birth(path: Path) -> bool:
    """Whether the journal is the new one, which has no finished trial yet."""
    return b'"type":"ended"' not in (path / "journal.jsonl").read_bytes()


@pytest.fixture(scope="module")
def demolition(tmp_path_factory: pytest.TempPathFactory) -> Demolition:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    new = laboratory.untouched()
    ended = laboratory.search("old", -1, BEFORE, "--seed", 4)
    assert ended.code == 0, ended.said
    return Demolition(laboratory, everything(laboratory.run("old")), new)


def survive_all(demolition: Demolition, points: list[tuple[int, str]]) -> None:
    wrong = []
    for at, how in points:
        for again in (False, True):
            fault = demolition.survives(at, how, again)
            if fault:
                operation = demolition.laboratory.operations_of("counted")[at]
                wrong.append(f"{how} operation {at}, {operation.kind} {operation.path}: {fault}")
    print(f"\n{len(points)} crash points: {dict(Counter(how for _, how in points))}")
    assert not wrong, f"{len(wrong)} faults:\n" + "\n".join(wrong[:20])


def test_the_two_runs_differ(demolition: Demolition) -> None:
    assert differences(demolition.old, demolition.new)


@pytest.mark.default
def test_crashes_at_a_sample_of_the_deletion(demolition: Demolition) -> None:
    points = demolition.points()
    step = len(points) / SAMPLE
    survive_all(demolition, [points[int(step * number)] for number in range(SAMPLE)])


@pytest.mark.slow
def test_crashes_at_every_point_of_the_deletion(demolition: Demolition) -> None:
    survive_all(demolition, demolition.points())


@pytest.mark.default
def test_a_damaged_run_can_be_overwritten(demolition: Demolition) -> None:
    """Which is what a person is told to do."""
    path = demolition.site("damaged")
    journal = (path / "journal.jsonl").read_bytes()
    (path / "journal.jsonl").write_bytes(b"x" + journal)
    ended = demolition.laboratory.search("damaged")
    assert ended.code == 5 and "start anew with --overwrite" in ended.said
    ended = demolition.laboratory.search("damaged", -1, BEFORE, "--overwrite")
    assert ended.code == 0, ended.said
    assert not differences(everything(path), demolition.new)


@pytest.mark.default
def test_links_are_deleted_and_not_followed(demolition: Demolition, tmp_path: Path) -> None:
    path = demolition.site("linked")
    (tmp_path / "thesis.tex").write_text("years of work")
    (path / "mine").symlink_to(tmp_path)
    shutil.rmtree(path / "best")
    (path / "best").symlink_to(tmp_path)
    ended = demolition.laboratory.search("linked", -1, BEFORE, "--overwrite")
    assert ended.code == 0, ended.said
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (path / "mine").is_symlink()  # it is none of the run's, and stays
    (path / "mine").unlink()
    assert not differences(everything(path), demolition.new)


def test_a_file_of_that_name_is_no_permission_to_delete(demolition: Demolition) -> None:
    path = demolition.laboratory.run("foreign")
    path.mkdir(parents=True)
    (path / "thesis.tex").write_text("years of work")
    (path / "journal.discarded").write_text("notes\n")
    for more in ([], ["--overwrite"]):
        ended = demolition.laboratory.search("foreign", -1, BEFORE, *more)
        assert ended.code == 5 and "journal.discarded" in ended.said, ended.said
    assert (path / "thesis.tex").read_text() == "years of work"


def test_a_journal_beside_a_discarded_one_is_the_run(demolition: Demolition) -> None:
    """Somebody has put a copy of it back."""
    path = demolition.site("put back")
    (path / "journal.discarded").write_bytes(encode(header()))
    ended = demolition.laboratory.search("put back", -1, BEFORE, "--seed", 4)
    assert ended.code == 0, ended.said
    (path / "journal.discarded").unlink()
    assert not differences(everything(path), demolition.old)
