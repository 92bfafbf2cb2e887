"""A disk that is full, broken or read-only, and files that are damaged or gone.

Each ends with a documented exit code and one message that says what to do. Once that is
done, the same command goes on and ends as a search that nothing happened to.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.search.command import SMALL_SPACE, results, run
from tests.search.reliability.crash_points import BEFORE, CRASHED
from tests.search.reliability.fork_server import Ended
from tests.search.reliability.forked import everything
from tests.search.reliability.laboratory import Laboratory, differences

DEFAULT_POINTS = 20
FAULTS = {"full disk": (errno.ENOSPC, True), "one I/O error": (errno.EIO, False)}


@dataclass(frozen=True)
class Bench:
    """A laboratory and how its search ends when its disk is well."""

    laboratory: Laboratory
    expected: dict[str, Any]

    def refused(self, at: int, fault: str) -> str:
        """Meets a fault at one operation, then goes on; returns what was wrong, if anything."""
        laboratory, name = self.laboratory, f"{fault} {at}"
        error, lasting = FAULTS[fault]
        ended = laboratory.search(name, at, BEFORE, refuse=error, lasting=lasting)
        wrong = []
        # The folder is removed when all is written, or else by the next session.
        scratch = laboratory.operations[at].path == "small/compiled"
        if ended.code == 0 and (scratch or not lasting):
            pass  # what was refused is something that the search can do without
        elif ended.code != 7:
            wrong.append(f"exit code {ended.code}")
        if ended.code and not one_message(ended.said, os.strerror(error)):
            wrong.append(f"it said {ended.said}")
        again = laboratory.search(name)
        if again.code != 0:
            return "; ".join([*wrong, f"exit code {again.code} afterwards: {again.said}"])
        path = laboratory.run(name)
        wrong += differences(everything(path), self.expected)
        if (path / "journal.torn").exists():
            wrong.append("half a record stayed in the journal")
        trained = Counter(laboratory.trained(name))
        if sum(trained.values()) - len(trained) > 1:
            wrong.append("more than one epoch was lost")
        laboratory.forget(name)
        return "; ".join(wrong)


def one_message(said: str, expected: str) -> bool:
    """Whether a person is told once what is wrong, and is spared a traceback."""
    return (
        said.count("cbam-search: ") == 1
        and expected in said
        and not any(word in said for word in ("Traceback", "Exception ignored", "OSError"))
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory"))
    return Bench(laboratory, laboratory.untouched())


# ---- every operation can be refused -------------------------------------------------------


def refuse_all(bench: Bench, points: list[tuple[int, str]]) -> None:
    wrong = []
    for at, fault in points:
        said = bench.refused(at, fault)
        if said:
            operation = bench.laboratory.operations[at]
            wrong.append(f"{fault} at operation {at}, {operation.kind} {operation.path}: {said}")
    print(f"\n{len(points)} refused operations: {dict(Counter(fault for _, fault in points))}")
    assert not wrong, f"{len(wrong)} of {len(points)}:\n" + "\n".join(wrong[:20])


def all_points(bench: Bench) -> list[tuple[int, str]]:
    return [(at, fault) for fault in FAULTS for at in range(len(bench.laboratory.operations))]


@pytest.mark.default
def test_a_sample_of_all_operations_is_refused(bench: Bench) -> None:
    points = all_points(bench)
    step = len(points) / DEFAULT_POINTS
    refuse_all(bench, [points[int(step * number)] for number in range(DEFAULT_POINTS)])


@pytest.mark.slow
def test_every_operation_is_refused(bench: Bench) -> None:
    refuse_all(bench, all_points(bench))


# ---- a disk that is really full -------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many KiB, or changes its size."""
    path = tmp_path / "disk"

    def mounted(size: int) -> Path:
        verb = "remount," if path.is_mount() else ""
        path.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"{verb}size={size}k", "tmpfs", str(path)],
            capture_output=True,
        )
        if done.returncode:
            pytest.skip("this user may not mount a file system")
        return path

    yield mounted
    if path.is_mount():
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.default
@pytest.mark.parametrize("size", [4, 60, 120, 150])
def test_full_disk(bench: Bench, small_disk: Callable[[int], Path], size: int) -> None:
    name = f"disk{size}"
    (bench.laboratory.folder / name).mkdir()
    runs = small_disk(size) / "runs"
    (bench.laboratory.folder / name / "runs").symlink_to(runs)
    runs.mkdir()
    ended = bench.laboratory.search(name)
    assert ended.code == 7, ended.said
    assert one_message(ended.said, "No space left on device"), ended.said
    again = bench.laboratory.search(name)  # nothing was freed
    assert again.code == 7 and one_message(again.said, "No space left on device"), again.said
    small_disk(10_000)
    ended = bench.laboratory.search(name)
    assert ended.code == 0, ended.said
    assert not differences(everything(runs / "small"), bench.expected)


