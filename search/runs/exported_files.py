"""The files of an exported model, told by their contents: nothing of them is loaded or run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from search.errors import RunDirectoryError
from search.storage.entries import FILE, FOLDER, format_path, open_to_read, walk, what_is_wrong


def exported_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path there.

    Raises:
        RunDirectoryError: If anything but files and folders lies there.
        OSError: If a file cannot be read.
    """
    found = {}
    for path, kind in walk(folder):
        if kind == FILE:
            found[path.relative_to(folder).as_posix()] = _sha256(path)
        elif kind != FOLDER:
            raise RunDirectoryError(what_is_wrong(path, kind, "a file or a folder"))
    return dict(sorted(found.items()))


def _sha256(path: Path) -> str:
    with open_to_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_files(folder: Path, files: Mapping[str, str], largest: int) -> list[str]:
    """The files that changed since the export, one line each.

    Args:
        folder: The exported folder.
        files: What `exported_files` gave then.
        largest: Integer, bytes that no file of an export exceeds; a larger one is not read.
    """
    wrong = []
    missing = dict(files)
    try:
        for path, kind in walk(folder):
            name = path.relative_to(folder).as_posix()
            expected = missing.pop(name, None)
            if kind == FOLDER and expected is None:
                continue
            if kind not in (FILE, FOLDER):
                continue  # told with all entries that are none of ours
            if expected is None:
                wrong.append(f"{format_path(path)} is no part of the exported model")
            elif kind == FOLDER or path.lstat().st_size > largest or _sha256(path) != expected:
                wrong.append(f"{format_path(path)} is not the file that was exported")
    except OSError as error:
        wrong.append(f"the exported model in {folder} cannot be read: {error}")
    wrong += [
        f"{format_path(folder / name)} is missing from the exported model" for name in missing
    ]
    return wrong
