"""Hypothesis strategies that make spaces, good and bad, from the definition itself."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hypermodels.knobs import Knob, Section
from search.definition import PLAIN_SECTIONS, PRESET_NAMES, tuned_sections

DEPTHS = {
    "resnet_v1": (8, 14, 20, 56),
    "resnet_v2": (11, 20, 29, 1001),
    "resnext": (11, 20, 29, 50, 101),
    "densenet": (10, 40, 100, 121),
}
"""Some depths of each family that has one; 20 is one of all but `densenet`."""


def depths(variants: tuple[str, ...]) -> list[int]:
    """The depths that each of some families has."""
    return sorted(set.intersection(*(set(DEPTHS[variant]) for variant in variants)))


def values_of(knob: Knob, variants: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Values that a knob takes in each of some variants."""
    if knob.kind == "choice":
        return st.sampled_from(knob.choices)
    if knob.kind == "boolean":
        return st.booleans()
    if knob.name == "depth":
        return st.sampled_from(depths(variants))
    if knob.kind == "text":
        stages = st.lists(st.integers(1, 99), min_size=1, max_size=4)
        words = st.sampled_from(["all", "first", "last", "1", "2,3"])
        return st.one_of(words, stages, st.integers(1, 99))
    low, high = knob.minimum or 0.0, knob.maximum if knob.maximum is not None else 1e6
    if knob.kind == "integer":
        return st.integers(int(low), int(high))
    return st.floats(low, high)


@st.composite
def _setting(draw: st.DrawFn, knob: Knob, variants: tuple[str, ...]) -> Any:
    """A fixed value or a domain."""
    values = values_of(knob, variants)
    form = draw(st.sampled_from(["value", "choice", "range"]))
    if form == "choice":
        unique = st.lists(values, min_size=1, max_size=4, unique_by=lambda v: str(as_text(v)))
        return {"choice": draw(unique)}
    if form == "range" and knob.kind in ("integer", "number") and not knob.check:
        low, high = sorted(draw(st.lists(values, min_size=2, max_size=2, unique=True)))
        if knob.kind == "integer":
            return {"int": [low, high], "step": draw(st.integers(1, 5))}
        log = low > 0 and draw(st.booleans())
        return {"float": [low, high], "sampling": "log" if log else "linear"}
    return draw(values)


def as_text(value: Any) -> Any:
    """What a value becomes, where two spellings are one: `[3, 2]` and `2,3`."""
    if isinstance(value, list):
        return ",".join(str(stage) for stage in sorted(set(value)))
    return value


@st.composite
def _section(draw: st.DrawFn, section: Section) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(list(section.variants)), min_size=1, unique=True))
    content: dict[str, Any] = {
        section.selector.name: names[0] if len(names) == 1 else {"choice": names}
    }
    for name, knob in section.knobs().items():
        owners = tuple(
            variant
            for variant in names
            if any(other.name == name for other in section.variants[variant])
        )
        if name == "depth" and owners and not depths(owners):
            continue
        if owners and name != section.selector.name and draw(st.booleans()):
            content[name] = draw(_setting(knob, owners))
    return content


@st.composite
def _plain(draw: st.DrawFn, name: str) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for knob in PLAIN_SECTIONS[name]:
        if not draw(st.booleans()):
            continue
        if knob.name == "name":
            content["name"] = draw(st.sampled_from(["cifar10", "a folder/with: colon", "1e5x"]))
        elif knob.name == "validation":
            content["validation"] = draw(
                st.one_of(
                    st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(1, 10**9)
                )
            )
        elif knob.normalise and draw(st.booleans()):
            content[knob.name] = draw(st.sampled_from(["300k", "1.5M", "2 G"]))
        else:
            content[knob.name] = draw(values_of(knob, ()))
    return content


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    """A space that is valid by its definition (whether it builds anything is not said)."""
    content: dict[str, Any] = {}
    for name, section in tuned_sections().items():
        if name == "backbone" or draw(st.booleans()):
            content[name] = draw(_section(section))
    for name in PLAIN_SECTIONS:
        if draw(st.booleans()):
            content[name] = draw(_plain(name))
    if draw(st.booleans()):
        content["presets"] = draw(st.lists(st.sampled_from(PRESET_NAMES), unique=True))
    return content


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["none", "se", "cbam", "all", "sgd", "300k", "log", 0, 1, 2, 3, 7, 0.5]),
)
_keys = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["choice", "int", "float", "step", "sampling", "type", "depth", "backbone"]),
)
junk = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_keys, inner, max_size=4)
    ),
    max_leaves=8,
)
"""Anything that a YAML file can hold."""


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A good space in which one thing was replaced, added or taken away."""
    content: Any = draw(spaces())
    place: Any = content
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys or draw(st.integers(0, 4)) == 0:
            if isinstance(place, dict):
                place[draw(_keys)] = draw(junk)
            else:
                place.append(draw(junk))
            return content
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.integers(0, 5)) == 0:
            del place[key]
        else:
            place[key] = draw(junk)
        return content
