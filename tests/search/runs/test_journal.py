"""The journal survives whatever tears it; files are whole or not there; the lock is one."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.errors import RunDirectoryError, RunLockedError, StorageError
from search.runs.journal import Journal, Record, decode, encode, read_journal
from search.storage.files import FileLock, storage_errors, write_atomically, write_json, write_text

ROOT = Path(__file__).parents[3]
RECORDS: list[Record] = [
    {"type": "run", "space": {"backbone": {"depth": 20}}, "started": "2024-05-17"},
    {"type": "epoch", "trial": "0003", "epoch": 1, "metrics": {"val_accuracy": 0.1 + 0.2}},
    {"type": "ended", "trial": "0003", "reason": "out of memory: Kärnel\nsays 'no' | \u2028"},
]

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=10,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path, records: list[Record]) -> bytes:
    journal = Journal(path)
    for record in records:
        journal.append(record)
    journal.close()
    return path.read_bytes()


# ---- round trip -------------------------------------------------------------------------


def test_what_is_appended_is_read_again(path: Path) -> None:
    written(path, RECORDS)
    assert read_journal(path) == (RECORDS, b"")
    journal = Journal(path)
    assert (journal.records, journal.torn) == (RECORDS, b"")
    journal.append({"type": "death"})
    journal.close()
    assert read_journal(path)[0] == [*RECORDS, {"type": "death"}]


@given(st.dictionaries(st.text(), values))
@settings(max_examples=80, deadline=None)
def test_a_record_is_one_line_and_comes_back(record: Record) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line[:-1]) == record


@given(st.dictionaries(st.text(), values), st.data())
@settings(max_examples=80, deadline=None)
def test_a_changed_byte_is_noticed(record: Record, data: st.DataObject) -> None:
    line = bytearray(encode(record)[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= data.draw(st.integers(1, 255))
    found = decode(bytes(line))
    # The checksum is hexadecimal: an upper-case digit is the same digit.
    assert found is None or (place < 8 and found == record)


@pytest.mark.parametrize(
    "line", [b"", b" ", b"00000000", b"zzzzzzzz {}", b"0 {}", b"1b 5", b"\xff" * 20, b"\0" * 50]
)
def test_what_is_no_record_is_none(line: bytes) -> None:
    assert decode(line) is None


def test_a_line_that_is_whole_but_no_record_is_none() -> None:
    for body in (b"[1]", b"5", b"{", b"\xff"):
        assert decode(b"%08x %s" % (zlib.crc32(body), body)) is None


def test_a_journal_that_is_empty_or_not_there(path: Path) -> None:
    journal = Journal(path)
    assert journal.records == [] and path.read_bytes() == b""
    journal.close()
    assert read_journal(path) == ([], b"")
    with pytest.raises(RunDirectoryError, match="cannot read the journal .*: No such file"):
        read_journal(path.with_name("other"))


def test_a_journal_that_must_not_be_read_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(RunDirectoryError, match="journal.jsonl is a folder, where a file"):
        Journal(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_json_is_refused_and_changes_nothing(path: Path, value: float) -> None:
    journal = Journal(path)
    journal.append(RECORDS[0])
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append({"score": value})
    journal.append(RECORDS[1])
    journal.close()
    assert read_journal(path) == (RECORDS[:2], b"")


# ---- a torn end -------------------------------------------------------------------------


def test_a_tear_at_any_byte_costs_the_last_record_alone(path: Path) -> None:
    raw = written(path, RECORDS)
    last = encode(RECORDS[-1])
    start = len(raw) - len(last)
    for cut in range(len(last)):
        path.write_bytes(raw[: start + cut])
        torn = path.with_name("journal.torn")
        torn.unlink(missing_ok=True)

        assert read_journal(path) == (RECORDS[:-1], last[:cut])
        assert path.read_bytes() == raw[: start + cut], "reading changes nothing"

        journal = Journal(path)
        assert (journal.records, journal.torn) == (RECORDS[:-1], last[:cut])
        journal.append({"number": 1})
        journal.append({"number": 2})
        journal.close()
        assert read_journal(path) == ([*RECORDS[:-1], {"number": 1}, {"number": 2}], b"")
        assert torn.exists() == (cut > 0)
        if cut:
            assert torn.read_bytes() == last[:cut] + b"\n"


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"garbage\n", b"\0\0\n", b"0badc0de {}\n", b"\n"])
def test_a_power_loss_may_leave_other_bytes_than_were_written(path: Path, tail: bytes) -> None:
    raw = written(path, RECORDS)
    path.write_bytes(raw + tail)
    journal = Journal(path)
    assert (journal.records, journal.torn) == (RECORDS, tail)
    journal.append({"number": 1})
    journal.close()
    assert read_journal(path) == ([*RECORDS, {"number": 1}], b"")


def test_every_tear_is_kept(path: Path) -> None:
    for tail in (b"first", b"second"):
        path.write_bytes(path.read_bytes() + tail if path.exists() else tail)
        Journal(path).close()
    assert path.with_name("journal.torn").read_bytes() == b"first\nsecond\n"


def test_damage_in_the_middle_is_refused_with_its_line(path: Path) -> None:
    raw = written(path, RECORDS)
    lines = raw.splitlines(keepends=True)
    for number in (1, 2):
        line = lines[number - 1]
        after = number + 1
        for place, damaged in (
            (number, b"\n"),
            (number, line[:-5] + b"\n"),
            (number, b"x" + line[1:]),
            (after, line + b"\n"),
        ):
            content = b"".join([*lines[: number - 1], damaged, *lines[number:]])
            path.write_bytes(content)
            with pytest.raises(RunDirectoryError) as caught:
                Journal(path)
            assert str(caught.value).startswith(f"{path}:{place}: the journal is damaged")
            assert "--overwrite" in str(caught.value)
            assert path.read_bytes() == content
            assert not path.with_name("journal.torn").exists()


# ---- a machine that refuses -------------------------------------------------------------


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files may not grow beyond `size`: writes are cut short, then refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_record_cut_short_at_any_byte_leaves_the_journal_as_it_was(path: Path) -> None:
    raw = written(path, RECORDS[:2])
    journal = Journal(path)
    line = encode(RECORDS[2])
    for room in range(len(line)):
        with (
            largest_file(len(raw) + room),
            pytest.raises(StorageError, match=r"cannot write the journal .*: File too large"),
        ):
            journal.append(RECORDS[2])
        assert path.read_bytes() == raw
    journal.append(RECORDS[2])
    journal.append({"number": 1})
    journal.close()
    assert read_journal(path) == ([*RECORDS, {"number": 1}], b"")


def test_closing_after_a_refusal_writes_nothing_more(path: Path) -> None:
    raw = written(path, RECORDS[:2])
    journal = Journal(path)
    with largest_file(len(raw) + 5), pytest.raises(StorageError):
        journal.append(RECORDS[2])
    journal.close()
    assert path.read_bytes() == raw


def test_a_record_that_cannot_be_synced_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = written(path, RECORDS[:2])
    journal = Journal(path)

    def refuse(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError, match="Input/output error"):
            journal.append(RECORDS[2])
    assert path.read_bytes() == raw
    journal.append(RECORDS[2])
    journal.close()
    assert read_journal(path) == (RECORDS, b"")


def test_a_record_is_on_the_disk_before_append_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bytes] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        real(descriptor)
        synced.append(path.read_bytes())

    journal = Journal(path)
    monkeypatch.setattr(os, "fsync", watch)
    journal.append(RECORDS[0])
    assert synced == [encode(RECORDS[0])]
    journal.close()


def test_a_full_disk_is_a_storage_error() -> None:
    with (
        pytest.raises(StorageError, match="cannot write the journal to /dev/full: No space left"),
        storage_errors("the journal", Path("/dev/full")),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"x")


# ---- atomic files -----------------------------------------------------------------------


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "trial.json"
    write_json(path, {"ä": [1, 2.5]})
    assert path.read_text("utf-8") == '{\n  "\\u00e4": [\n    1,\n    2.5\n  ]\n}\n'
    write_text(path, "ä")
    assert path.read_bytes() == "ä".encode()
    assert os.listdir(tmp_path) == ["trial.json"]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("there", [True, False])
def test_a_writer_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, error: Any, there: bool
) -> None:
    path = tmp_path / "oracle.json"
    if there:
        path.write_text("old")

    def write(file: Any) -> None:
        file.write(b"half of the n")
        raise error

    with pytest.raises(type(error) if isinstance(error, OSError) else error):
        write_atomically(path, write)
    assert os.listdir(tmp_path) == (["oracle.json"] if there else [])
    if there:
        assert path.read_text() == "old"


def test_a_disk_that_fills_up_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    path.write_text("old")
    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        write_text(path, "x" * 100_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["summary.csv"]


KILLED = """
import os, signal, sys
from pathlib import Path
from search.storage.files import write_atomically
def write(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), write)
"""


def test_a_kill_within_a_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "oracle.json"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


# ---- the lock ---------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from search.storage.files import FileLock
lock = FileLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(3600)
"""


