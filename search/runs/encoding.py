"""Between an entry and its record: plain values under the names of the entry's fields.

A renamed knob has its new name in an entry, its old one in a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

from hypermodels.knobs.renamed import with_new_names, with_old_names
from search.errors import START_ANEW, RunDirectoryError
from search.runs.records import ENTRIES, FORMAT, Entry, Plain, RunBegan
from search.runs.shapes import Check

_OF_SETTINGS = ("space", "configuration", "settings")
"""The fields whose keys are sections and knobs."""


def to_record(entry: Entry) -> Plain:
    """An entry as the journal has it; what is at its default is left out."""
    found: Plain = {"type": entry.type}
    for each in fields(entry):
        value = getattr(entry, each.name)
        if each.name == "format" or value != _default(each):
            found[each.name] = with_old_names(value) if each.name in _OF_SETTINGS else value
    return found


def from_record(record: Mapping[str, Any], *, first: bool) -> Entry | None:
    """The entry of a record, or `None` where a later version wrote it, of a type unknown here.

    Args:
        record: The record.
        first: Whether it is the one that the journal begins with.

    Raises:
        RunDirectoryError: If a value is missing or is none that could stand there.
    """
    kind = record.get("type")
    if not isinstance(kind, str):
        raise malformed(record, "it has no type")
    if first != (kind == RunBegan.type):
        raise malformed(record, "a journal begins with its one record of type run")
    if first and record.get("format") != FORMAT:
        raise RunDirectoryError(
            f"the run was written in format {_short(record.get('format'))}; this version reads "
            f"format {FORMAT}. Use the version of cbam-search that wrote it."
        )
    if kind not in ENTRIES:
        return None
    values: Plain = {}
    for each in fields(ENTRIES[kind]):
        if each.name in record:
            value = record[each.name]
            if not _check_of(ENTRIES[kind], each.name)(value):
                raise malformed(record, f"{each.name} is {_short(value)!r}")
            values[each.name] = with_new_names(value) if each.name in _OF_SETTINGS else value
        elif _default(each) is MISSING:
            raise malformed(record, f"it has no {each.name}")
    return ENTRIES[kind](**values)


def malformed(record: Mapping[str, Any], why: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"the journal has a record (type {_short(record.get('type'))}, trial "
        f"{_short(record.get('trial'))}) that cbam-search does not write: {why}. Restore the "
        f"journal from a copy. {START_ANEW}"
    )


def _default(each: Field[Any]) -> Any:
    made = each.default_factory
    return each.default if made is MISSING else made()


_CHECKS: dict[type[Entry], dict[str, Check]] = {}


def _check_of(kind: type[Entry], name: str) -> Check:
    """The check that a field's annotation carries."""
    if kind not in _CHECKS:
        hints = get_type_hints(kind, include_extras=True)
        _CHECKS[kind] = {each.name: hints[each.name].__metadata__[0] for each in fields(kind)}
    return _CHECKS[kind][name]


def _short(value: Any) -> str:
    try:
        return str(value)[:60]
    except RecursionError:
        return "[[[..."
