"""Run directories that were damaged, or come from a stranger: named errors, nothing else.

`summary`, `verify` and resuming meet bytes that were changed, cut, swapped and deleted, and
journals with valid checksums that this program would not have written. Whatever happens,
the exit code is a documented one, no traceback is shown, nothing takes longer than a
minute, and no file outside the run directory is touched.
"""

from __future__ import annotations

import copy
import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from search import errors
from search.journal import Record, encode, read_journal
from tests.search.command import Payload
from tests.search.reliability.crash_points import CRASHED
from tests.search.reliability.fork_server import Ended, forked
from tests.search.reliability.forked import CommandLine
from tests.search.reliability.laboratory import Laboratory

DOCUMENTED = {0, 130, 143} | {
    error.exit_code
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.CbamSearchError)
} - {1}
COUNTS: Counter[str] = Counter()


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

    def copied(self, finished: bool) -> Path:
        """A fresh copy of a run directory."""
        if self.work.exists():
            shutil.rmtree(self.work)
        path = self.work / uuid.uuid4().hex / "small"
        shutil.copytree(self.runs[0 if finished else 1], path)
        return path

    def asked(self, run: Path) -> None:
        """Asks everything of a run directory, and checks how it answers."""
        around = self.around(run)
        for arguments in (
            ["summary", run, "--format", "markdown"],
            ["verify", run],
            ["--space", self.space, "--directory", run.parent, "--workers", 2, "--verbose"],
            ["summary", run, "--format", "json"],
            ["verify", run, "--repair"],
        ):
            ended = forked(CommandLine(arguments), self.work / "said.txt")
            self._answered(arguments, ended)
            COUNTS[f"exit code {ended.code}"] += 1
        assert self.around(run) == around

    def _answered(self, arguments: list[Any], ended: Ended) -> None:
        told = f"{arguments}: {ended.code}\n{ended.said}"
        assert ended.code in DOCUMENTED, told
        for word in ("Traceback", "Exception ignored"):
            assert word not in ended.said, told
        if ended.code:
            assert ended.said.count("cbam-search: ") == 1, told

    def around(self, run: Path) -> dict[str, bytes]:
        """Every file outside of the run directory."""
        return {
            str(path): path.read_bytes() if path.is_file() else b""
            for path in self.laboratory.folder.rglob("*")
            if run not in (path, *path.parents) and path.name != "said.txt"
        }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("target"))


# ---- damage -----------------------------------------------------------------------------------


def spoil(run: Path, data: st.DataObject) -> None:
    """Changes, cuts, deletes, swaps or replaces files of a run directory."""
    for _ in range(data.draw(st.integers(1, 3))):
        paths = sorted(path for path in run.rglob("*") if path.is_file())
        path = data.draw(st.sampled_from(paths))
        content = path.read_bytes()
        kind = data.draw(
            st.sampled_from(
                ["flip", "cut", "insert", "delete", "swap", "empty", "folder", "unfold", "double"]
            )
        )
        COUNTS[kind] += 1
        place = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "flip" and content:
            changed = bytes([content[place] ^ data.draw(st.integers(1, 255))])
            path.write_bytes(content[:place] + changed + content[place + 1 :])
        elif kind == "cut":
            path.write_bytes(content[:place])
        elif kind == "insert":
            path.write_bytes(content[:place] + data.draw(st.binary(max_size=20)) + content[place:])
        elif kind == "delete":
            path.unlink()
        elif kind == "swap":
            other = data.draw(st.sampled_from(paths))
            path.write_bytes(other.read_bytes())
            other.write_bytes(content)
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "folder":
            path.unlink()
            path.mkdir()
        elif kind == "unfold" and path.parent != run:
            shutil.rmtree(path.parent)
        elif kind == "double":
            path.write_bytes(content + content)


def fuzz(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    common = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: seed(3)(common(test))


def damaged(target: Target, finished: bool, data: st.DataObject) -> None:
    run = target.copied(finished)
    spoil(run, data)
    target.asked(run)


# ---- strangers --------------------------------------------------------------------------------

PATHS = ["../../x", "/etc/passwd", "..", "", ".", "a/b", "0000/../../../x", "C:\\x", "x\0y"]
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(10**30), 2**63, -1, 0, 1e308, -1e308, 1.5]),
    st.text(max_size=10),
    st.sampled_from([*PATHS, "0000", "0099", "9" * 5000, "[bold]", "\x1b[2J", "💥"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=3),
    st.sampled_from([[[[[[[]]]]]], {"a": {"b": {}}}]),
)


