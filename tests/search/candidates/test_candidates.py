"""Where configurations come from: seeded, without repetition, never one that cannot be built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypermodels.image import ImageSpec
from hypermodels.knobs import Choice, FloatRange, IntRange
from hypermodels.networks.cost import CostModel
from hypermodels.settings.configuration import Configuration
from search.algorithms.brackets import brackets
from search.algorithms.hyperband import Hyperband
from search.algorithms.trials import Candidate
from search.candidates.feasibility import check_feasible
from search.candidates.sampling import SampledCandidates
from search.errors import SpaceError
from search.space.loading import load_space, parse_space
from search.space.space import Space

COSTS = CostModel(ImageSpec((32, 32, 3), 10))
SMALL_COSTS = CostModel(ImageSpec((8, 8, 3), 10))
BACKBONE = "backbone: {family: resnet_v1, depth: 8}\n"


def sampled(space: Space, costs: CostModel) -> SampledCandidates:
    budgets = (space.search.max_epochs,) * 3  # what is not asked for is not drawn
    return SampledCandidates(space, costs, budgets)


def space_of(text: str, **search: Any) -> Space:
    return parse_space(BACKBONE + text).override("search", **search)


def firsts(
    space: Space, costs: CostModel = COSTS, iteration: int = 0
) -> dict[int, list[Candidate]]:
    """The first rungs of an iteration by bracket, each as wide as Hyperband asks."""
    candidates = sampled(space, costs)
    plan = brackets(space.search.max_epochs, space.search.factor)
    return {
        bracket.number: list(candidates.initial(iteration, bracket.number, bracket.rungs[0].size))
        for bracket in plan
    }


def flat(found: Mapping[int, list[Candidate]]) -> list[Candidate]:
    return [candidate for bracket in found.values() for candidate in bracket]


def learning_rates(candidates: list[Candidate]) -> list[float]:
    return [float(c.configuration.recipe["learning_rate"]) for c in candidates if not c.preset]


@pytest.fixture(params=["quickstart", "resnet", "resnet_v2"])
def shipped(request: pytest.FixtureRequest) -> Space:
    return load_space(request.param)


# ---- seeds ------------------------------------------------------------------------------


def test_equal_seeds_give_equal_candidates(shipped: Space) -> None:
    assert firsts(shipped) == firsts(shipped, CostModel(ImageSpec((32, 32, 3), 10)))


@pytest.mark.parametrize("name", ["quickstart", "resnet"])
def test_seeds_give_unrelated_candidates(name: str) -> None:
    """KerasTuner counts its seed up, so seed 2 is seed 1 shifted by one draw."""
    space = load_space(name)
    seen: dict[float, int] = {}
    for seed in range(6):
        rates = learning_rates(flat(firsts(space.override("search", seed=seed))))
        assert len(set(rates)) == len(rates)
        for rate in rates:
            assert seen.setdefault(rate, seed) == seed


def test_brackets_and_iterations_are_drawn_apart() -> None:
    space = load_space("resnet")
    rates = [
        rate
        for iteration in range(3)
        for rate in learning_rates(flat(firsts(space, iteration=iteration)))
    ]
    assert len(set(rates)) == len(rates) > 100


def test_the_candidates_of_quickstart_are_these() -> None:
    """A change here changes what every person's search tries: say so in the release notes."""
    drawn = [c.configuration for c in firsts(load_space("quickstart"))[2]]
    assert [(c.attention["type"], c.recipe["learning_rate"]) for c in drawn] == [
        ("none", 0.0948683),
        ("se", 0.0948683),
        ("cbam", 0.0948683),
        ("cbam", 0.209951),
        ("cbam", 0.222766),
        ("none", 0.0562527),
        ("se", 0.0696836),
        ("se", 0.149429),
        ("none", 0.174815),
    ]


# ---- what becomes a candidate -----------------------------------------------------------


def test_no_network_comes_twice_in_an_iteration(shipped: Space) -> None:
    drawn = flat(firsts(shipped))
    assert len({candidate.signature for candidate in drawn}) == len(drawn)
    for candidate in drawn:
        assert candidate.signature == COSTS.signature(candidate.configuration)


