"""Knobs, domains and sections: what is accepted, sampled, resolved and declared."""

from __future__ import annotations

import math
from typing import Any

import keras_tuner as kt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypermodels.attention import get_mechanism
from hypermodels.knobs import (
    Choice,
    FloatRange,
    IntRange,
    Knob,
    KnobError,
    Section,
    is_tuned,
    join_values,
)
from hypermodels.settings.configuration import (
    STAGES,
    Configuration,
    attention_section,
    digest,
    sections,
)

SIZE = Knob("size", "choice", 3, "a size", choices=(3, 5, 7))
COUNT = Knob("count", "integer", 2, "a count", minimum=1, maximum=9)
RATE = Knob("rate", "number", 0.1, "a rate", minimum=0.0, maximum=1.0)
FLAG = Knob("flag", "boolean", True, "a flag")
LEAST = Knob("least", "integer", 2, "no upper bound", minimum=1)
MOST = Knob("most", "number", 2, "no lower bound", maximum=3)
KIND = Knob("kind", "choice", "a", "the selector", choices=("a", "b", "c"))
SECTION = Section(
    "part", KIND, {"a": (), "b": (SIZE, FLAG), "c": (SIZE, RATE, Knob("count", "integer", 5, "x"))}
)


def part_id(part: Any) -> str | None:
    return "huge" if isinstance(part, int) and part > 10**300 else None


@pytest.mark.parametrize(
    ("knob", "received", "value"),
    [
        (SIZE, 5, 5),
        (SIZE, 7.0, 7),
        (COUNT, 1, 1),
        (COUNT, 9, 9),
        (RATE, 1, 1.0),
        (RATE, 0.0, 0.0),
        (RATE, 1e-300, 1e-300),
        (FLAG, False, False),
        (LEAST, 10**400, 10**400),
        (MOST, -5, -5.0),
        (STAGES, "all", "all"),
        (STAGES, [3, 2, 3], "2,3"),
        (STAGES, (1,), "1"),
        (STAGES, 2, "2"),
        (STAGES, "2,3", "2,3"),
    ],
    ids=part_id,
)
def test_accepted(knob: Knob, received: Any, value: Any) -> None:
    accepted = knob.accept(received)
    assert accepted == value
    assert type(accepted) is type(value)


@pytest.mark.parametrize(
    ("knob", "received", "expected"),
    [
        (SIZE, 4, "one of 3, 5, 7"),
        (SIZE, True, "one of 3, 5, 7"),
        (SIZE, "3", "one of 3, 5, 7"),
        (SIZE, [3], "one of 3, 5, 7"),
        (SIZE, None, "one of 3, 5, 7"),
        (SIZE, math.nan, "one of 3, 5, 7"),
        (COUNT, 0, "a whole number from 1 to 9"),
        (COUNT, 10, "a whole number from 1 to 9"),
        (COUNT, 10**400, "a whole number from 1 to 9"),
        (COUNT, 2.5, "a whole number from 1 to 9"),
        (COUNT, True, "a whole number from 1 to 9"),
        (COUNT, "2", "a whole number from 1 to 9"),
        (RATE, 1.01, "a number from 0 to 1"),
        (RATE, -1e-9, "a number from 0 to 1"),
        (RATE, 10**400, "a number from 0 to 1"),
        (RATE, math.nan, "a number from 0 to 1"),
        (RATE, math.inf, "a number from 0 to 1"),
        (RATE, "0.1", "a number from 0 to 1"),
        (RATE, False, "a number from 0 to 1"),
        (LEAST, 0, "a whole number of at least 1"),
        (MOST, 4, "a number of at most 3"),
        (FLAG, 1, "true or false"),
        (FLAG, "yes", "true or false"),
        (STAGES, [], "a list of stage numbers"),
        (STAGES, [1, True], "a list of stage numbers"),
        (STAGES, ["1"], "a list of stage numbers"),
        (STAGES, [0], "such as"),
        (STAGES, [-1, 2], "such as"),
        (STAGES, "second", "such as"),
        (STAGES, "1,", "such as"),
        (STAGES, "", "such as"),
        (STAGES, True, "such as"),
        (STAGES, None, "such as"),
        (STAGES, {"a": 1}, "such as"),
    ],
    ids=part_id,
)
def test_refused(knob: Knob, received: Any, expected: str) -> None:
    with pytest.raises(KnobError, match=rf"^expected .*{expected}.*Received: "):
        knob.accept(received)


