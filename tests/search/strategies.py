"""Hypothesis strategies that make spaces, good and bad, from the definition itself."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hypermodels.knobs import Knob, Section
from hypermodels.knobs.per_stage import StagedSection
from search.space.definition import PLAIN_SECTIONS, PRESET_NAMES, tuned_sections

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


_names = st.lists(
    st.sampled_from(["block*_out", "conv2d_00?", "add"]), min_size=1, max_size=3, unique=True
)
TEXTS: dict[str, st.SearchStrategy[Any]] = {
    "stages": st.one_of(
        st.sampled_from(["all", "first", "last", "1", "2,3"]),
        st.lists(st.integers(1, 99), min_size=1, max_size=4),
        st.integers(1, 99),
    ),
    "weights": st.sampled_from(["none", "imagenet", "some/where.weights.h5", "a: b"]),
    "model": st.sampled_from(["package.module:function", "m:f", "some where.keras"]),
    "sites": st.one_of(st.sampled_from(["auto", "block*_out", "a, b"]), _names),
}
"""Values of every knob of free text but `per_stage`, which not every backbone takes."""

THREE_STAGES = ("resnet_v1", "resnet_v2")
"""Families of three stages, whatever is set of them."""


def values_of(knob: Knob, variants: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Values that a knob takes in each of some variants."""
    if knob.kind == "choice":
        return st.sampled_from(knob.choices)
    if knob.kind == "boolean":
        return st.booleans()
    if knob.name == "depth":
        return st.sampled_from(depths(variants))
    if knob.kind == "text":
        return TEXTS[knob.name]
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
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return ",".join(str(stage) for stage in sorted(set(value)))
    return ",".join(value) if isinstance(value, list) else value


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
def _stages(draw: st.DrawFn, section: StagedSection, content: dict[str, Any]) -> dict[str, Any]:
    """`per_stage` and keys of single stages beside what stands in the section `attention`."""
    type_ = content[section.selector.name]
    types = tuple(type_["choice"]) if isinstance(type_, dict) else (type_,)
    known = section.stage_knobs()
    owned = {
        name: variants
        for name in known
        if (variants := tuple(v for v in types if name in {k.name for k in section.variants[v]}))
    }
    names = draw(st.lists(st.sampled_from([section.selector.name, *owned]), unique=True))
    if not names:
        return {**content, "per_stage": []}
    keys: dict[str, Any] = {"per_stage": draw(st.sampled_from([names, ",".join(names)]))}
    for stage in draw(st.lists(st.integers(1, 3), unique=True)):
        for name in draw(st.lists(st.sampled_from(sorted(owned)), unique=True)) if owned else []:
            keys[f"stage{stage}.{name}"] = draw(_setting(known[name], owned[name]))
    order = draw(st.permutations([*content, *keys]))  # a file may have them in any
    return {key: {**content, **keys}[key] for key in order}


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
        elif knob.normalize and draw(st.booleans()):
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
        if isinstance(section, StagedSection) and name in content and draw(st.booleans()):
            family = content["backbone"].get("family", "")
            if family in THREE_STAGES:
                content[name] = draw(_stages(section, content[name]))
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