def test_every_place_is_taken(shipped: Space) -> None:
    plan = brackets(shipped.search.max_epochs, shipped.search.factor)
    found = firsts(shipped)
    assert {number: len(bracket) for number, bracket in found.items()} == {
        bracket.number: bracket.rungs[0].size for bracket in plan
    }


def test_presets_come_first(shipped: Space) -> None:
    drawn = flat(firsts(shipped))
    count = len(shipped.presets)
    assert tuple(candidate.preset for candidate in drawn[:count]) == shipped.presets
    assert {candidate.preset for candidate in drawn[count:]} == {None}
    for candidate, name in zip(drawn, shipped.presets, strict=False):
        assert candidate.configuration == shipped.preset_configuration(name)


def test_two_presets_of_one_network_are_one_candidate() -> None:
    """Over 16 channels the ratios 16 of the paper and 8 of Keras differ; with none they do
    not, because `none` has no ratio: its preset and its draw are one network."""
    found = flat(firsts(space_of("presets: [none]\nsearch: {max_epochs: 9}\n")))
    assert [candidate.preset for candidate in found] == ["none"] * 3  # once in each bracket
    assert len({candidate.signature for candidate in found}) == 1


@pytest.mark.parametrize("max_epochs", [1, 3, 9])
def test_presets_that_a_bracket_has_no_place_for_come_in_the_next(max_epochs: int) -> None:
    text = "recipe: {learning_rate: {float: [0.1, 0.2]}}\npresets: [none, se_paper, se_keras, "
    space = space_of(text + "cbam_paper]\n", max_epochs=max_epochs)
    drawn = flat(firsts(space))
    expected = space.presets[: len(drawn)]
    assert tuple(candidate.preset for candidate in drawn[:4]) == expected
    assert len({candidate.signature for candidate in drawn}) == len(drawn)


def test_settings_stay_within_their_domains(shipped: Space) -> None:
    for candidate in flat(firsts(shipped)):
        if candidate.preset:
            continue
        values = candidate.configuration.flat()
        for name, (_, _, domain) in shipped.tuned().items():
            if name not in values:
                continue
            if isinstance(domain, Choice | IntRange):
                assert values[name] in domain.values
            else:
                assert isinstance(domain, FloatRange)
                assert domain.low <= float(values[name]) <= domain.high


def test_every_choice_is_drawn_about_equally_often() -> None:
    space = space_of(
        "attention: {type: {choice: [none, se, cbam]}}\n"
        "recipe: {learning_rate: {float: [0.001, 0.1], sampling: log}}\n",
        max_epochs=81,
    )
    drawn = flat(firsts(space))
    types = [candidate.configuration.attention["type"] for candidate in drawn]
    rates = learning_rates(drawn)
    assert len(drawn) == 143
    for name in ("none", "se", "cbam"):
        assert 30 <= types.count(name) <= 66
    assert 50 <= sum(rate < 0.01 for rate in rates) <= 93  # half of the logarithm


def test_inactive_knobs_are_absent(shipped: Space) -> None:
    kinds = set()
    for candidate in flat(firsts(shipped)):
        attention = candidate.configuration.attention
        kinds.add(attention["type"])
        if attention["type"] == "none":
            assert attention == {"type": "none"}
        assert ("reduction_ratio" in attention) == (attention["type"] in ("se", "channel", "cbam"))
        assert ("spatial_kernel_size" in attention) == (attention["type"] in ("spatial", "cbam"))
        assert ("order" in attention) == (attention["type"] == "cbam")
    assert {"none", "se", "cbam"} <= kinds


