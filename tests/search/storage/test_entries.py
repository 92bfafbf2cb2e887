"""Entries of a run directory are files and folders of ours: nothing is followed, ever."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from search.errors import RunDirectoryError, RunLockedError
from search.executors.output import BoundedLog
from search.runs.exported_files import changed_files, exported_files
from search.runs.journal import Journal, encode
from search.runs.layout import strange_entries
from search.storage.arrays import ArrayArchive, read_header
from search.storage.entries import (
    FILE,
    create,
    ensure_folder,
    kind_of,
    open_to_append,
    open_to_read,
    read_bytes,
    remove,
    walk,
)
from search.storage.files import FileLock, last_lines, remove_leftovers, write_text
from search.worker.checkpoint import read_meta
from search.worker.compiled_code import CompiledCode
from search.worker.fence import Fence
from tests.search.reliability.run_damage import HEADERS, archives


@pytest.fixture(autouse=True)
def soon() -> Iterator[None]:
    """What waits for a FIFO's other end is ended, and fails."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture
def thesis(tmp_path: Path) -> Iterator[Path]:
    """A precious file outside of the run directory, which is as it was in the end."""
    folder = tmp_path / "precious"
    folder.mkdir()
    path = folder / "thesis.tex"
    path.write_text("years of work\n")
    before = path.stat()
    yield path
    assert path.read_text() == "years of work\n" and os.listdir(folder) == ["thesis.tex"]
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def bound_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(path.parent)  # a socket's path is short
        bound.bind(path.name)
        os.chdir(here)


