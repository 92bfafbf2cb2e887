"""Run directories that were damaged, or come from a stranger: named errors, nothing else.

Every verb meets every entry of a finished and of a stopped run with everything in its place
that `run_damage.py` knows: changed bytes, forged records with checksums that hold, links,
FIFOs, devices, second names. Whatever happens, the exit code is a documented one, no
traceback is shown, it ends soon, nothing is executed, and nothing outside is changed. What
only reads a run changes nothing inside either.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from search import errors
from search.runs.journal import encode, read_journal
from search.storage.entries import FILE, FOLDER, kind_of
from tests.search.command import Payload
from tests.search.reliability.crash_points import CRASHED
from tests.search.reliability.fork_server import Ended, forked
from tests.search.reliability.forked import CommandLine
from tests.search.reliability.laboratory import Laboratory
from tests.search.reliability.run_damage import (
    A_FOLDER,
    ANOTHERS,
    BYTES,
    ENTRIES,
    FOR_FILES,
    FOR_FOLDERS,
    Canary,
    Damage,
    tree,
)

DOCUMENTED = {0, 130, 143} | {
    error.exit_code
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.CbamSearchError)
} - {1}

VERBS: dict[str, list[object]] = {
    "verify": ["verify", "RUN"],
    "search": ["--space", "SPACE", "--directory", "RUNS", "--workers", 2, "--verbose"],
    "export": ["export", "RUN"],
    "repair": ["verify", "RUN", "--repair"],
    "summary": ["summary", "RUN"],
    "overwrite": ["--space", "SPACE", "--directory", "RUNS", "--verbose", "--overwrite"],
    "csv": ["summary", "RUN", "--format", "csv"],
    "markdown": ["summary", "RUN", "--format", "markdown"],
    "json": ["summary", "RUN", "--format", "json"],
}
READING = ("verify", "summary", "csv", "markdown", "json")

PLANTED = {
    "compiled": FOR_FOLDERS,
    "best": FOR_FOLDERS,
    "best.partial": FOR_FOLDERS,
    "best.old": FOR_FOLDERS,
    "rehearsal": FOR_FOLDERS,
    "best/saved_model/variables": FOR_FOLDERS,
    "journal.torn": [A_FOLDER, ANOTHERS],
    "journal.discarded": [A_FOLDER, ANOTHERS],
    ".oracle.json.123.tmp": [A_FOLDER, ANOTHERS],
    "checkpoints/.0000.npz.123.tmp": [ANOTHERS],
}
"""Entries that a run has at times, or that a name of ours would be given to."""

OF_NOBODY = ".oracle.json.123.tmp"


@dataclass(frozen=True)
class Case:
    """One verb that meets one damaged entry.

    Args:
        finished: Boolean, whether the run is finished, or was stopped.
        entry: String, the entry's path in the run directory.
        damage: What is done to it.
        verb: String, a key of `VERBS`.
        number: Integer, the seed of what is drawn.
    """

    finished: bool
    entry: str
    damage: Damage
    verb: str
    number: int

    def __str__(self) -> str:
        state = "finished" if self.finished else "stopped"
        return f"{self.verb} of a {state} run, {self.entry}: {self.damage.name} [{self.number}]"


class Target:
    """Run directories to be spoiled, one finished and one broken off, and their space."""

    def __init__(self, folder: Path) -> None:
        self.laboratory = Laboratory(folder)
        self.laboratory.untouched()
        operations = self.laboratory.operations
        middle = [
            number
            for number, operation in enumerate(operations)
            if operation.path == "small/checkpoints/0003.npz"
        ][0]
        assert self.laboratory.search("broken off", middle).code == CRASHED
        self.runs = [self.laboratory.run("untouched"), self.laboratory.run("broken off")]
        self.space = self.laboratory.space
        self.work = folder / "work"
        self.canary = Canary(folder / "canary")

    def copied(self, finished: bool) -> Path:
        """A fresh copy of a run directory, and a fresh canary."""
        if self.work.exists():
            shutil.rmtree(self.work)
        path = self.work / "runs" / "small"
        shutil.copytree(self.runs[0 if finished else 1], path)
        self.canary = Canary(self.canary.folder)
        return path

    def said(self, run: Path, verb: str) -> Ended:
        """What a verb answers on a run directory."""
        places: dict[object, object] = {"RUN": run, "SPACE": self.space, "RUNS": run.parent}
        arguments = [places.get(argument, argument) for argument in VERBS[verb]]
        return forked(CommandLine(arguments), self.work / "said.txt")

    def cases(self) -> list[Case]:
        """Everything in the place of everything, for every verb, in an order by lot."""
        cases = []
        for finished in (True, False):
            run = self.runs[0 if finished else 1]
            for path in sorted({*run.rglob("*"), *(run / name for name in PLANTED)}):
                kind, name = kind_of(path), str(path.relative_to(run))
                there = {FILE: FOR_FILES + BYTES, FOLDER: FOR_FOLDERS, "": PLANTED.get(name, [])}
                cases += [
                    (finished, name, damage, verb)
                    for damage in ENTRIES + there[kind]
                    for verb in VERBS
                    # Bytes do not lead a deletion astray.
                    if verb != "overwrite" or damage not in BYTES
                ]
        random.Random(11).shuffle(cases)
        return [Case(*case, number) for number, case in enumerate(cases)]

    def meets(self, case: Case) -> Iterator[str]:
        """Has a verb meet what a case says; yields what is wrong."""
        run = self.copied(case.finished)
        case.damage.apply(run / case.entry, random.Random(case.number), self.canary)
        yield from self.asked(run, case.verb, self._expected(case))

    def asked(self, run: Path, verb: str, expected: set[int] = DOCUMENTED) -> Iterator[str]:
        """Has a verb meet a run directory as it is; yields what is wrong."""
        before, outside = tree(run) if verb in READING else {}, self.canary.state()
        around = sorted(path.name for path in run.parent.iterdir())
        ended = self.said(run, verb)
        if ended.code not in expected:
            yield f"exit code {ended.code}, not one of {sorted(expected)}"
        for word in ("Traceback", "Exception ignored", "Warning"):
            if word in ended.said:
                yield f"it said {word}"
        if ended.code in DOCUMENTED - {0} and ended.said.count("cbam-search: ") != 1:
            yield "it said more, or less, than one thing"
        if self.canary.state() != outside:
            yield "something outside was changed"
        if sorted(path.name for path in run.parent.iterdir()) != around:
            yield "something was put beside the run directory"
        if before and tree(run) != before:
            yield "a verb that reads changed the run directory"

    def _expected(self, case: Case) -> set[int]:
        """The exit codes that are right: what is no file or folder of ours is always named."""
        journal = case.entry == "journal.jsonl"
        if not case.damage.strange or case.entry == OF_NOBODY or case.verb == "overwrite":
            return DOCUMENTED
        if case.verb in ("search", "export"):
            return {5}
        if case.verb in ("verify", "repair"):
            return {5 if journal else 10}
        return {5 if journal else 0}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("target"))


def meet_all(target: Target, first: int, count: int) -> None:
    """Meets so many cases from a first one on, of all that there are."""
    every, wrong = target.cases(), []
    cases = every[first : first + count]
    assert len(cases) == count
    for case in cases:
        found = list(target.meets(case))
        if found:
            said = (target.work / "said.txt").read_text("utf-8", "replace")[-1500:]
            wrong.append(f"{case}: {'; '.join(found)}\n{said}")
    kinds = Counter(case.damage.name for case in cases)
    print(f"\n{count} of {len(every)} cases: {dict(kinds)}")
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:20])


@pytest.mark.default
def test_a_sample_of_all_damage(target: Target) -> None:
    meet_all(target, 0, 200)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 5000, 500))
def test_much_damage(target: Target, first: int) -> None:
    meet_all(target, first, 500)


PATHS = ["../../x", "/etc/passwd", "..", "", ".", "a/b", "0000/../../../x", "C:\\x", "x\0y"]


# ---- by hand ----------------------------------------------------------------------------------


@pytest.mark.default
@pytest.mark.parametrize("key", ["trial", "lineage", "parent"])
@pytest.mark.parametrize("name", PATHS)
def test_ids_are_no_paths(target: Target, key: str, name: str) -> None:
    run = target.copied(False)
    records = read_journal(run / "journal.jsonl")[0]
    for record in records:
        if record.get(key) == "0000" or (key == "parent" and key in record):
            record[key] = name
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, records)))
    assert not list(target.asked(run, "search", {5}))
    said = (target.work / "said.txt").read_text()
    assert f"{key} is" in said, said


@pytest.mark.default
@pytest.mark.parametrize("kind", ["trial", "extended", "of a later version"])
def test_the_first_record_is_the_header(target: Target, kind: str) -> None:
    run = target.copied(False)
    (run / "journal.jsonl").write_bytes(encode({"type": kind, "trial": "0000"}))
    for verb in VERBS:
        if verb != "overwrite":
            assert not list(target.asked(run, verb, {5})), verb
    ended = target.said(run, "summary")
    assert "begins with its one record of type run" in ended.said.replace("\n", " ")


def test_deep_json_is_damage(target: Target) -> None:
    import zlib

    run = target.copied(True)
    body = b"[" * 100_000 + b"]" * 100_000
    line = b"%08x " % zlib.crc32(body) + body + b"\n"
    path = run / "journal.jsonl"
    path.write_bytes(line + path.read_bytes())
    ended = target.said(run, "summary")
    assert ended.code == 5 and "journal.jsonl:1" in ended.said.replace("\n", "")


@pytest.mark.default
def test_pickles_in_a_run_directory_are_not_run(target: Target) -> None:
    with np.load(target.runs[1] / "checkpoints" / "0002.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    mark = target.canary.mark
    bomb = np.array([Payload(mark)], dtype=object)
    for place in ("meta", "weight/fake/kernel"):
        run = target.copied(False)
        np.savez(run / "checkpoints" / "0002.npz", **{**arrays, place: bomb})
        assert not list(target.asked(run, "search", {5}))
        assert not list(target.asked(run, "verify", {10}))
        assert "0002.npz is damaged" in (target.work / "said.txt").read_text()
    for name in ("train_images.npy", "validation_labels.npy", "test/test_images.npy"):
        run = target.copied(False)
        np.save(run / "data" / name, bomb)
        assert not list(target.asked(run, "verify", {10}))
        assert not list(target.asked(run, "search"))
    np.load(run / "data" / name, allow_pickle=True)  # which is what would have happened
    assert mark.exists()


@pytest.mark.default
def test_the_run_directory_itself_may_be_reached_through_a_link(target: Target) -> None:
    """`runs` is often a link to a larger disk, and so may a single run be."""
    run = target.copied(True)
    elsewhere = target.work / "large disk"
    shutil.move(run.parent, elsewhere)
    run.parent.symlink_to(elsewhere)
    (elsewhere / "small").rename(elsewhere / "moved")
    run.symlink_to(elsewhere / "moved")
    for verb in VERBS:
        assert not list(target.asked(run, verb, {0})), verb


@pytest.mark.default
def test_a_loop_of_folders_ends(target: Target) -> None:
    """Folders within folders, deeper than a recursion goes."""
    run = target.copied(True)
    here = os.open(run / "best", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(here)
    try:
        for verb in ("search", "export", "verify", "summary"):
            ended = target.said(run, verb)
            assert ended.code in DOCUMENTED and "Traceback" not in ended.said, ended.said
        (run / "best").rename(run / "compiled")
        for verb in ("search", "overwrite"):
            ended = target.said(run, verb)
            assert ended.code in DOCUMENTED and "Traceback" not in ended.said, ended.said
    finally:
        subprocess.run(["rm", "-r", str(target.work)], check=True)  # which shutil cannot


@pytest.mark.default
def test_names_of_strangers_can_be_printed(target: Target) -> None:
    for name in (b"a\x1b[2J", b"a\nb", b"\xff\xfe", "ä💥".encode()):
        for damage in ENTRIES[:1]:
            run = target.copied(True)
            path = run / "checkpoints" / os.fsdecode(name)
            damage.apply(path, random.Random(1), target.canary)
            assert not list(target.asked(run, "verify", {10}))
            assert not list(target.asked(run, "search", {5}))
            said = (target.work / "said.txt").read_text()
            assert "\x1b" not in said and "a link" in said
