"""What a confirmation compares: arms, their order, and what is said of those left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.settings.configuration import Configuration
from search.algorithms.confirmation import Arm
from search.candidates.arms import arms_of_search
from search.runs.state import RunState
from search.space.loading import parse_space
from search.space.space import Space
from tests.search import example

COSTS = CostModel(ImageSpec((32, 32, 3), 10))
RESNET = {"family": "resnet_v1", "depth": 8}


def searched(
    space: Space, *trials: tuple[Mapping[str, Any], float, float], backbone: Any = None
) -> RunState:
    """The state of a search whose trials are `(attention, learning rate, score)`."""
    records = [{**example.run(), "space": space.to_dict()}]
    for number, (attention, rate, score) in enumerate(trials):
        name = f"{number:04d}"
        configuration = Configuration.resolve(
            {
                "backbone": backbone or RESNET,
                "attention": attention,
                "recipe": {"learning_rate": rate},
            }
        )
        records += [
            {
                **example.trial("0000", epochs=3, bracket=0),
                "trial": name,
                "lineage": name,
                "configuration": configuration.to_dict(),
                "preset": None,
            },
            *(example.epoch(name, epoch, score) for epoch in (1, 2, 3)),
            example.ended(name, score),
        ]
    return RunState.replay(records)


def space(presets: str = "[none, cbam_paper]", backbone: str = str(RESNET)) -> Space:
    return parse_space(
        f"backbone: {backbone}\nattention: {{type: {{choice: [none, se, cbam, simam]}}}}\n"
        f"recipe: {{learning_rate: {{float: [0.01, 1.0]}}}}\nsearch: {{max_epochs: 3}}\n"
        f"presets: {presets}\n"
    )


def chosen(
    state: RunState, top: int = 3, presets: str = "[none, cbam_paper]"
) -> tuple[dict[str, Arm], str]:
    arms, notices = arms_of_search(space(presets), state, COSTS, top)
    return {arm.name: arm for arm in arms}, " ".join(notices)


NONE, SE, CBAM, SIMAM = ({"type": kind} for kind in ("none", "se", "cbam", "simam"))


def test_the_control_the_winner_and_what_explains_it() -> None:
    state = searched(
        space(),
        (NONE, 0.1, 0.5),
        (SE, 0.2, 0.7),
        (CBAM, 0.3, 0.6),
        (SE, 0.4, 0.4),
        (NONE, 0.5, 0.3),
    )
    arms, said = chosen(state)
    assert {name: arm.role for name, arm in arms.items()} == {
        "none": "plain",
        "se": "attention",
        "cbam": "attention",
        "none, recipe of the winner": "twin",
        "none, wider": "wider",
        "se, blind": "blind",
        "cbam_paper": "attention",
    }
    rates = {name: arm.configuration.recipe["learning_rate"] for name, arm in arms.items()}
    assert rates.pop("none") == 0.1 and rates.pop("cbam") == 0.3
    assert set(rates.values()) == {0.2}
    se, wider = (COSTS.cost(arms[name].configuration) for name in ("se", "none, wider"))
    assert abs(wider.parameters / se.parameters - 1) < 0.01
    assert COSTS.cost(arms["se, blind"].configuration) == se
    assert f"{wider.parameters:,} parameters" in said
    assert "tuned less" not in said


def test_a_plain_network_that_was_tuned_less_is_told() -> None:
    state = searched(
        space(), (NONE, 0.1, 0.5), (SE, 0.2, 0.7), (SE, 0.3, 0.6), (SE, 0.4, 0.4), (CBAM, 0.1, 0.1)
    )
    _, said = chosen(state)
    assert "tried 1 recipe without attention and 3 with se" in said


def test_without_a_plain_trial_the_winners_recipe_is_the_baseline() -> None:
    arms, said = chosen(searched(space(), (SE, 0.2, 0.7), (CBAM, 0.3, 0.6)))
    assert arms["none"].configuration.recipe["learning_rate"] == 0.2
    assert "none, recipe of the winner" not in arms
    assert "the one baseline" in said and "is the arm none" in said


def test_only_so_many_kinds() -> None:
    state = searched(
        space(), (NONE, 0.1, 0.5), (SE, 0.2, 0.7), (CBAM, 0.3, 0.6), (SIMAM, 0.1, 0.2)
    )
    arms, said = chosen(state, top=1, presets="[none]")
    assert {arm.name for arm in arms.values() if arm.role == "attention"} == {"se"}
    assert "cbam, simam not" in said


def test_attention_without_parameters_has_no_wider_rival() -> None:
    arms, said = chosen(searched(space(), (NONE, 0.1, 0.5), (SIMAM, 0.2, 0.7)))
    assert "none, wider" not in arms and "simam has no more parameters" in said


def test_a_network_of_keras_has_no_wider_rival() -> None:
    backbone = {"family": "application", "application": "MobileNetV2"}
    state = searched(space(), (NONE, 0.1, 0.5), (CBAM, 0.2, 0.7), backbone=backbone)
    arms, said = chosen(state, presets="[none]")
    assert "none, wider" not in arms and "cbam, blind" in arms
    assert "The family application has no width_multiplier" in said


def test_a_search_that_found_no_attention_has_the_presets() -> None:
    arms, _ = chosen(searched(space(), (NONE, 0.1, 0.5)))
    assert list(arms) == ["none", "cbam_paper"]


def test_a_search_without_results_has_no_arms() -> None:
    assert chosen(searched(space())) == ({}, "")
