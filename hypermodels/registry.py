"""Registries: backbone families and attention mechanisms by name."""

from __future__ import annotations

from typing import NoReturn, Protocol, TypeVar


class Named(Protocol):
    """What has a name."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(dict[str, T]):
    """Entries by their names, in the order of registration.

    Args:
        kind: What one entry is called in a message.
        kinds: What several are called.

    Raises:
        ValueError: If a name is looked up that no entry has.
    """

    def __init__(self, kind: str, kinds: str) -> None:
        super().__init__()
        self._kind, self._kinds = kind, kinds

    def add(self, entry: T) -> T:
        """Makes an entry known by its name.

        Raises:
            ValueError: If another entry has that name.
        """
        if entry.name in self:
            raise ValueError(
                f"{self._kind} {entry.name!r} is registered twice. Known {self._kinds}: "
                f"{', '.join(self)}. Give the new one another name."
            )
        self[entry.name] = entry
        return entry

    def __missing__(self, name: str) -> NoReturn:
        raise ValueError(f"unknown {self._kind} {name!r}. Known: {', '.join(self)}.")
