"""Which checkpoints stay: those that may be promoted or exported, and those of `--keep`.

A lineage that is out of the race can be trained again from its first epoch with the same
result, so what is deleted is time, never information.
"""

from __future__ import annotations

import contextlib
from collections.abc import Set

from search.runs.layout import checkpoint_path, checkpoints, fence_path
from search.runs.run import Run


def discard_unneeded(run: Run, resumable: Set[str], keep: int) -> None:
    """Deletes the checkpoints of lineages that are out of the race.

    Args:
        run: The open `Run`.
        resumable: The lineages whose training may still go on.
        keep: Integer, how many of the best finished lineages stay in any case; at least
            one, which is what an export takes.
    """
    best: dict[str, None] = {}
    for trial in run.state.best_first():
        best.setdefault(trial.lineage)
        if len(best) == max(1, keep):
            break
    confirmation = run.state.confirmation
    unread = confirmation.unread() if confirmation else frozenset()
    for path in checkpoints(run.path):
        if path.stem not in resumable and path.stem not in best and path.stem not in unread:
            discard(run, path.stem)


def discard(run: Run, lineage: str) -> None:
    """Deletes the checkpoint of a lineage; one that cannot be deleted costs room, no more."""
    with contextlib.suppress(OSError):
        checkpoint_path(run.path, lineage).unlink(missing_ok=True)
        fence_path(run.path, lineage).unlink(missing_ok=True)


def bytes_kept(run: Run) -> int:
    """What the checkpoints of a run take on disk."""
    total = 0
    for path in checkpoints(run.path):
        with contextlib.suppress(OSError):
            total += path.lstat().st_size
    return total