@pytest.mark.slow
def test_full_disk_in_a_real_search(tmp_path: Path, small_disk: Callable[[int], Path]) -> None:
    """The data (2 MB) fits, the checkpoints do not: it is the workers that meet it."""
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    arguments = ["--space", tmp_path / "small.yaml", "--max-epochs", 1, "--workers", 2]
    disk = small_disk(2_500)
    full = run(*arguments, "--directory", disk, check=7)
    assert one_message(full.stderr, "No space left on device"), full.stderr
    journal = (disk / "small" / "journal.jsonl").read_bytes()
    assert b'"FAILED"' not in journal and b'"death"' not in journal
    small_disk(100_000)
    run(*arguments, "--directory", disk)
    run(*arguments, "--directory", tmp_path / "straight")
    assert results(disk / "small") == results(tmp_path / "straight" / "small")


def test_read_only_disk(bench: Bench, small_disk: Callable[[int], Path]) -> None:
    name = "read-only"
    (bench.laboratory.folder / name).mkdir()
    disk = small_disk(10_000)
    (bench.laboratory.folder / name / "runs").symlink_to(disk)
    assert bench.laboratory.search(name, 200).code == CRASHED
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    ended = bench.laboratory.search(name)
    assert ended.code == 7 and one_message(ended.said, "Read-only file system"), ended.said
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert bench.laboratory.search(name).code == 0
    assert not differences(everything(disk / "small"), bench.expected)


# ---- damaged and deleted files --------------------------------------------------------------


@pytest.fixture
def broken_off(bench: Bench, request: pytest.FixtureRequest) -> Iterator[str]:
    """A search that died when half of it was done, with two checkpoints."""
    name = f"broken off {request.node.name}"
    (ordered,) = [
        number
        for number, operation in enumerate(bench.laboratory.operations)
        if (operation.kind, operation.path) == ("replace", "small/checkpoints/0002.npz")
    ][1:2]
    assert bench.laboratory.search(name, ordered).code == CRASHED
    yield name
    bench.laboratory.forget(name)


def goes_on(bench: Bench, name: str) -> Ended:
    ended = bench.laboratory.search(name)
    assert ended.code == 0, ended.said
    assert not differences(everything(bench.laboratory.run(name)), bench.expected)
    return ended


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_another_network(path: Path) -> None:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    arrays["weight/other/kernel"] = arrays.pop("weight/fake/kernel")
    np.savez(path, **arrays)


def of_another_training(path: Path) -> None:
    shutil.copy(path.with_name("0003.npz"), path)


@pytest.mark.default
@pytest.mark.parametrize("damage", [half, of_another_network, of_another_training])
def test_damaged_checkpoint(bench: Bench, broken_off: str, damage: Callable[[Path], None]) -> None:
    path = bench.laboratory.run(broken_off) / "checkpoints" / "0002.npz"
    damage(path)
    ended = bench.laboratory.search(broken_off)
    assert ended.code == 5, ended.said
    assert one_message(ended.said, "trial 0002-1 cannot go on: the checkpoint"), ended.said
    assert "0002.npz" in ended.said.replace("\n", "") and "Move it to another place" in ended.said
    path.rename(bench.laboratory.folder / path.name)
    goes_on(bench, broken_off)


@pytest.mark.parametrize(
    "gone",
    [
        "checkpoints/0002.npz",
        "checkpoints",
        "trial_0001",
        "trial_0001/trial.json",
        "oracle.json",
        "tuner0.json",
        "data",
        "data/data.json",
        "lock",
    ],
)
def test_what_is_deleted_comes_back(bench: Bench, broken_off: str, gone: str) -> None:
    path = bench.laboratory.run(broken_off) / gone
    assert path.exists()
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    ended = bench.laboratory.search(broken_off)
    assert ended.code == 0, ended.said
    found = everything(bench.laboratory.run(broken_off))
    if gone == "trial_0001":  # what its worker printed is gone for good
        found["files"] = bench.expected["files"]
    assert not differences(found, bench.expected)


@pytest.mark.default
@pytest.mark.parametrize("view", ["oracle.json", "trial_0001/trial.json"])
@pytest.mark.parametrize("content", [b"", b'{"ongoing_trials": {', b"\xff\x00", b"{}"])
def test_torn_views_come_back(bench: Bench, broken_off: str, view: str, content: bytes) -> None:
    (bench.laboratory.run(broken_off) / view).write_bytes(content)
    goes_on(bench, broken_off)


@pytest.mark.parametrize("gone", ["train_images.npy", "validation_labels.npy"])
def test_deleted_data_file_is_named(bench: Bench, broken_off: str, gone: str) -> None:
    data = bench.laboratory.run(broken_off) / "data"
    (data / gone).unlink()
    ended = bench.laboratory.search(broken_off)
    assert ended.code == 4 and one_message(ended.said, gone), ended.said
    assert "Move the folder" in ended.said
    shutil.move(data, bench.laboratory.folder / f"data without {gone}")  # which is what it says
    goes_on(bench, broken_off)


def test_best_checkpoint_deleted_before_the_export(bench: Bench) -> None:
    name = "best deleted"
    operations = bench.laboratory.operations
    exporting = [each.path for each in operations].index("small/best.partial")
    assert bench.laboratory.search(name, exporting).code == CRASHED
    (bench.laboratory.run(name) / "checkpoints" / "0004.npz").unlink()
    goes_on(bench, name)
