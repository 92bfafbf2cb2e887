"""Every operation on a run directory is a moment at which the program can die.

`CrashPoints` sees each creation, write, fsync, truncation, rename, deletion and new folder
below a directory, counts them, and ends the process before, after or halfway through one.
A power loss takes with it what was not fsynced: contents, and names in folders. Instead of
ending the process it can refuse operations, as a full or broken disk does.
"""

from __future__ import annotations

import builtins
import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CRASHED = 77
"""Exit code of a process that died at its point."""

BEFORE, HALFWAY, AFTER, POWER = "before", "halfway", "after", "power loss after"

_real_open = io.open
_real: dict[str, Callable[..., Any]] = {
    name: getattr(os, name)
    for name in ("fsync", "replace", "rename", "unlink", "remove", "truncate", "mkdir", "rmdir")
}


@dataclass(frozen=True)
class Operation:
    """One operation: its kind, the path relative to the directory, the bytes of a write."""

    kind: str
    path: str
    size: int = 0


@dataclass
class CrashPoints:
    """Counts the operations below a directory in this process, and ends it at one of them.

    Args:
        root: The directory.
        at: Integer from 0, the operation to die at; -1 to live.
        how: `"before"`, `"halfway"` (writes alone), `"after"` or `"power loss after"`.
        refuse: Number of the `OSError` that operations meet instead, or 0.
        lasting: Boolean, whether all later operations but deletions are refused too.
        log: File outside the directory that takes a line for every operation.
    """

    root: Path
    at: int = -1
    how: str = BEFORE
    refuse: int = 0
    lasting: bool = False
    log: Path | None = None
    _count: int = 0
    _dirty: dict[str, bytes] = field(default_factory=dict)
    _undo: dict[str, list[tuple[int, Callable[[], Any]]]] = field(default_factory=dict)
    _removed: dict[str, list[str]] = field(default_factory=dict)

    def install(self) -> None:
        """Takes the place of `open` and of the functions of `os`, for good."""
        points, self.root = self, self.root.resolve()
        self._sink = _real_open(self.log, "ab", buffering=0) if self.log else None

        def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            path = points.inside(file) if isinstance(file, str | os.PathLike) else None
            if path is None or not set(mode) & set("wax+"):
                return _real_open(file, mode, *arguments, **options)
            return points.open_to_write(path, mode, *arguments, **options)

        io.open = builtins.open = opened  # type: ignore[assignment]
        for name in _real:
            setattr(os, name, points.wrapper(name))

    # ---- what is seen -------------------------------------------------------------------

    def inside(self, file: Any, dir_fd: int | None = None) -> str | None:
        """The absolute path of a file below the directory, or `None` if it lies elsewhere."""
        if isinstance(file, int):
            path = os.readlink(f"/proc/self/fd/{file}")
        else:
            folder = os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd is not None else os.getcwd()
            path = os.path.normpath(os.path.join(folder, os.fspath(file)))
        below = path == str(self.root) or path.startswith(f"{self.root}/")
        return path if below else None

    def open_to_write(
        self,
        path: str,
        mode: str,
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        opener: Callable[[str, int], int] | None = None,
    ) -> Any:
        there = os.path.exists(path)
        plain = mode.replace("b", "").replace("t", "")
        if not there or "w" in mode:
            raw = self.happens(
                Operation("create" if not there else "empty", self.short(path)),
                lambda: WatchedFile(self, path, plain, opener),
                path,
            )
        else:
            raw = WatchedFile(self, path, plain, opener)
        if buffering == 0:
            return raw
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline)

    def wrapper(self, name: str) -> Callable[..., Any]:
        real = _real[name]

        def watched(*arguments: Any, **options: Any) -> Any:
            folder = options.get("dir_fd")
            path = self.inside(arguments[-1 if name in ("replace", "rename") else 0], folder)
            if path is None:
                return real(*arguments, **options)
            operation = Operation(name, self.short(path))
            source = self.inside(arguments[0]) if name in ("replace", "rename") else None
            return self.happens(operation, lambda: real(*arguments, **options), path, source)

        return watched

    def short(self, path: str) -> str:
        name = os.path.relpath(path, self.root)
        return name.replace(f".{os.getpid()}.", ".PID.")

    # ---- what happens -------------------------------------------------------------------

    def happens(
        self,
        operation: Operation,
        act: Callable[[], Any],
        path: str,
        source: str | None = None,
        half: Callable[[], Any] | None = None,
    ) -> Any:
        mine = self._count == self.at
        self._count += 1
        if self._sink:
            self._sink.write(f"{operation.kind}\t{operation.path}\t{operation.size}\n".encode())
        # A full disk can still delete.
        later = self.lasting and self._count > self.at + 1
        later = later and operation.kind not in ("unlink", "remove", "rmdir", "truncate")
        if self.refuse and (mine or later):
            if mine and half is not None:
                half()
            raise OSError(self.refuse, os.strerror(self.refuse), path)
        if mine and self.how == BEFORE:
            os._exit(CRASHED)
        if mine and self.how == HALFWAY and half is not None:
            half()
            os._exit(CRASHED)
        if self.how == POWER:
            self._remember(operation.kind, path, source)
        try:
            return act()
        finally:
            if mine and self.how == POWER:
                self._lose_power()
            if mine:
                os._exit(CRASHED)

    # ---- power loss ---------------------------------------------------------------------

    def _remember(self, kind: str, path: str, source: str | None) -> None:
        """Notes what it takes to undo an operation that no fsync has made durable yet."""
        folder = os.path.dirname(path)
        if kind == "fsync":
            self._dirty.pop(path, None)
            self._settle(path)
            return
        if kind in ("write", "truncate", "empty"):
            if path not in self._dirty:
                self._dirty[path] = _content(path)
            return
        before = _content(path) if os.path.isfile(path) else None

        def undo(act: Callable[[], Any]) -> None:
            self._undo.setdefault(folder, []).append((self._count, act))

        if kind in ("create", "mkdir"):
            if not os.path.exists(path):
                undo(lambda: _delete(path))
        elif kind == "rmdir":
            undo(lambda: os.path.isdir(folder) and os.mkdir(path))
            self._removed.setdefault(folder, []).append(path)
        elif kind in ("unlink", "remove"):
            undo(lambda: _restore(path, before))
        elif source is not None and os.path.isdir(source):
            undo(lambda: os.path.isdir(path) and shutil.move(path, source))
        elif source is not None:
            moved = self._dirty.pop(source, None)
            self._dirty.pop(path, None)
            if moved is not None:
                self._dirty[path] = moved
            content = _content(source)
            undo(lambda: (_restore(source, content), _restore(path, before)))

    def _settle(self, folder: str) -> None:
        """Nothing in a folder can be undone any more, nor in those that were removed from it."""
        self._undo.pop(folder, None)
        for removed in self._removed.pop(folder, []):
            self._settle(removed)

    def _lose_power(self) -> None:
        io.open = builtins.open = _real_open
        for name, function in _real.items():
            setattr(os, name, function)
        for path, content in self._dirty.items():
            if os.path.exists(path):
                Path(path).write_bytes(content)
        pending = [each for folder in self._undo.values() for each in folder]
        for _, undo in sorted(pending, key=lambda each: each[0], reverse=True):
            undo()


class WatchedFile(io.FileIO):
    """A file whose every write is an operation."""

    def __init__(
        self,
        points: CrashPoints,
        path: str,
        mode: str,
        opener: Callable[[str, int], int] | None = None,
    ) -> None:
        super().__init__(path, mode, opener=opener)
        self._points, self._path = points, path

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        written: int = self._points.happens(
            Operation("write", self._points.short(self._path), len(view)),
            lambda: super(WatchedFile, self).write(view),
            self._path,
            half=lambda: super(WatchedFile, self).write(view[: len(view) // 2]),
        )
        return written

    def truncate(self, size: int | None = None, /) -> int:
        left: int = self._points.happens(
            Operation("truncate", self._points.short(self._path)),
            lambda: super(WatchedFile, self).truncate(size),
            self._path,
        )
        return left


def _content(path: str) -> bytes:
    with _real_open(path, "rb") as file:
        content: bytes = file.read()
    return content


def _delete(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def _restore(path: str, content: bytes | None) -> None:
    if content is None:
        _delete(path)
    elif os.path.isdir(os.path.dirname(path)):
        with _real_open(path, "wb") as file:
            file.write(content)
