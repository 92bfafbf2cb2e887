"""Where everything of a run lies.

journal.jsonl           the truth: every decision, epoch and result
lock                    held by the process that drives the run
data/                   the arrays that trials read; data/test/ is opened at export
checkpoints/0003.npz    the training state of a lineage after its last epoch
trial_0003/output.log   what the trial's workers printed, at most a megabyte of it
oracle.json, tuner0.json, trial_0003/trial.json   views for stock KerasTuner
summary.csv, .json, .md every trial, for people
answer.json, .md        what the confirmation says, for people
best/                   the exported model
rehearsal/              an export tried before the first trial; gone when it is done
compiled/               code that this session's trials share; gone when it is over
journal.discarded       the journal of a run that is being deleted
journal.torn            what was cut off the journal's end
export.log, workers.log what the processes of an export and the fork server printed
best.partial, best.old  an export on its way in and out
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from search.errors import RunDirectoryError
from search.storage.entries import (
    FILE,
    FOLDER,
    SECOND_NAME,
    is_folder,
    kind_of,
    walk,
    what_is_wrong,
)
from search.storage.files import is_temporary

JOURNAL = "journal.jsonl"

_FILES = (
    JOURNAL,
    "journal.torn",
    "journal.discarded",
    "lock",
    "export.log",
    "workers.log",
    "oracle.json",
    "tuner0.json",
    "summary.*",
    "answer.*",
    "data/*.npy",
    "data/*.json",
    "data/test/*.npy",
    "checkpoints/*.npz",
    "checkpoints/*.fence",
    "trial_*/trial.json",
    "trial_*/*.log",
    "best/metrics.json",
    "best/hyperparameters.yaml",
    "best/class_names.txt",
    "best/model.keras",
    "best/saved_model/*.pb",
    "best/saved_model/variables/*",
)
_FOLDERS = (
    "data",
    "data/test",
    "checkpoints",
    "trial_*",
    "compiled",
    "best",
    "best.partial",
    "best.old",
    "rehearsal",
    "best/saved_model",
    "best/saved_model/assets",
    "best/saved_model/variables",
)
_APPENDED = (
    JOURNAL,
    "journal.torn",
    "lock",
    "export.log",
    "workers.log",
    "checkpoints/*.fence",
    "trial_*/*.log",
)
_LOOKED_THROUGH = ("data", "checkpoints", "trial_*", "best")
"""Folders that hold nothing but what this program puts there."""


def is_ours(name: str) -> bool:
    """Whether an entry of a run directory has a name that this program gives."""
    tops = {pattern.partition("/")[0] for pattern in (*_FILES, *_FOLDERS)}
    leftover = name.startswith(".") and name.endswith(".tmp")
    return leftover or any(fnmatchcase(name, top) for top in tops)


def journal_path(run: Path) -> Path:
    return run / JOURNAL


def discarded_path(run: Path) -> Path:
    return run / "journal.discarded"


def lock_path(run: Path) -> Path:
    return run / "lock"


def data_folder(run: Path) -> Path:
    return run / "data"


def checkpoint_path(run: Path, lineage: str) -> Path:
    return run / "checkpoints" / f"{lineage}.npz"


def checkpoints(run: Path) -> list[Path]:
    """The checkpoints that are there, in order of their lineages."""
    folder = checkpoint_path(run, "0000").parent
    return sorted(folder.glob("*.npz")) if is_folder(folder) else []


def fence_path(run: Path, lineage: str) -> Path:
    return run / "checkpoints" / f"{lineage}.fence"


def trial_folder(run: Path, trial_id: str) -> Path:
    """KerasTuner's folder of a trial."""
    return run / f"trial_{trial_id}"


def compiled_folder(run: Path) -> Path:
    return run / "compiled"


def best_folder(run: Path) -> Path:
    return run / "best"


def rehearsal_folder(run: Path) -> Path:
    return run / "rehearsal"


def strange_entries(run: Path) -> Iterator[str]:
    """Says of each entry that is not what this program puts there what it is, in a line.

    What lies beside the program's own entries is left alone, and never looked into.

    Args:
        run: The run directory.

    Raises:
        OSError: If it is forbidden to look.
    """
    for top in sorted(run.iterdir()):
        looked_through = _matches((top.name,), _LOOKED_THROUGH) and is_folder(top)
        below = walk(top) if looked_through else ()
        for path, kind in ((top, kind_of(top)), *below):
            parts = path.relative_to(run).parts
            expected = ""
            if _matches(parts, _FILES) or is_temporary(path.name):
                expected = FILE
            elif _matches(parts, _FOLDERS):
                expected = FOLDER
            # Of what has no name of ours, a file or a folder below a folder of ours is fine.
            if path != top and not expected and kind not in (FILE, FOLDER):
                expected = "a file or a folder"
            if kind == FILE and _matches(parts, _APPENDED) and path.lstat().st_nlink > 1:
                kind = SECOND_NAME
            if kind and expected and kind != expected:
                yield what_is_wrong(path, kind, expected)


def _matches(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(
        len(names := pattern.split("/")) == len(parts) and all(map(fnmatchcase, parts, names))
        for pattern in patterns
    )


def refuse_strange_entries(run: Path) -> None:
    """Makes sure that a run directory holds files and folders where ours belong.

    Raises:
        RunDirectoryError: If anything else stands there.
        OSError: If it is forbidden to look.
    """
    found = list(strange_entries(run)) if run.is_dir() else []
    if found:
        more = [f"{len(found) - 3} more entries are of that kind."] if len(found) > 3 else []
        raise RunDirectoryError("\n  ".join([*found[:3], *more]))