@contextlib.contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_held_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(path) as process:
        for _ in range(2):  # being refused does not take the lock away
            with pytest.raises(RunLockedError) as caught:
                FileLock(path).acquire()
            assert re.match(
                rf"{tmp_path} is being driven by process {process.pid} on \S+ since \d{{4}}-",
                str(caught.value),
            )
            assert "--name" in str(caught.value)
        process.send_signal(signal.SIGKILL)
        process.wait()
    lock = FileLock(path)
    lock.acquire()
    assert f"process {os.getpid()} " in path.read_text()
    assert path.read_text().count("\n") == 1
    lock.release()


def test_a_lock_that_was_released_can_be_taken_again(tmp_path: Path) -> None:
    lock, other = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    lock.acquire()
    with pytest.raises(RunLockedError):
        other.acquire()
    lock.release()
    lock.release()
    other.acquire()
    other.release()


@given(st.lists(st.sampled_from([0, 1]), max_size=8))
@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_only_one_ever_holds_the_lock(tmp_path: Path, turns: list[int]) -> None:
    locks = [FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")]
    held: int | None = None
    for turn in turns:
        if held == turn:
            locks[turn].release()
            held = None
        elif held is None:
            locks[turn].acquire()
            held = turn
        else:
            with pytest.raises(RunLockedError):
                locks[turn].acquire()
    for lock in locks:
        lock.release()
