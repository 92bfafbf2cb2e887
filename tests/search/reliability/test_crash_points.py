"""A search that dies at any operation on its run directory ends as one that did not.

The crash points are enumerated: the process ends before, after and halfway through every
write, and before and after every creation, fsync, truncation, rename, deletion and new
folder; and by a power loss, which takes with it all that was not fsynced.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from search.runs.journal import read_journal
from search.runs.layout import journal_path
from tests.search.reliability.crash_points import (
    AFTER,
    BEFORE,
    CRASHED,
    HALFWAY,
    POWER,
)
from tests.search.reliability.forked import everything
from tests.search.reliability.laboratory import Laboratory, differences

DEFAULT_POINTS = 40


@dataclass(frozen=True)
class Experiment:
    """A laboratory and how its search ends when nobody touches it."""

    laboratory: Laboratory
    expected: dict[str, Any]

    def points(self) -> list[tuple[int, str]]:
        """Every way to die."""
        numbered = list(enumerate(self.laboratory.operations))
        return [
            *((number, BEFORE) for number, _ in numbered),
            *((number, AFTER) for number, _ in numbered),
            *((number, HALFWAY) for number, each in numbered if each.size > 1),
            *((number, POWER) for number, _ in numbered),
        ]

    def survives(self, at: int, how: str) -> str:
        """Dies at one point and goes on; returns what was wrong, or an empty string."""
        laboratory, name = self.laboratory, f"{how[0]}{at}"
        died = laboratory.search(name, at, how)
        if died.code != CRASHED:
            return f"exit code {died.code} where it should have died: {died.said}"
        path = laboratory.run(name)
        records = read_journal(journal_path(path))[0] if journal_path(path).exists() else []
        trials = {record["trial"]: record for record in records if record["type"] == "trial"}
        finished = {
            (trials[record["trial"]]["lineage"], epoch)
            for record in records
            if record["type"] == "ended"
            for epoch in range(1, trials[record["trial"]]["epochs"] + 1)
        }
        before = laboratory.trained(name)
        again = laboratory.search(name)
        if again.code != 0 or "Traceback" in again.said:
            return f"exit code {again.code} when it went on: {again.said}"
        wrong = differences(everything(path), self.expected)
        records = read_journal(journal_path(path))[0]
        looks = [record["purpose"] for record in records if record["type"] == "test_read"]
        if looks != ["export of trial 0004"]:
            wrong.append(f"looks at the test images: {looks}")
        after = laboratory.trained(name)[len(before) :]
        if set(after) & finished:
            wrong.append(f"finished trials were trained again: {set(after) & finished}")
        lost = sum(count - 1 for count in Counter([*before, *after]).values())
        if lost > 1:
            wrong.append(f"{lost} epochs were lost")
        torn = how == HALFWAY and laboratory.operations[at].path == "small/journal.jsonl"
        if torn != ("torn last record" in again.said):
            wrong.append(f"a tear was {'not ' if torn else ''}reported: {again.said}")
        if torn != (path / "journal.torn").exists():
            wrong.append(f"a tear was {'not ' if torn else ''}kept")
        laboratory.forget(name)
        return "; ".join(wrong)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    return Experiment(laboratory, laboratory.untouched())


def survive_all(experiment: Experiment, points: list[tuple[int, str]]) -> None:
    wrong = []
    for at, how in points:
        fault = experiment.survives(at, how)
        if fault:
            operation = experiment.laboratory.operations[at]
            wrong.append(f"{how} operation {at}, {operation.kind} {operation.path}: {fault}")
    kinds = Counter(how for _, how in points)
    print(f"\n{len(points)} crash points of {len(experiment.points())}: {dict(kinds)}")
    assert not wrong, f"{len(wrong)} of {len(points)}:\n" + "\n".join(wrong[:20])


@pytest.mark.default
def test_there_is_something_to_compare_and_to_crash(experiment: Experiment) -> None:
    kinds = Counter(operation.kind for operation in experiment.laboratory.operations)
    assert set(kinds) >= {"create", "write", "fsync", "replace", "rename", "unlink", "mkdir"}
    assert len(experiment.laboratory.operations) > 300
    assert len(experiment.expected["trials"]) == 6
    assert any(row["parent"] for row in experiment.expected["trials"])
    assert {path.split("/")[0] for path in experiment.expected["files"]} >= {"best", "oracle.json"}


def test_what_is_compared_can_differ(experiment: Experiment) -> None:
    other = {**experiment.expected, "checkpoints": {}}
    assert differences(other, experiment.expected)


@pytest.mark.default
def test_an_export_that_is_broken_off_is_one_look_at_the_test_images(
    experiment: Experiment,
) -> None:
    """`survives` counts the looks."""
    names = [(each.kind, each.path) for each in experiment.laboratory.operations]
    asked = names.index(("mkdir", "small/best.partial")) + 2  # the record is in the journal
    published = names.index(("rename", "small/best"))
    exported = names.index(("fsync", "small/journal.jsonl"), published)
    survive_all(experiment, [(number, AFTER) for number in (asked, published, exported)])


@pytest.mark.default
def test_crashes_at_a_sample_of_all_points(experiment: Experiment) -> None:
    survive_all(experiment, random.Random(0).sample(experiment.points(), DEFAULT_POINTS))


@pytest.mark.slow
def test_crashes_at_every_point(experiment: Experiment) -> None:
    survive_all(experiment, experiment.points())


@pytest.mark.default
@pytest.mark.parametrize("seed", range(2))
def test_crashes_again_and_again(experiment: Experiment, seed: int) -> None:
    """Every attempt dies at a random point of what is left, until one has nothing left."""
    laboratory, name = experiment.laboratory, f"again{seed}"
    chance = random.Random(seed)
    crashes = 0
    while True:
        at, how = chance.randrange(120), chance.choice([BEFORE, AFTER, HALFWAY, POWER])
        ended = laboratory.search(name, at, how)
        if ended.code != CRASHED:
            break
        crashes += 1
        assert crashes < 200
    assert ended.code == 0, ended.said
    assert crashes >= 2
    lost = sum(count - 1 for count in Counter(laboratory.trained(name)).values())
    assert lost <= crashes
    assert not differences(everything(laboratory.run(name)), experiment.expected)
