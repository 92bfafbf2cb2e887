"""Python processes that import nothing from the current folder from their first line on.

`multiprocessing` starts its processes with `python -c`, which puts the current folder first
on the path; its own imports then run a `random.py` that lies there. Environment variables
keep Python from it. The process that is started puts them back as they were, so that they
reach no program of the person's.
"""

from __future__ import annotations

import contextlib
import json
import os
import site
from collections.abc import Iterator
from pathlib import Path

from search.imports.import_path import forget_current_folder, is_current_folder

_ROOT = Path(__file__).parents[2]
_BEFORE = "CBAM_SEARCH_ENVIRONMENT_BEFORE"


@contextlib.contextmanager
def clean_start() -> Iterator[None]:
    """Has Python processes that start in the block import nothing from the current folder."""
    names = ("PYTHONSAFEPATH", "PYTHONPATH")
    before = {name: os.environ.get(name) for name in names}
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["PYTHONPATH"] = _search_path(before["PYTHONPATH"] or "")
    os.environ[_BEFORE] = json.dumps(before)
    try:
        yield
    finally:
        _restore()


def arrive() -> None:
    """In a process that was started so: forgets how, and the current folder."""
    if _BEFORE in os.environ:
        _restore()
    forget_current_folder()


def _restore() -> None:
    for name, value in json.loads(os.environ.pop(_BEFORE)).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _search_path(before: str) -> str:
    """A `PYTHONPATH` without the current folder, with which this program is found."""
    entries = [entry for entry in before.split(os.pathsep) if not is_current_folder(entry)]
    if not _is_installed() and str(_ROOT) not in entries:
        entries.append(str(_ROOT))
    return os.pathsep.join(entries)


def _is_installed() -> bool:
    """Whether Python finds this very copy of the program by itself."""
    folders = [Path(folder) for folder in (*site.getsitepackages(), site.getusersitepackages())]
    if _ROOT in folders:
        return True
    listed: list[str] = []
    for path in (path for folder in folders for path in folder.glob("*.pth")):
        with contextlib.suppress(OSError):
            listed += path.read_text("utf-8", "replace").splitlines()
    return str(_ROOT) in map(str.rstrip, listed)