def test_every_declared_default_is_accepted_and_every_bound_too() -> None:
    seen = 0
    for section in sections():
        for variant in section.variants.values():
            for knob in (section.selector, *variant):
                assert knob.accept(knob.default) == knob.default
                for bound in (knob.minimum, knob.maximum):
                    if bound is not None and knob.check is None:
                        knob.accept(int(bound) if knob.kind == "integer" else bound)
                seen += 1
    assert seen > 40


def test_knobs_that_share_a_name_differ_in_default_and_check_alone() -> None:
    """The schema is made from the first knob of a name."""
    for section in sections():
        for name, first in section.knobs().items():
            for variant in section.variants.values():
                for knob in variant:
                    if knob.name == name:
                        assert (knob.kind, knob.choices, knob.minimum, knob.maximum) == (
                            first.kind,
                            first.choices,
                            first.minimum,
                            first.maximum,
                        )


# --- domains ------------------------------------------------------------------------

uniform = st.floats(0, 1, exclude_max=True)


@given(uniform, st.integers(1, 9))
def test_choice_samples_evenly(number: float, count: int) -> None:
    domain = Choice(tuple(range(count)))
    assert domain.sample(number) == math.floor(number * count)
    assert domain.sample(1.0) == count - 1  # a rounding up to 1 stays inside
    assert domain.default == 0


@given(uniform, st.integers(-50, 50), st.integers(0, 40), st.integers(1, 7))
def test_int_range(number: float, low: int, span: int, step: int) -> None:
    domain = IntRange(low, low + span, step)
    value = domain.sample(number)
    assert low <= value <= low + span
    assert (value - low) % step == 0
    assert domain.sample(0.0) == low
    assert domain.sample(1.0) == domain.values[-1]
    assert domain.default in domain.values


@given(
    uniform,
    st.floats(1e-7, 1e3, allow_subnormal=False),
    st.floats(1.0001, 1e4),
    st.sampled_from(["linear", "log"]),
)
def test_float_range(number: float, low: float, factor: float, sampling: Any) -> None:
    high = low * factor
    domain = FloatRange(low, high, sampling)
    value = domain.sample(number)
    assert low <= value <= high
    if low < value < high:
        assert value == float(f"{value:.6g}")  # it reads back from a summary as it was
    exact = low * factor**number if sampling == "log" else low + (high - low) * number
    assert value == pytest.approx(exact, rel=1e-5)


def test_float_range_by_hand() -> None:
    assert FloatRange(1e-4, 1e-2, "log").sample(0.5) == 1e-3
    assert FloatRange(1e-4, 1e-2, "log").default == 1e-3
    assert FloatRange(1.0, 3.0).sample(0.25) == 1.5
    assert FloatRange(0.1, 0.3).sample(0.123456789) == 0.124691


def test_is_tuned_and_listed() -> None:
    assert not any(is_tuned(setting) for setting in (3, "a", True, 0.5))
    assert all(map(is_tuned, (Choice((1,)), IntRange(1, 2), FloatRange(1, 2))))
    assert join_values([True, "a", 0.5]) == "true, a, 0.5"


# --- sections -----------------------------------------------------------------------


def test_resolve_drops_what_the_variant_lacks() -> None:
    settings = {"size": 7, "rate": 0.5, "flag": False, "count": 4}
    assert SECTION.resolve({**settings, "kind": "a"}, {}) == {"kind": "a"}
    assert SECTION.resolve({**settings, "kind": "b"}, {}) == {
        "kind": "b",
        "size": 7,
        "flag": False,
    }
    assert SECTION.resolve({"kind": "c"}, {}) == {"kind": "c", "size": 3, "rate": 0.1, "count": 5}
    assert SECTION.resolve({}, {}) == {"kind": "a"}


