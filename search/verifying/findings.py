"""What a check of a run directory found."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from search.errors import CbamSearchError, StorageError


@dataclass
class Findings:
    """What a check found.

    Args:
        wrong: What is wrong, one line each.
        checked: How much was looked at, by kind.
    """

    wrong: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str) -> None:
        self.checked[kind] = self.checked.get(kind, 0) + 1

    def add(self, line: str) -> None:
        """Notes what is wrong, once."""
        if line not in self.wrong:
            self.wrong.append(line)

    @contextlib.contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Turns any error in the block, which checks `what`, into a finding.

        The files may hold anything, and so may raise anything where they are used: a check
        that ended with the first of them would not tell of the others.
        """
        try:
            yield
        except StorageError:
            raise  # something was to be written
        except CbamSearchError as error:
            self.add(str(error))
        except Exception as error:
            text = (str(error).splitlines() or [""])[0][:200]
            self.add(f"{what} cannot be checked: {type(error).__name__}: {text}")