STRANGE: dict[str, Callable[[Path, Path], object]] = {
    "a link": lambda path, thesis: path.symlink_to(thesis),
    "a link, to nothing": lambda path, thesis: path.symlink_to(thesis.with_name("new")),
    "a link, to a folder": lambda path, thesis: path.symlink_to(thesis.parent),
    "a link, to itself": lambda path, thesis: path.symlink_to(path.name),
    "a link, to a device": lambda path, thesis: path.symlink_to("/dev/zero"),
    "a FIFO": lambda path, thesis: os.mkfifo(path),
    "a socket": lambda path, thesis: bound_socket(path),
    "a folder": lambda path, thesis: path.mkdir(),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_what_is_no_file_is_refused_by_name(strange: str, run: Path, thesis: Path) -> None:
    path = run / "workers.log"
    STRANGE[strange](path, thesis)
    found = strange.partition(",")[0]
    uses: list[Callable[[], object]] = [
        lambda: open_to_read(path),
        lambda: open_to_append(path),
        lambda: read_bytes(path, 10),
        lambda: create(path),
        lambda: FileLock(path).acquire(),
        lambda: FileLock(path).share(),
        lambda: Journal(path),
        lambda: BoundedLog(path),
        lambda: Fence(path, "token").take(),
    ]
    for use in uses:
        with pytest.raises(RunDirectoryError) as caught:
            use()
        assert str(caught.value).startswith(f"{path} is {found}, where a file of the run belongs")
    assert last_lines(path) == []
    assert [line for line in strange_entries(run)] == [str(caught.value)]


@pytest.mark.parametrize("strange", [name for name in STRANGE if name != "a folder"])
def test_what_is_no_folder_is_refused_by_name(strange: str, run: Path, thesis: Path) -> None:
    path = run / "checkpoints"
    STRANGE[strange](path, thesis)
    for use in (
        lambda: ensure_folder(path),
        lambda: open_to_read(path / "thesis.tex", folders=1),
        lambda: open_to_append(path / "thesis.tex", folders=1),
        lambda: Fence(path / "thesis.tex", "token").take(),
    ):
        with pytest.raises(RunDirectoryError, match="where a folder of the run belongs"):
            use()
    assert len(list(strange_entries(run))) == 1


def test_a_second_name_is_refused_where_it_would_change_too(run: Path, thesis: Path) -> None:
    path = run / "lock"
    os.link(thesis, path)
    for use in (
        lambda: open_to_append(path),
        lambda: FileLock(path).acquire(),
        lambda: Fence(path, "token").take(),
    ):
        with pytest.raises(RunDirectoryError, match="another name elsewhere.*put a copy"):
            use()
    FileLock(path).share()  # which writes nothing
    assert len(list(strange_entries(run))) == 1
    write_text(path, "new")  # a new file takes the name
    assert path.read_text() == "new"


def test_what_is_exchanged_after_the_look_is_noticed(
    run: Path, thesis: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.storage.entries.kind_of", lambda path: FILE)
    (run / "link").symlink_to(thesis)
    os.mkfifo(run / "fifo")
    with pytest.raises(OSError, match="symbolic links"):
        open_to_append(run / "link")
    with pytest.raises(RunDirectoryError, match="a FIFO"):
        open_to_read(run / "fifo")


@pytest.mark.parametrize("strange", [name for name in STRANGE if name != "a folder"])
def test_a_temporary_name_that_is_taken_is_not_followed(
    strange: str, run: Path, thesis: Path
) -> None:
    STRANGE[strange](run / f".summary.md.{os.getpid()}.tmp", thesis)
    write_text(run / "summary.md", "new")
    assert (run / "summary.md").read_text() == "new" and os.listdir(run) == ["summary.md"]


def test_a_file_takes_the_place_of_a_link(run: Path, thesis: Path) -> None:
    (run / "summary.md").symlink_to(thesis)
    write_text(run / "summary.md", "new")
    assert kind_of(run / "summary.md") == FILE


def test_leftovers_are_files_below(run: Path, thesis: Path) -> None:
    (run / "data").mkdir()
    (run / "data" / ".a.npy.1.tmp").write_text("half")
    shutil.copy(thesis, thesis.with_name(".t.tex.1.tmp"))
    (run / "best").symlink_to(thesis.parent)
    (run / ".b.json.2.tmp").symlink_to(thesis)
    (run / ".c.json.2.tmp").mkdir()
    (run / ".my.notes.tmp").write_text("of a person")
    remove_leftovers(run)
    left = [".b.json.2.tmp", ".c.json.2.tmp", ".my.notes.tmp", "best", "data"]
    assert sorted(os.listdir(run)) == left
    assert os.listdir(run / "data") == []
    # What has such a name and is no file is none of ours, and is named.
    assert [line.partition(" is ")[2][:6] for line in strange_entries(run)] == [
        "a link",
        "a fold",
        "a link",
    ]
    thesis.with_name(".t.tex.1.tmp").unlink()
    os.utime(thesis.parent)


def test_deleting_stays_within(run: Path, thesis: Path) -> None:
    tree = run / "compiled"
    (tree / "inner").mkdir(parents=True)
    (tree / "inner" / "link").symlink_to(thesis.parent)
    os.mkfifo(tree / "fifo")
    remove(tree)
    (run / "link").symlink_to(thesis.parent)
    remove(run / "link")
    remove(run / "nothing")
    assert os.listdir(run) == []


def test_folders_deeper_than_a_recursion_are_left(run: Path) -> None:
    here = os.open(run, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        here, above = os.open("d", os.O_RDONLY, dir_fd=here), here
        os.close(above)
    os.close(here)
    assert len(list(walk(run))) < 50
    try:
        with pytest.raises(RunDirectoryError, match="deeper than any"):
            remove(run / "d")
    finally:
        os.system(f"rm -r '{run}/d'")


@pytest.mark.parametrize("strange", STRANGE)
def test_compiled_code_is_deleted_where_it_stands(strange: str, run: Path, thesis: Path) -> None:
    path = run / "compiled"
    STRANGE[strange](path, thesis)
    compiled = CompiledCode(path)
    compiled.open()
    assert path.is_dir() and not path.is_symlink() and compiled.folder == path
    (path / "code").write_text("")
    shutil.rmtree(path)
    path.symlink_to(thesis.parent)
    compiled.remove()
    assert os.listdir(run) == []


def test_a_torn_end_is_kept_where_it_cannot_be_put_aside(run: Path, thesis: Path) -> None:
    path = run / "journal.jsonl"
    path.write_bytes(encode({"type": "x"}) + b"half a rec")
    (run / "journal.torn").symlink_to(thesis)
    with pytest.raises(RunDirectoryError, match=r"journal\.torn is a link"):
        Journal(path)
    assert path.read_bytes().endswith(b"half a rec")


def test_who_looks_changes_nothing_and_keeps_drivers_out(run: Path) -> None:
    path = run / "lock"
    FileLock(path).share()
    assert not path.exists()
    path.write_text("process 1 on elsewhere")
    path.chmod(0o444)
    before = path.stat()
    looking, beside, driving = FileLock(path), FileLock(path), FileLock(path)
    looking.share()
    beside.share()
    path.chmod(0o644)
    with pytest.raises(RunLockedError):
        driving.acquire()
    looking.release()
    beside.release()
    assert path.read_text() == "process 1 on elsewhere"
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    driving.acquire()
    with pytest.raises(RunLockedError, match=f"process {os.getpid()} on"):
        looking.share()
    driving.release()


def test_a_journal_of_a_terabyte_is_damaged_and_not_read(run: Path) -> None:
    path = run / "journal.jsonl"
    path.write_bytes(encode({"type": "x"}))
    os.truncate(path, 2**40)
    with pytest.raises(RunDirectoryError, match=r"journal\.jsonl:2: the journal is damaged"):
        Journal(path)


def test_heads_of_strangers_are_refused(tmp_path: Path) -> None:
    for number, header in enumerate(HEADERS):
        path = tmp_path / f"{number}.npy"
        path.write_bytes(header)
        with path.open("rb") as file:
            try:
                assert read_header(file).size > 0  # what it states is compared with the file
            except ValueError as error:
                assert "no head of an array" in str(error) or "an array of" in str(error)


def test_archives_of_strangers_are_refused(tmp_path: Path) -> None:
    for number, content in enumerate(archives()):
        path = tmp_path / f"{number}.npz"
        path.write_bytes(content)
        with path.open("rb") as file, pytest.raises(ValueError):
            archive = ArrayArchive(file)
            archive.check()
            read_meta(archive)
            raise AssertionError(f"archive {number} was read")


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(12.0).reshape(3, 4),
        "columns/first": np.asfortranarray(np.arange(6, dtype="int16").reshape(2, 3)),
        "none": np.zeros((0, 3), "float32"),
        "one": np.array(True),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    with (tmp_path / "a.npz").open("rb") as file:
        archive = ArrayArchive(file)
        archive.check()
        assert set(archive.headers) == set(arrays)
        for name, array in arrays.items():
            found = archive.read(name)
            assert found.dtype == array.dtype and found.shape == array.shape
            assert (found == array).all()


def test_exported_files_are_told_by_their_contents(run: Path, thesis: Path) -> None:
    best = run / "best"
    (best / "saved_model" / "variables").mkdir(parents=True)
    (best / "model.keras").write_bytes(b"model")
    (best / "saved_model" / "saved_model.pb").write_bytes(b"graph")
    (best / "saved_model" / "variables" / "variables.index").write_bytes(b"")
    files = exported_files(best)
    assert list(files) == [
        "model.keras",
        "saved_model/saved_model.pb",
        "saved_model/variables/variables.index",
    ]
    assert changed_files(best, files, 100) == []
    (best / "model.keras").write_bytes(b"other")
    (best / "added.py").write_text("print()")
    (best / "saved_model" / "saved_model.pb").unlink()
    os.truncate(best / "saved_model" / "variables" / "variables.index", 2**40)
    assert changed_files(best, files, 100) == [
        f"{best}/added.py is no part of the exported model",
        f"{best}/model.keras is not the file that was exported",
        f"{best}/saved_model/variables/variables.index is not the file that was exported",
        f"{best}/saved_model/saved_model.pb is missing from the exported model",
    ]
    (best / "link").symlink_to(thesis)
    with pytest.raises(RunDirectoryError, match="link is a link"):
        exported_files(best)