def test_resolve_takes_sampled_values_for_tuned_knobs_alone() -> None:
    settings = {"kind": Choice(("b", "c")), "size": Choice((5, 7)), "rate": 0.5}
    assert SECTION.resolve(settings, {}) == {"kind": "b", "size": 5, "flag": True}
    values = {"part.kind": "c", "part.size": 7, "part.rate": 0.9, "part.flag": False}
    assert SECTION.resolve(settings, values) == {"kind": "c", "size": 7, "rate": 0.5, "count": 5}
    assert list(SECTION.resolve(settings, values)) == ["kind", "size", "rate", "count"]


def test_accept_normalizes_and_names_what_is_wrong() -> None:
    section = attention_section()
    assert section.accept({"type": "se", "stages": [3, 2], "reduction_ratio": Choice((2, 4))}) == {
        "type": "se",
        "stages": "2,3",
        "reduction_ratio": Choice((2, 4)),
    }
    assert section.accept({"stages": Choice(("all", [2, 3]))}) == {  # type: ignore[arg-type]
        "stages": Choice(("all", "2,3"))
    }
    for settings, message in (
        ({"reduction": 8}, "attention has no knob called reduction. Did you mean reduction_ratio"),
        ({"xyz": 8}, "attention has no knob called xyz. It has type, "),
        ({"gate": "tanh"}, "attention.gate: expected one of sigmoid"),
        ({"order": Choice(())}, "attention.order: choice takes a list of values"),
        ({"order": Choice(("parallel", "both"))}, "attention.order: .*Received: 'both'"),
        ({"order": IntRange(1, 2)}, "attention.order: cannot be tuned with int; use choice"),
        (
            {"reduction_ratio": FloatRange(1, 2)},
            "reduction_ratio: cannot be tuned with float; use int",
        ),
        ({"reduction_ratio": IntRange(0, 2)}, "attention.reduction_ratio: .*Received: 0"),
        (
            {"reduction_ratio": IntRange(4, 2)},
            "reduction_ratio: the lowest value 4 is not below 2",
        ),
    ):
        with pytest.raises(KnobError, match=message):
            section.accept(settings)
    backbone, _, recipe = sections()
    assert backbone.accept({"depth": 11, "family": "resnet_v2"})["depth"] == 11
    both = Choice(("resnet_v1", "resnet_v2"))
    assert backbone.accept({"family": both, "depth": 20})["depth"] == 20
    assert backbone.accept({"family": "resnet_v2", "depth": IntRange(11, 30, 9)})
    for settings, message in (
        ({"depth": 11}, "backbone.depth: depth 11 fits no network of 6n"),
        ({"family": both, "depth": Choice((20, 32))}, "depth 32 fits no network of 9n"),
        ({"family": "resnet_v2", "depth": IntRange(11, 30, 3)}, "depth 14 fits no network of 9n"),
        (
            {"family": "resnet_v2", "depth": IntRange(11, 30, 0)},
            "depth.step: expected a whole number of at least 1",
        ),
    ):
        with pytest.raises(KnobError, match=message):
            backbone.accept(settings)
    with pytest.raises(KnobError, match="log sampling needs values above 0. Received: 0.0"):
        recipe.accept({"weight_decay": FloatRange(0.0, 1.0, "log")})


def declared(settings: dict[str, Any], **chosen: Any) -> dict[str, Any]:
    hp = kt.HyperParameters()
    hp.values.update(chosen)
    SECTION.declare(hp, settings)
    values: dict[str, Any] = hp.values
    return values


