"""Imports a person's code from the current folder without hiding other modules.

The folder is not on Python's path: with it, a `torch.py` that lies there would be run by
the first library that looks whether PyTorch is installed. A finder answers instead, for the
module that the person has named and for what modules from the folder import themselves. What
Python, this program or an installed package has under a name is never replaced.
"""

from __future__ import annotations

import importlib.abc
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FrameType, ModuleType

OURS = ("hypermodels", "search")


class OwnCode(importlib.abc.MetaPathFinder):
    """Finds the top-level modules of folders that are not on Python's path.

    Attributes:
        folders: Mapping from the name of a module that may be found to its folder.
    """

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if path is not None:  # a part of a package, which knows its folder
            return None
        folder = self.folders.get(fullname) or self.folders.get(_importing_module())
        spec = spec_in(folder, fullname) if folder else None
        if folder and spec:
            self.folders[fullname] = folder
        return spec


_FINDER = OwnCode()


def allow(name: str, folder: Path) -> None:
    """Lets a top-level module be imported from a folder."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    _FINDER.folders[name] = folder


def spec_in(folder: Path, name: str) -> ModuleSpec | None:
    """A top-level module of a folder; `None` where it has none, or where another is meant.

    As on Python's path, a module or package goes before a folder that is no package.
    """
    own = PathFinder.find_spec(name, [str(folder)])
    if own is None or taken_by(name, folder):
        return None
    return own


def taken_by(name: str, folder: Path) -> str:
    """The owner of another module with this top-level name, or an empty string."""
    own = PathFinder.find_spec(name, [str(folder)])
    if own is None:
        return ""
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return "Python's standard library"
    other = _elsewhere(name)
    if other is None or _same(own, other) or (other.loader is None and own.loader is not None):
        return ""
    return "cbam-search itself" if name in OURS else f"an installed package ({_place(other)})"


def _elsewhere(name: str) -> ModuleSpec | None:
    """A top-level module as Python finds it without this finder."""
    for finder in sys.meta_path:
        if finder is not _FINDER and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec
    return None


def _same(first: ModuleSpec, second: ModuleSpec) -> bool:
    """Whether two specs are one file, or one folder that is no package."""
    try:
        return os.path.samefile(_place(first), _place(second))
    except OSError:
        return False


def _place(spec: ModuleSpec) -> str:
    return spec.origin or next(iter(spec.submodule_search_locations or ()), "")


def _importing_module() -> str:
    """The top-level name of the module whose code imports something right now."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _top(frame) in ("importlib", "_frozen_importlib"):
        frame = frame.f_back
    return _top(frame) if frame is not None else ""


def _top(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
