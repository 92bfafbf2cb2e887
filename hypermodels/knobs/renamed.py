"""Knobs that had another name once.

A space may still use the old name. The journal of a run and the names of its trainings keep
it, so that a run which began before the change goes on after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OLD_NAMES: Mapping[str, str] = {"normalization": "normalisation"}
"""The old name of each renamed knob."""

NEW_NAMES: Mapping[str, str] = {old: new for new, old in OLD_NAMES.items()}


def with_new_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names of today; where a knob stands under both, the old one counts."""
    old = {key: value for key, value in content.items() if _last(key) in NEW_NAMES}
    return _renamed(content, NEW_NAMES) | _renamed(old, NEW_NAMES)


def with_old_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names that they have in files and digests."""
    return _renamed(content, OLD_NAMES)


def renaming_notice(path: str) -> str:
    """The note to somebody who uses an old name, by itself or as a full name."""
    return f"{path} is now called {NEW_NAMES[_last(path)]}. The old name still works."


def _renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The settings of one section or of several, by section; their keys may be full names."""

    def section(settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        return {_new_key(key, names): value for key, value in settings.items()}

    return {_new_key(key, names): section(value) for key, value in content.items()}


def _new_key(key: str, names: Mapping[str, str]) -> str:
    last = _last(key)
    return key.removesuffix(last) + names[last] if last in names else key


def _last(key: str) -> str:
    return key.rpartition(".")[2]