def test_declared_hyperparameters_are_the_active_ones() -> None:
    settings = {
        "kind": Choice(("a", "b", "c")),
        "size": Choice((5, 7)),
        "flag": Choice((False, True)),
        "rate": FloatRange(0.1, 0.3),
        "count": 4,
    }
    assert declared(settings) == {"part.kind": "a"}
    assert declared(settings, **{"part.kind": "b"}) == {
        "part.kind": "b",
        "part.size": 5,
        "part.flag": False,
    }
    assert declared(settings, **{"part.kind": "c", "part.size": 7}) == {
        "part.kind": "c",
        "part.size": 7,
        "part.rate": 0.2,
    }
    hp = kt.HyperParameters()
    SECTION.declare(hp, settings)
    assert {entry.name for entry in hp.space} == {f"part.{name}" for name in settings} - {
        "part.count"
    }
    scopes = {entry.name: [c.values for c in entry.conditions] for entry in hp.space}
    assert scopes["part.kind"] == []
    assert scopes["part.size"] == [["b", "c"]]
    assert scopes["part.rate"] == [["c"]]


def test_a_knob_that_no_selectable_variant_has_is_not_declared() -> None:
    assert declared({"kind": "a", "size": Choice((5, 7))}) == {}
    assert declared({"size": Choice((5, 7))}) == {}
    assert declared({"kind": "b", "size": Choice((5, 7))}) == {"part.size": 5}
    assert declared({"kind": Choice(("a", "b")), "rate": FloatRange(0.1, 0.2)}) == {
        "part.kind": "a"
    }


def test_a_knob_that_every_selectable_variant_has_needs_no_scope() -> None:
    hp = kt.HyperParameters()
    SECTION.declare(hp, {"kind": Choice(("b", "c")), "size": IntRange(3, 7, 2)})
    assert [entry.conditions for entry in hp.space] == [[], []]
    assert hp.values == {"part.kind": "b", "part.size": 5}


def test_hyperparameters_sample_within_the_domain() -> None:
    settings = {
        "kind": Choice(("c",)),
        "size": Choice((5, 7)),
        "rate": FloatRange(1e-3, 1e-1, "log"),
        "count": IntRange(2, 8, 3),
    }
    hp = kt.HyperParameters()
    SECTION.declare(hp, settings)
    seen: dict[str, set[Any]] = {entry.name: set() for entry in hp.space}
    for entry in hp.space:
        for seed in range(60):
            seen[entry.name].add(entry.random_sample(seed))
    assert seen["part.size"] == {5, 7}
    assert seen["part.count"] == {2, 5, 8}
    assert all(1e-3 <= value <= 1e-1 for value in seen["part.rate"])


def test_mixed_numbers_become_one_type() -> None:
    hp = kt.HyperParameters()
    Choice((1, 0.5)).declare(hp, "x")
    Choice((True, False)).declare(hp, "y")
    assert hp.values == {"x": 1.0, "y": True}
    assert [type(value) for value in hp.values.values()] == [float, bool]


# --- configurations -----------------------------------------------------------------


def test_configuration_round_trip_and_names() -> None:
    chosen = Configuration.resolve(
        {"backbone": {"depth": 8}, "attention": {"type": Choice(("none", "se"))}},
        {"attention.type": "se"},
    )
    assert Configuration.from_dict(chosen.to_dict()) == chosen
    assert chosen.flat()["attention.channel_pooling"] == "avg"  # se's default, not channel's
    assert chosen.flat()["backbone.depth"] == 8
    assert "attention.order" not in chosen.flat()
    assert "recipe.momentum" in chosen.flat()
    adamw = Configuration.resolve({"recipe": {"optimizer": "adamw"}})
    assert "recipe.momentum" not in adamw.flat()
    assert adamw.recipe["learning_rate"] == 1e-3
    assert adamw.attention == {"type": "none"}
    assert set(get_mechanism("se").settings(chosen.attention)) == set(chosen.attention) - {
        "type",
        "placement",
        "stages",
        "blocks",
    }


def test_digest_is_canonical() -> None:
    assert digest({"b": 1, "a": [1, 2]}) == digest({"a": [1, 2], "b": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert digest({"a": 1}) == "015abd7f5cc5"