def places(content: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    inner = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    found: list[tuple[Any, ...]] = []
    for key, value in inner:
        found += [(*prefix, key), *places(value, (*prefix, key))]
    return found


def invent(records: list[Record], data: st.DataObject) -> list[Record]:
    """Changes a journal as only somebody who computes checksums can."""
    records = copy.deepcopy(records)
    for _ in range(data.draw(st.integers(1, 2))):
        number = data.draw(st.integers(0, len(records) - 1))
        kind = data.draw(
            st.sampled_from(["value", "value", "value", "key", "drop", "twice", "swap", "kind"])
        )
        COUNTS[f"stranger: {kind}"] += 1
        record = records[number]
        if kind in ("value", "key"):
            place = data.draw(st.sampled_from(places(record)))
            holder: Any = record
            for key in place[:-1]:
                holder = holder[key]
            if kind == "value":
                holder[place[-1]] = data.draw(STRANGE)
            else:
                del holder[place[-1]]
        elif kind == "drop":
            del records[number]
        elif kind == "twice":
            records.insert(data.draw(st.integers(0, len(records))), copy.deepcopy(record))
        elif kind == "swap":
            other = data.draw(st.integers(0, len(records) - 1))
            records[number], records[other] = records[other], records[number]
        else:
            record["type"] = data.draw(
                st.sampled_from(["run", "trial", "epoch", "ended", "export", "extended", "x", ""])
            )
        if not records:
            break
    return records


def strange(target: Target, finished: bool, data: st.DataObject) -> None:
    run = target.copied(finished)
    records = invent(read_journal(run / "journal.jsonl")[0], data)
    (run / "journal.jsonl").write_bytes(b"".join(map(encode, records)))
    target.asked(run)


@pytest.mark.default
@fuzz(10)
@given(finished=st.booleans(), data=st.data())
def test_damaged_run_directories(target: Target, finished: bool, data: st.DataObject) -> None:
    damaged(target, finished, data)


@pytest.mark.default
@fuzz(25)
@given(finished=st.booleans(), data=st.data())
def test_journals_of_strangers(target: Target, finished: bool, data: st.DataObject) -> None:
    strange(target, finished, data)


@pytest.mark.slow
@fuzz(300)
@given(finished=st.booleans(), data=st.data())
def test_many_damaged_run_directories(target: Target, finished: bool, data: st.DataObject) -> None:
    damaged(target, finished, data)


@pytest.mark.slow
@fuzz(300)
@given(finished=st.booleans(), data=st.data())
def test_many_journals_of_strangers(target: Target, finished: bool, data: st.DataObject) -> None:
    strange(target, finished, data)


def test_counts() -> None:
    print(f"\n{dict(sorted(COUNTS.items()))}")


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
    before = target.around(run)
    arguments = ["--space", target.space, "--directory", run.parent, "--workers", 2]
    said = target.work / "said.txt"
    ended = forked(CommandLine([*arguments, "--verbose"]), said)
    assert ended.code == 5 and f"{key} is" in ended.said, ended.said
    assert target.around(run) == before


@pytest.mark.default
@pytest.mark.parametrize("kind", ["trial", "extended", "of a later version"])
def test_the_first_record_is_the_header(target: Target, kind: str) -> None:
    run = target.copied(False)
    (run / "journal.jsonl").write_bytes(encode({"type": kind, "trial": "0000"}))
    target.asked(run)
    ended = forked(CommandLine(["summary", run]), target.work / "said.txt")
    assert ended.code == 5
    assert "begins with its one record of type run" in ended.said.replace("\n", " ")


def test_deep_json_is_damage(target: Target) -> None:
    import zlib

    run = target.copied(True)
    body = b"[" * 100_000 + b"]" * 100_000
    line = b"%08x " % zlib.crc32(body) + body + b"\n"
    path = run / "journal.jsonl"
    path.write_bytes(line + path.read_bytes())
    ended = forked(CommandLine(["summary", run]), target.work / "said.txt")
    assert ended.code == 5 and "journal.jsonl:1" in ended.said.replace("\n", "")


def test_links_out_of_the_run_directory_are_not_followed(target: Target) -> None:
    """Views and checkpoints are replaced by renaming, which replaces a link, not its target."""
    run = target.copied(False)
    victim = target.work / "thesis.tex"
    victim.write_text("years of work")
    for name in ("oracle.json", "trial_0001/trial.json", "summary.md"):
        (run / name).unlink(missing_ok=True)
        os.symlink(victim, run / name)
    target.asked(run)
    assert victim.read_text() == "years of work"


@pytest.mark.default
def test_pickles_in_a_run_directory_are_not_run(target: Target) -> None:
    mark = target.work.parent / "mark"
    with np.load(target.runs[1] / "checkpoints" / "0002.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    bomb = np.array([Payload(mark)], dtype=object)
    for place in ("meta", "weight/fake/kernel"):
        run = target.copied(False)
        np.savez(run / "checkpoints" / "0002.npz", **{**arrays, place: bomb})
        target.asked(run)
        ended = forked(CommandLine(["verify", run]), target.work / "said.txt")
        assert ended.code == 10 and "0002.npz is damaged" in ended.said.replace("\n", " ")
        assert not mark.exists()
    for name in ("train_images.npy", "validation_labels.npy", "test/test_images.npy"):
        run = target.copied(False)
        np.save(run / "data" / name, bomb)
        target.asked(run)
        assert not mark.exists()
    np.load(run / "data" / name, allow_pickle=True)  # which is what would have happened
    assert mark.exists()
    mark.rmdir()
