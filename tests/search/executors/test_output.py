"""What workers print is kept up to a limit: its beginning and its end."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from search.errors import StorageError
from search.executors.output import KEPT_BYTES, LEFT_OUT, LIMIT, BoundedLog, Output


def test_what_fits_is_kept_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "trial_0000" / "output.log"
    for attempt in (b"first\n", b"second\n"):  # a trial's next worker goes on
        log = BoundedLog(path)
        log.write(attempt)
        log.write(b"")
        log.close()
    assert path.read_bytes() == b"first\nsecond\n"


@pytest.mark.parametrize("chunk", [1, 1000, 2**16])
def test_of_too_much_the_beginning_and_the_end_are_kept(chunk: int, tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    said = b"".join(b"%09d\n" % number for number in range(3 * LIMIT // 10))
    said = said[-(LIMIT + 5000) :] if chunk == 1 else said
    log = BoundedLog(path)
    for start in range(0, len(said), chunk):
        log.write(said[start : start + chunk])
        if start % 1000 == 0:
            assert path.stat().st_size <= LIMIT
    log.close()
    content = path.read_bytes()
    beginning, end = content.split(LEFT_OUT)
    assert len(content) <= LIMIT
    assert beginning == said[:KEPT_BYTES]
    assert len(end) >= KEPT_BYTES and said.endswith(end)


def test_a_log_that_is_too_large_already_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(b"a" * KEPT_BYTES + b"b" * 3 * LIMIT + b"c" * KEPT_BYTES)
    log = BoundedLog(path)
    log.write(b"new\n")
    log.close()
    assert path.read_bytes() == b"a" * KEPT_BYTES + LEFT_OUT + b"c" * KEPT_BYTES + b"new\n"


def test_a_pipe_is_emptied_without_waiting(tmp_path: Path) -> None:
    reader, writer = multiprocessing.Pipe(duplex=False)
    output = Output(reader, BoundedLog(tmp_path / "output.log"))
    output.take()
    os.write(writer.fileno(), b"hello")
    output.take()
    assert not output.ended
    assert (tmp_path / "output.log").read_bytes() == b"hello"
    os.write(writer.fileno(), b" and goodbye")
    writer.close()
    output.take()
    assert output.ended
    output.close()
    assert (tmp_path / "output.log").read_bytes() == b"hello and goodbye"


def test_a_log_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="what workers print"):
        BoundedLog(Path("/proc/output.log"))
    log = BoundedLog(tmp_path / "output.log")
    with Path("/dev/full").open("wb") as full:
        os.dup2(full.fileno(), log._file.fileno())
    with pytest.raises(StorageError, match="No space left on device"):
        log.write(b"hello")
