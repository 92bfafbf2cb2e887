"""A comparison around a search's best attention: one setting at a time is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hypermodels.knobs import Choice, Value, join_values
from hypermodels.knobs.per_stage import PER_STAGE
from hypermodels.settings.configuration import Configuration
from search.errors import UsageError
from search.space.definition import PLAIN_SECTIONS, tuned_sections
from search.space.space import Space


def one_factor_space(space: Space, best: Configuration) -> dict[str, Any]:
    """A space for `cbam-search compare`: the best attention, and each change of one setting.

    Args:
        space: The `Space` of the search.
        best: The best `Configuration` with attention that it found.

    Returns:
        The space as plain values. Backbone and recipe are those of `best`; presets are `none`,
        `best`, and one for every other value of every tuned choice of its attention.

    Raises:
        UsageError: If stages have settings of their own, or nothing of attention is tuned.
    """
    if best.attention.get(PER_STAGE.name):
        raise UsageError(
            "the best attention has settings of its own in each stage; changes of one setting "
            "are for attention that is the same in all."
        )
    changed = dict(_changes(space, best))
    if not changed:
        raise UsageError("the space offers no other value of any setting of the best attention.")
    presets = {"best": best, **changed}
    return {
        "backbone": _own("backbone", best.backbone),
        "recipe": _own("recipe", best.recipe),
        **{section: _set(space, section) for section in ("data", "search")},
        "presets": ["none", *({name: _own_attention(each)} for name, each in presets.items())],
        "confirm": {"seeds": space.confirm.seeds or 5},
    }


def _own(section: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """The selector of a section, and what has not its default."""
    found = tuned_sections()[section]
    chosen = {found.selector.name: values[found.selector.name]}
    return {**chosen, **_unusual(values, found.resolve(chosen, {}))}


def _own_attention(configuration: Configuration) -> dict[str, Value]:
    """The same of attention, whose placement has another default in every family."""
    chosen = {"type": configuration.attention["type"]}
    usual = Configuration.resolve({"backbone": configuration.backbone, "attention": chosen})
    return {**chosen, **_unusual(configuration.attention, usual.attention)}


def _set(space: Space, section: str) -> dict[str, Value]:
    """The keys of a plain section that have not their default."""
    usual = {knob.name: knob.default for knob in PLAIN_SECTIONS[section]}
    return _unusual(space.to_dict()[section], usual)


def _unusual(values: Mapping[str, Value], usual: Mapping[str, Value]) -> dict[str, Value]:
    return {
        name: value for name, value in values.items() if name not in usual or usual[name] != value
    }


def _changes(space: Space, best: Configuration) -> Iterator[tuple[str, Configuration]]:
    """Every configuration that differs from the best in one tuned choice of its attention."""
    flat = best.flat()
    for name, (_, knob, domain) in space.tuned().items():
        if not name.startswith("attention.") or not isinstance(domain, Choice):
            continue
        for value in domain.values:
            if name in flat and value not in (flat[name], "none"):
                yield (
                    f"{knob.name}={join_values((value,))}",
                    space.configuration({**flat, name: value}),
                )