def test_what_is_over_a_limit_never_becomes_a_candidate() -> None:
    space = load_space("resnet")
    plain = COSTS.cost(space.preset_configuration("none"))
    limit = plain.parameters + 2000
    tight = parse_space(
        "backbone: {family: resnet_v1, depth: 20}\n"
        "attention: {type: {choice: [none, se, cbam]}, reduction_ratio: {choice: [2, 4, 8]}}\n"
        "recipe: {learning_rate: {float: [0.02, 0.3]}}\n"
        f"constraints: {{max_parameters: {limit}}}\n"
        "presets: [none, cbam_keras]\n"
    )
    candidates = sampled(tight, COSTS)
    drawn = list(candidates.initial(0, 3, 27)) + list(candidates.spares(0, 3, 20))
    assert len(drawn) == 47
    assert all(COSTS.cost(c.configuration).parameters <= limit for c in drawn)
    assert set(candidates.drawing.refused) == {f"more than constraints.max_parameters ({limit:,})"}
    assert "cbam_keras" not in {candidate.preset for candidate in drawn}


def test_multiply_adds_are_limited_too() -> None:
    plain = SMALL_COSTS.cost(space_of("").configuration({})).macs
    over = space_of(f"constraints: {{max_macs: {plain - 1}}}\n")
    with pytest.raises(SpaceError, match=r"constraints\.max_macs"):
        firsts(over, SMALL_COSTS)
    assert flat(firsts(space_of(f"constraints: {{max_macs: {plain}}}\n"), SMALL_COSTS))


# ---- spaces with nothing to offer -------------------------------------------------------

