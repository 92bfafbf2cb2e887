"""The entries of a run directory, opened, made and deleted with nothing followed.

A run directory may come from a stranger. A link in it would lead a write or a deletion to
another place, a FIFO would keep a reader waiting for ever, and a file with a second name
changes there too when it is appended to. So an entry is what it should be, a regular file
or a folder, or it is refused by name. The run directory itself may be reached through a
link: that one is the person's.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from io import BufferedReader, BufferedWriter, FileIO
from pathlib import Path

from search.errors import RunDirectoryError

FILE, FOLDER = "a file", "a folder"
SECOND_NAME = "a file with another name elsewhere"

_KINDS = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind_of(path: Path) -> str:
    """The kind of entry at a path: `FILE`, `FOLDER`, other words, or empty for nothing.

    Raises:
        OSError: If `stat` is denied.
    """
    try:
        return _kind(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _kind(mode: int) -> str:
    return _KINDS.get(stat.S_IFMT(mode), "something unknown")


def is_file(path: Path) -> bool:
    """Whether a path is a regular file. A link to one is not."""
    return kind_of(path) == FILE


def is_folder(path: Path) -> bool:
    """Whether a path is a folder. A link to one is not."""
    return kind_of(path) == FOLDER


def what_is_wrong(path: Path, found: str, expected: str) -> str:
    """One line on an entry that is not what it should be, with what to do."""
    advice = {
        FILE: "Move it to another place",
        FOLDER: "Move it to another place",
        "a link": "Nothing in a run directory is followed: put what it leads to in its place, "
        "or remove the link alone",
        SECOND_NAME: "What is written to one name changes the other: put a copy in its place",
    }.get(found, "Remove it, or move it to another place")
    return f"{format_path(path)} is {found}, where {expected} of the run belongs. {advice}."


def format_path(path: Path) -> str:
    """A path, escaped for printing, since a stranger's file names may hold anything."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(path))


def _refused(path: Path, found: str, expected: str) -> RunDirectoryError:
    return RunDirectoryError(what_is_wrong(path, found, expected))


# ---- opening --------------------------------------------------------------------------------


def open_to_read(path: Path, folders: int = 0) -> BufferedReader:
    """Opens a regular file for reading.

    Args:
        path: The file.
        folders: Integer, how many of the last folders of the path are entries of the run
            too, and so must be no links.

    Raises:
        RunDirectoryError: If anything else stands there.
        OSError: If there is nothing, or the machine refuses.
    """
    _check_file(path, folders)
    return open(path, "rb", opener=_opener(path))  # noqa: SIM115


def open_to_append(path: Path, folders: int = 0) -> FileIO:
    """Opens a regular file with no other name for reading and appending, unbuffered.

    It is created where nothing is. For the arguments see `open_to_read`.

    Raises:
        RunDirectoryError: If anything else stands there.
        OSError: If the machine refuses.
    """
    _check_file(path, folders)
    return open(path, "a+b", buffering=0, opener=_opener(path))  # noqa: SIM115


def create(path: Path) -> BufferedWriter:
    """Opens a new file for writing.

    Raises:
        OSError: If the machine refuses, or anything stands there.
    """
    _check_file(path)
    return open(path, "xb", opener=_opener(path))  # noqa: SIM115


def read_bytes(path: Path, limit: int, folders: int = 0) -> bytes:
    """The content of a regular file that has at most `limit` bytes.

    For the other arguments, and what it raises, see `open_to_read`.

    Raises:
        ValueError: If there is more.
    """
    with open_to_read(path, folders) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise ValueError(f"it has {size:,} bytes, more than it ever needs")
        return file.read(limit)


def write_all(file: FileIO, content: bytes) -> None:
    """Writes to an unbuffered file, which may take a part at a time.

    Raises:
        OSError: If the machine refuses; a part may be written.
    """
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _check_file(path: Path, folders: int = 0) -> None:
    """Looks before it is opened, which of a device may do something."""
    for folder in path.parents[:folders]:
        check_folder(folder)
    if (found := kind_of(path)) not in ("", FILE):
        raise _refused(path, found, FILE)


def _opener(path: Path) -> Callable[[str, int], int]:
    """Opens a file and looks once more, at what was opened: it may have been exchanged."""

    def opened(name: str, flags: int) -> int:
        # Opening a FIFO waits for its other end, but for this flag.
        guarded = flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        descriptor = os.open(name, guarded, 0o666)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _refused(path, _kind(status.st_mode), FILE)
            if flags & os.O_APPEND and status.st_nlink > 1:
                raise _refused(path, SECOND_NAME, FILE)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    return opened


def check_folder(path: Path) -> None:
    """Makes sure that a path is no link or file where a folder belongs; it may be nothing.

    Raises:
        RunDirectoryError: If it is.
    """
    if (found := kind_of(path)) not in ("", FOLDER):
        raise _refused(path, found, FOLDER)


# ---- folders --------------------------------------------------------------------------------


def ensure_folder(path: Path) -> None:
    """Makes a folder where none is; the one above must be there.

    Raises:
        RunDirectoryError: If anything else stands there.
        OSError: If the machine refuses.
    """
    try:
        os.mkdir(path)
    except FileExistsError:
        check_folder(path)


DEEPEST = 32
"""Folders within folders that are looked through; a run has five at most."""


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every entry below a folder and what it is, in order of names; a folder before its own.

    Links are told and not followed; a folder that is nested deeper than `DEEPEST` is told
    and not entered.

    Raises:
        OSError: If `stat` is denied.
    """
    waiting = [(folder, 0)]
    while waiting:
        here, depth = waiting.pop()
        inner = []
        for name in sorted(os.listdir(here)):
            path = here / name
            kind = kind_of(path)
            yield path, kind
            if kind == FOLDER and depth < DEEPEST:
                inner.append((path, depth + 1))
        waiting += reversed(inner)


def remove(path: Path) -> None:
    """Deletes what stands at a path, a folder with all in it; of a link the link alone.

    Raises:
        RunDirectoryError: If folders are nested too deep, as none of a run are.
        OSError: If the machine refuses.
    """
    found = kind_of(path)
    if found == FOLDER:
        try:
            shutil.rmtree(path)
        except RecursionError:
            raise RunDirectoryError(
                f"{format_path(path)} holds folders within folders, deeper than any that a run "
                "has. Move it to another place."
            ) from None
    elif found:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
