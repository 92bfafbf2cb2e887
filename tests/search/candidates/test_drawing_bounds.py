"""What can be known is said at once; what takes long says so; the number of trials is bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from search.algorithms.brackets import MAX_TRIALS, brackets, first_rung_trials
from search.algorithms.hyperband import Hyperband
from search.candidates.feasibility import check_feasible
from search.candidates.networks import Networks
from search.candidates.sampling import SampledCandidates
from search.errors import SpaceError, did_you_mean
from search.space.loading import parse_space

IMAGE = ImageSpec((32, 32, 3), 10)
COSTS = CostModel(IMAGE)
RATE = "recipe: {learning_rate: {float: [0.01, 0.3], sampling: log}}\n"
STAGED = (
    "attention:\n  type: {choice: [se, cbam, eca, bam, scse]}\n"
    "  reduction_ratio: {choice: [2, 4, 8, 16]}\n  per_stage: [type, reduction_ratio]\n"
)

IMPOSSIBLE = {
    "a depth alone": (
        "backbone: {depth: {choice: [20, 32, 44]}}\n" + STAGED + RATE,
        "max_parameters: 100k",
        r"max_parameters \(100,000\)\. Its smallest backbone alone has 274,442 parameters",
    ),
    "multiply-adds": (
        "backbone: {depth: {int: [8, 20], step: 6}}\n" + RATE,
        "max_macs: 1M",
        r"max_macs \(1,000,000\)\. Its smallest backbone alone has [\d,]+ multiply-adds",
    ),
    "a family": (
        "backbone: {family: {choice: [resnet_v1, densenet]}}\n" + RATE,
        "max_parameters: 5k",
        "smallest backbone alone has",
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_no_backbone_can_keep_is_refused_without_a_draw(name: str) -> None:
    text, limit, said = IMPOSSIBLE[name]
    draws: list[int] = []
    space = parse_space(f"{text}constraints: {{{limit}}}\n")
    with pytest.raises(SpaceError, match=said):
        check_feasible(space, CostModel(IMAGE), lambda what, done, total: draws.append(total))
    assert not draws


def test_what_only_attention_makes_too_large_is_drawn_and_told_of() -> None:
    """The plain network keeps the limit, but every type on offer adds to it."""
    plain = COSTS.cost(parse_space("backbone: {depth: 8}").configuration({})).parameters
    space = parse_space(
        "backbone: {depth: 8}\n"
        f"{STAGED}{RATE}constraints: {{max_parameters: {plain}}}\nsearch: {{max_epochs: 1}}\n"
    )
    told: list[tuple[str, int, int]] = []
    with pytest.raises(SpaceError, match=r"no configuration .*constraints\.max_parameters"):
        check_feasible(space, CostModel(IMAGE), lambda *said: told.append(said))
    assert len({what for what, _, _ in told}) == 1  # a new word would begin the wait anew
    assert [total for _, _, total in told] == list(range(1, 2001))
    assert {done for _, done, _ in told} == {0}


def test_a_search_is_checked_with_its_first_candidate_alone() -> None:
    told: list[int] = []
    space = parse_space("backbone: {depth: 8}\n" + RATE + "search: {max_epochs: 81}\n")
    check_feasible(space, CostModel(IMAGE), lambda what, done, total: told.append(total))
    assert told == [1]


def test_a_limit_of_what_the_smallest_weighs_is_kept() -> None:
    space = parse_space("backbone: {depth: {choice: [8, 20]}}\n" + RATE)
    least = COSTS.cost(space.configuration({"backbone.depth": 8}))
    for limit in (f"max_parameters: {least.parameters}", f"max_macs: {least.macs}"):
        kept = parse_space(
            f"backbone: {{depth: {{choice: [8, 20]}}}}\n{RATE}constraints: {{{limit}}}"
        )
        Networks(kept, COSTS).check_limits()
        check_feasible(kept, CostModel(IMAGE))


def test_gates_of_its_own_may_be_taken_out_of_a_network() -> None:
    """A network without its SE weighs less than with it, so with it is no lower bound."""
    text = "backbone: {application: MobileNetV3Small, builtin_attention: %s}\n"
    costs = CostModel(ImageSpec((32, 32, 3), 10))
    kept = parse_space(text % "keep").configuration({})
    attended = parse_space(text % "keep" + "attention: {type: simam}\n").configuration({})
    least = costs.least(kept.backbone).parameters
    assert least <= costs.cost(attended).parameters < costs.cost(kept).parameters


# ---- large searches ---------------------------------------------------------------------


def test_numbers_that_come_again_cost_nothing() -> None:
    """Six digits between 0.1 and 0.1001 are 101 values: 20,000 draws in a moment."""
    space = parse_space("backbone: {depth: 8}\nrecipe: {learning_rate: {float: [0.1, 0.1001]}}\n")
    candidates = SampledCandidates(space, COSTS, [729])
    began = time.process_time()
    drawn = candidates.initial(0, 6, 729)
    assert len({candidate.signature for candidate in drawn}) == len(drawn) == 101
    assert time.process_time() - began < 20


@pytest.mark.parametrize(("max_epochs", "factor", "iterations"), [(27, 3, 1), (9, 2, 4)])
def test_first_trials_are_counted(max_epochs: int, factor: int, iterations: int) -> None:
    class Endless:
        def initial(self, iteration: int, bracket: int, count: int) -> Any:
            from search.algorithms.trials import Candidate

            configuration: Any = None
            return [
                Candidate(configuration, f"{iteration}-{bracket}-{place}")
                for place in range(count)
            ]

        def spares(self, iteration: int, bracket: int, count: int) -> Any:
            return []

    plans = Hyperband((max_epochs,) * iterations, factor, Endless()).trials({})
    assert len(plans) == first_rung_trials(max_epochs, factor, iterations)


@pytest.mark.parametrize(
    ("search", "fits"),
    [
        ("{max_epochs: 100000, factor: 2}", True),
        ("{max_epochs: 100000, factor: 2, hyperband_iterations: 2}", False),
        ("{max_epochs: 1, hyperband_iterations: 1000}", True),
        ("{max_epochs: 729, hyperband_iterations: 1000}", False),
        ("{max_epochs: 100000, factor: 100, hyperband_iterations: 10}", True),
    ],
)
def test_the_number_of_trials_is_bounded(search: str, fits: bool) -> None:
    space = parse_space(f"backbone: {{depth: 8}}\nsearch: {search}\n")
    if fits:
        space.check_size()
        return
    with pytest.raises(SpaceError, match=rf"begin with [\d,]+ trials .* at most {MAX_TRIALS:,}"):
        space.check_size()


def outcomes_of(hyperband: Hyperband, steps: int) -> Iterator[dict[str, float | None]]:
    """Ends trials one by one, some of them without a score, out of order."""
    outcomes: dict[str, float | None] = {}
    for step in range(steps):
        waiting = [plan for plan in hyperband.trials(outcomes) if plan.trial_id not in outcomes]
        if not waiting:
            return
        plan = waiting[(step * 7) % len(waiting)]
        score = None if step % 5 == 3 else (plan.slot * 37 % 11) / 11 + plan.rung
        outcomes[plan.trial_id] = score
        yield dict(outcomes)


def test_a_decision_does_not_depend_on_earlier_ones() -> None:
    """What is remembered between decisions changes none: also when outcomes are taken back."""
    space = parse_space("backbone: {depth: 8}\n" + RATE + "search: {max_epochs: 9}\n")
    remembering = Hyperband((9, 9), 3, SampledCandidates(space, COSTS, (9, 9)))
    seen = list(outcomes_of(remembering, 60))
    assert len(seen) > 40
    for outcomes in [*seen[::7], *reversed(seen[::5]), {}]:
        fresh = Hyperband((9, 9), 3, SampledCandidates(space, COSTS, (9, 9)))
        assert remembering.trials(outcomes) == fresh.trials(outcomes)
        assert remembering.resumable(outcomes) == fresh.resumable(outcomes)


def test_a_decision_of_a_large_search_takes_a_moment() -> None:
    space = parse_space("backbone: {depth: 8}\n" + RATE + "search: {factor: 2}\n")
    hyperband = Hyperband((2048,), 2, SampledCandidates(space, COSTS, (2048,)))
    count = sum(each.rungs[0].size for each in brackets(2048, 2))
    assert len(hyperband.trials({})) == count > 4000
    began = time.process_time()
    for outcomes in outcomes_of(hyperband, 50):
        hyperband.trials(outcomes)
    assert time.process_time() - began < 20  # a twentieth of that on a quiet machine


# ---- hints ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "known", "expected"),
    [
        ("val_f1", ["val_accuracy", "val_loss"], ""),
        ("val_recall", ["val_accuracy", "val_loss"], ""),
        ("val_los", ["val_accuracy", "val_loss"], " Did you mean 'val_loss'?"),
        (
            "resnet",
            ["resnet_v1", "resnet_v2", "resnext"],
            " Did you mean 'resnet_v1' or 'resnet_v2'?",
        ),
        (
            "resnet50",
            ["resnet_v1", "resnet_v2", "resnext"],
            " Did you mean 'resnet_v1' or 'resnet_v2'?",
        ),
        ("resnxt", ["resnet_v1", "resnet_v2", "resnext"], " Did you mean 'resnext'?"),
        ("epochs", ["max_epochs", "factor"], " Did you mean 'max_epochs'?"),
        ("CBAM", ["se", "cbam"], " Did you mean 'cbam'?"),
        ("", ["se", "cbam"], ""),
        (None, ["none"], " Did you mean 'none'?"),
    ],
)
def test_a_hint_is_of_the_same_meaning(received: object, known: list[str], expected: str) -> None:
    assert did_you_mean(received, known) == expected
