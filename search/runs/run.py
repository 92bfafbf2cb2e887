"""A run directory, opened for driving or for reading."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hypermodels.networks.cost import CostModel
from search.data import PreparedInfo
from search.errors import RunDirectoryError, SpaceError
from search.runs.encoding import to_record
from search.runs.journal import Journal, read_journal
from search.runs.layout import JOURNAL, journal_path
from search.runs.records import Entry
from search.runs.state import RunState
from search.space.loading import recorded_space
from search.space.space import Space


@dataclass
class Run:
    """A run directory that this process drives.

    Args:
        path: The run directory.
        space: The `Space`.
        info: What its data holds.
        journal: The open `Journal`.
        state: What the journal says; kept up to date by `record`.
        resumed: Boolean, whether the run was there before.
        remarks: Sentences on what was found when it was opened this time.
        costs: Counts its networks, where that has begun already.
    """

    path: Path
    space: Space
    info: PreparedInfo
    journal: Journal
    state: RunState
    resumed: bool
    remarks: tuple[str, ...] = ()
    costs: CostModel | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """What was left out, assumed or could not be looked at, a sentence each."""
        return (*self.state.header.notices, *self.remarks)

    def record(self, entry: Entry) -> None:
        """Writes an entry to the journal, then takes it into account as a replay would."""
        self.state.apply(self.journal.append(to_record(entry)))


def load_run(path: Path) -> RunState:
    """Reads a run without changing or locking it.

    Raises:
        RunDirectoryError: If there is no run.
    """
    # os.path answers False where it is forbidden to look; Path raises.
    if not os.path.lexists(journal_path(path)):
        raise RunDirectoryError(
            f"{path} is not a run directory: it has no {JOURNAL}. "
            "Give the directory that `cbam-search --space ...` named."
        )
    records, _ = read_journal(journal_path(path))
    state = RunState.replay(records)
    if state.began is None:
        raise RunDirectoryError(f"{path} has not started: its journal is empty.")
    return state


def space_of(state: RunState, path: Path) -> Space:
    """The space that a run was started with, as its journal has it.

    Raises:
        RunDirectoryError: If it is none.
    """
    try:
        return recorded_space(state.header.space, f"the space of {path}")
    except (SpaceError, RecursionError) as error:
        raise RunDirectoryError(
            f"the journal of {path} holds a space that this version does not read: {error}"
        ) from error
