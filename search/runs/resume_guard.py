"""Whether a run directory is this search's: what may differ on resuming, and what may not."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hypermodels.backbones import get_family
from hypermodels.settings.configuration import combinations
from search import __version__
from search.data import NAMED
from search.errors import START_ANEW, RunDirectoryError, SpaceError
from search.imports.keras_in_driver import keras_backend
from search.runs.records import SearchExtended
from search.runs.state import RunState
from search.space.definition import tuned_sections
from search.space.space import Space

PACKAGES = ("tensorflow", "keras", "keras-tuner", "numpy")

MAY_CHANGE = ("epoch_time_limit",)
"""Keys of `search` that no result depends on."""


def guard(state: RunState, space: Space, path: Path) -> SearchExtended | None:
    """Makes sure that a run is this search's; returns the entry of an extension, if it is one.

    Args:
        state: What the run's journal says.
        space: The `Space` of the search.
        path: The run directory, for messages.

    Raises:
        RunDirectoryError: If anything differs that the results depend on.
    """
    header = state.header
    then, now = _with_one_spelling(header.space, space.to_dict())
    budgets = extended_budgets(state.budgets, then["search"], now["search"])
    allowed = {*MAY_CHANGE, *(("max_epochs", "hyperband_iterations") if budgets else ())}
    differences = [
        *_differences(_without(then, allowed), _without(now, allowed)),
        *_differences({"version": header.versions}, {"version": versions()}),
        *_changed_files(header.files, backbone_files(space)),
    ]
    if differences:
        lines = "\n".join(f"  {line}" for line in differences)
        raise RunDirectoryError(
            f"{path} is a run of another space:\n{lines}\n"
            "Its results would not compare. Undo the change, or choose another --name. "
            f"{START_ANEW}"
        )
    if budgets and budgets != state.budgets:
        return SearchExtended(search=asdict(space.search), budgets=list(budgets))
    return None


def _with_one_spelling(
    then: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two spaces whose data is called the same where it is one file or folder.

    Whether its content is still the same is compared by `source_guard.py`.
    """
    names = [str(space["data"].get("name")) for space in (then, now)]
    paths = [os.path.realpath(os.path.expanduser(name)) for name in names]
    same = paths[0] == paths[1] and not set(names) & set(NAMED)
    name = names[0] if same else now["data"].get("name")
    return dict(then), {**now, "data": {**now["data"], "name": name}}


def _without(space: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    """A space without some keys of its section `search`, and without `confirm`."""
    search = {key: value for key, value in space["search"].items() if key not in keys}
    found = {**space, "search": search}
    found.pop("confirm", None)  # it comes after the search, and changes nothing of it
    return found


def extended_budgets(
    budgets: tuple[int, ...], then: Mapping[str, Any], now: Mapping[str, Any]
) -> tuple[int, ...] | None:
    """The budgets of a run that goes on with more iterations or a larger full budget.

    Args:
        budgets: The full budget of each iteration so far.
        then: The `search` section so far.
        now: The `search` section asked for.

    Returns:
        `budgets` with new iterations behind it, `budgets` itself where nothing is added,
        or `None` if what is asked for is no extension: fewer iterations, or a full budget
        that is not the old one times a power of the factor.
    """
    epochs, iterations = now["max_epochs"], now["hyperband_iterations"]
    if epochs == then["max_epochs"]:
        more = iterations - then["hyperband_iterations"]
        return budgets + (epochs,) * more if more >= 0 else None
    power = then["max_epochs"]
    while power < epochs:
        power *= now["factor"]
    return budgets + (epochs,) * iterations if power == epochs else None


def _differences(then: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    found: list[str] = []
    for key in sorted({*then, *now}):
        before, after = then.get(key), now.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict) and not _is_domain(before, after):
            found += _differences(before, after, f"{prefix}{key}.")
        else:
            found.append(f"{prefix}{key}: {_shown(before)} in the run, {_shown(after)} now")
    return found


def _is_domain(*values: dict[str, Any]) -> bool:
    return any({"choice", "int", "float"} & set(value) for value in values)


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "backend": keras_backend(),
        "cbam-search": __version__,
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def backbone_files(space: Space) -> dict[str, str]:
    """Weights and code that the backbones of a space are made of, each with its fingerprint.

    Raises:
        SpaceError: If one of them cannot be read.
    """
    section = tuned_sections()["backbone"]
    files = {
        path: _fingerprint(path)
        for settings in combinations(section, space.settings["backbone"])
        for path in get_family(str(settings[section.selector.name])).files(settings)
    }
    return {str(path): files[path] for path in sorted(files)}


def _changed_files(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name}: another content in the run than now"
        if name in then and name in now
        else f"{name}: {'part of' if name in then else 'no part of'} the backbone in the run, "
        f"{'part of' if name in now else 'no part of'} it now"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise SpaceError(
            f"the backbone needs {path}, which cannot be read: {error.strerror or error}. Paths "
            "are taken from the current directory."
        ) from error