NOTHING = {
    "a limit": ("constraints: {max_parameters: 10}\n", r"constraints\.max_parameters \(10\)"),
    "a limit, sampled": (
        "recipe: {learning_rate: {float: [0.1, 0.2]}}\nconstraints: {max_parameters: 1k}\n",
        r"no configuration.*constraints\.max_parameters \(1,000\)",
    ),
    "a ratio": (
        "attention: {type: se, reduction_ratio: 65}\n",
        r"reduction_ratio 65 .*at most 64",
    ),
    "a kernel": (
        "attention: {type: cbam, spatial_kernel_size: 7, stages: last}\n",
        r"spatial_kernel_size 7 .*at most 2x2",
    ),
    "a stage": (
        "attention: {type: se, stages: {choice: [4, [2, 5]]}}\n",
        r"names stage 4, but the backbone has 3 stages; .*names stage 5",
    ),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_space_that_can_build_nothing_is_refused_with_the_reasons(name: str) -> None:
    text, reasons = NOTHING[name]
    space = space_of(text, max_epochs=9)
    with pytest.raises(SpaceError, match=reasons) as caught:
        check_feasible(space, CostModel(ImageSpec((8, 8, 3), 10)))
    assert "space: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_space_without_choices_says_the_one_configuration() -> None:
    with pytest.raises(SpaceError, match="the one configuration of this space cannot be built"):
        firsts(space_of("constraints: {max_parameters: 10}\n"))


def test_what_can_be_built_in_part_is_not_refused() -> None:
    space = space_of("attention: {type: se, reduction_ratio: {choice: [8, 65]}}\n", max_epochs=3)
    ratios = {c.configuration.attention["reduction_ratio"] for c in flat(firsts(space))}
    assert ratios == {8}


# ---- small spaces -----------------------------------------------------------------------

ENUMERABLE = {
    "one": ("", 1),
    "none has no knobs": (
        "attention: {type: {choice: [none, se]}, reduction_ratio: {choice: [2, 4, 8]}}\n",
        1 + 3,
    ),
    "two recipes": (
        "attention: {type: {choice: [none, se]}, reduction_ratio: {choice: [2, 4, 8]}}\n"
        "recipe: {learning_rate: {choice: [0.1, 0.2]}}\n",
        2 * (1 + 3),
    ),
    "ratios of one hidden unit": (
        "attention: {type: se, stages: first, reduction_ratio: {choice: [2, 9, 12, 16]}}\n",
        2,  # 16 channels: 8 units, and three times 1
    ),
    "ratios that meet again elsewhere": (
        "attention: {type: se, reduction_ratio: {choice: [2, 9, 12, 16]}}\n",
        4,  # over 64 channels they are 32, 7, 5 and 4 units
    ),
    "stages written twice": (
        "attention: {type: se, stages: {choice: [all, [1, 2, 3], last, 3, [3]]}}\n",
        None,  # refused: the choice has 3 twice
    ),
    "stages that are the same": (
        "attention: {type: se, stages: {choice: [all, '1,2,3', 3]}}\n",
        2,
    ),
    "order matters where there are two": (
        "attention: {type: {choice: [se, spatial, cbam]}, "
        "order: {choice: [channel_first, spatial_first]}}\n",
        1 + 1 + 2,
    ),
    "whole numbers": ("attention: {type: se, reduction_ratio: {int: [2, 8], step: 3}}\n", 3),
}


@pytest.mark.parametrize("name", ENUMERABLE)
def test_a_small_space_is_listed_in_full(name: str) -> None:
    text, count = ENUMERABLE[name]
    if count is None:
        with pytest.raises(SpaceError, match="choice has 3 twice"):
            space_of(text)
        return
    found = firsts(space_of(text, max_epochs=81))
    widest = found[4]
    assert len(widest) == count
    assert len({candidate.signature for candidate in widest}) == count
    for bracket in found.values():
        assert len({candidate.signature for candidate in bracket}) == len(bracket)
    assert len({candidate.signature for candidate in flat(found)}) == count


@pytest.mark.parametrize("text", [text for text, count in ENUMERABLE.values() if count])
def test_listing_and_sampling_agree(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = firsts(space_of(text, max_epochs=9))
    monkeypatch.setattr("search.candidates.drawing.ENUMERABLE", 0)
    monkeypatch.setattr("search.candidates.drawing.MAX_MISSES", 200)
    sampled = firsts(space_of(text, max_epochs=9))
    assert [len(bracket) for bracket in sampled.values()] == [
        len(bracket) for bracket in listed.values()
    ]
    if len(listed[2]) < 9:
        assert {c.signature for c in sampled[2]} == {c.signature for c in listed[2]}


def test_every_bracket_of_a_small_space_draws_what_is_new_first() -> None:
    text = "attention: {type: {choice: [none, se]}, reduction_ratio: {int: [2, 11]}}\n"
    found = firsts(space_of(text, max_epochs=9))
    signatures = {
        number: [candidate.signature for candidate in bracket] for number, bracket in found.items()
    }
    assert [len(signatures[number]) for number in (2, 1, 0)] == [9, 5, 3]
    assert not set(signatures[1][:2]) & set(signatures[2])  # 11 networks, 9 are drawn
    assert set(signatures[1][2:]) | set(signatures[0]) <= set(signatures[2] + signatures[1])


def test_a_network_that_comes_again_comes_as_it_was_first_drawn() -> None:
    """`se` is `channel` that pools the average: two trials that share one training must not
    disagree about what to call it."""
    text = (
        "attention: {type: {choice: [channel, se]}, channel_pooling: {choice: [avg, max]}}\n"
        "presets: [se_paper]\nsearch: {max_epochs: 9}\n"
    )
    for seed in range(5):
        space = space_of(text, seed=seed)
        first: dict[str, Configuration] = {}
        for iteration in range(2):
            for candidate in flat(firsts(space, iteration=iteration)):
                known = first.setdefault(candidate.signature, candidate.configuration)
                assert candidate.configuration == known


# ---- replacements -----------------------------------------------------------------------


def test_replacements_are_new(shipped: Space) -> None:
    candidates = sampled(shipped, COSTS)
    drawn = {candidate.signature for candidate in flat(firsts(shipped))}
    for number in (2, 1, 0):
        spare = candidates.spares(0, number, 8)
        signatures = [candidate.signature for candidate in spare]
        assert len(set(signatures)) == 8
        assert not drawn & set(signatures)
        assert {candidate.preset for candidate in spare} == {None}


def test_more_replacements_begin_with_the_fewer(shipped: Space) -> None:
    at_once = sampled(shipped, COSTS).spares(0, 1, 6)
    candidates = sampled(shipped, COSTS)
    for count in (1, 3, 2, 6):
        assert candidates.spares(0, 1, count) == at_once[:count]


@given(
    asked=st.permutations([(0, 2), (0, 1), (0, 0), (1, 2), (1, 1), (1, 0)]), cut=st.integers(0, 6)
)
@settings(max_examples=10, deadline=None)
@pytest.mark.parametrize("enumerable", [4096, 0])
@pytest.mark.parametrize("ratios", [8, 20])
def test_candidates_do_not_depend_on_when_they_are_asked_for(
    ratios: int, enumerable: int, asked: list[tuple[int, int]], cut: int
) -> None:
    """A search that resumes asks for replacements before it asks for the next iteration."""
    text = "attention: {type: {choice: [se, channel]}, placement: {choice: [pre, post]}, "
    text += f"channel_pooling: avg, reduction_ratio: {{int: [2, {1 + ratios}]}}}}\n"
    space = space_of(text, max_epochs=9, hyperband_iterations=2)
    with (
        patch("search.candidates.drawing.ENUMERABLE", enumerable),
        patch("search.candidates.drawing.MAX_MISSES", 30),
    ):
        compare_orders(space, asked, cut)


def compare_orders(space: Space, asked: list[tuple[int, int]], cut: int) -> None:
    expected = sampled(space, COSTS)
    for iteration in (0, 1):
        for number in (2, 1, 0):
            expected.initial(iteration, number, 9)
    other = sampled(space, COSTS)
    for iteration, number in asked[:cut]:
        early = list(other.spares(iteration, number, 2))
        assert early == expected.spares(iteration, number, 2)
    for iteration, number in asked:
        assert other.initial(iteration, number, 9) == expected.initial(iteration, number, 9)
        assert other.spares(iteration, number, 5) == expected.spares(iteration, number, 5)


def test_a_used_up_space_replaces_from_other_brackets() -> None:
    """Of eleven networks the last bracket has three: when they fail, there are others."""
    text = "attention: {type: {choice: [none, se]}, reduction_ratio: {int: [2, 11]}}\n"
    candidates = sampled(space_of(text, max_epochs=9), COSTS)
    own = {candidate.signature for candidate in candidates.initial(0, 0, 3)}
    spare = [candidate.signature for candidate in candidates.spares(0, 0, 20)]
    assert len(spare) == len(set(spare)) == 8
    assert not own & set(spare)
    whole = candidates.spares(0, 2, 20)
    assert len(whole) == 2  # the widest bracket has all others already


def test_a_second_iteration_does_not_change_the_first(shipped: Space) -> None:
    twice = shipped.override("search", hyperband_iterations=2)
    assert firsts(twice) == firsts(shipped)
    again = flat(firsts(twice, iteration=1))
    assert not {c.signature for c in again} & {c.signature for c in flat(firsts(shipped))}
    assert {candidate.preset for candidate in again} == {None}


def test_a_space_of_which_only_presets_can_be_built_is_searched() -> None:
    space = space_of(
        "attention: {type: se, reduction_ratio: 65}\npresets: [none]\n",
        max_epochs=3,
        hyperband_iterations=2,
    )
    hyperband = Hyperband((3, 3), 3, sampled(space, COSTS))
    outcomes: dict[str, float | None] = {}
    for _ in range(6):
        outcomes |= {plan.trial_id: 0.5 for plan in hyperband.trials(outcomes)}
    plans = hyperband.trials(outcomes)
    assert {plan.lineage for plan in plans} == {"0000"}
    assert {plan.epochs for plan in plans} == {1, 3}


def test_presets_come_again_with_a_larger_budget() -> None:
    space = load_space("quickstart").override("search", max_epochs=9)
    candidates = SampledCandidates(space, COSTS, (9, 9, 27))
    presets = [
        [candidate.preset for candidate in candidates.initial(iteration, number, 3)]
        for iteration, number in ((0, 2), (1, 2), (2, 3))
    ]
    assert presets[0] == presets[2] == ["none", "se_paper", "cbam_paper"]
    assert presets[1] == [None, None, None]
