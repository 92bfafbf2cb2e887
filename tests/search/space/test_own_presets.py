"""Attention settings to which a space gives a name."""

from __future__ import annotations

import json

import pytest

from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from search.algorithms.brackets import brackets
from search.candidates.arms import arms_of_space
from search.candidates.sampling import SampledCandidates
from search.errors import SpaceError
from search.space.loading import load_space, parse_space, recorded_space
from search.space.space import Space

COSTS = CostModel(ImageSpec((32, 32, 3), 10))


def space(*presets: str) -> Space:
    listed = "".join(f"\n- {preset}" for preset in presets)
    return parse_space(f"backbone: {{family: resnet_v1, depth: 8}}\npresets:{listed}\n")


def test_their_settings_are_those_of_the_section_attention() -> None:
    found = space("none", "mine: {type: cbam, stages: [2, 3], spatial_kernel_size: 3}")
    assert found.presets == ("none", "mine")
    attention = found.preset_configuration("mine").attention
    assert attention["type"] == "cbam" and attention["stages"] == "2,3"
    assert attention["spatial_kernel_size"] == 3 and attention["reduction_ratio"] == 16


def test_a_space_written_out_reads_the_same() -> None:
    found = space("mine: {type: se, reduction_ratio: 4}", "se_paper")
    again = recorded_space(json.loads(json.dumps(found.to_dict())), "again")
    assert again.to_dict() == found.to_dict()
    assert again.preset_configuration("mine") == found.preset_configuration("mine")


def test_a_search_tries_them_first() -> None:
    candidates = SampledCandidates(space("mine: {type: eca}", "none"), COSTS, (27,))
    bracket = brackets(27, 3)[0].number
    drawn = candidates.initial(0, bracket, 2)
    assert [candidate.preset for candidate in drawn] == ["mine", "none"]
    assert drawn[0].configuration.attention["type"] == "eca"


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("{}", "one name with its settings|printable characters"),
        ("{a: {type: se}, b: {type: se}}", "expected one name with its settings"),
        ("a: 3", "expected one name with its settings"),
        ("a:", "expected one name with its settings"),
        ("se_paper: {type: se}", "se_paper is a published preset"),
        (
            "a: {type: se, reduction_ratio: {choice: [2, 4]}}",
            r"a\.reduction_ratio: cannot be tuned",
        ),
        ("a: {typ: se}", "Did you mean 'type'"),
        ("a: {type: se, spatial_kernel_size: 3}", "has no effect"),
        ("a: {type: [se]}", r"Received: \['se'\]\.$"),
        ("'': {type: se}", "printable characters"),
        (f"{'n' * 41}: {{type: se}}", "at most 40 printable characters"),
        ('"a\\tb": {type: se}', "printable characters"),
        ("mine", "or name settings of your own"),
    ],
)
def test_refused(preset: str, expected: str) -> None:
    with pytest.raises(SpaceError, match=expected):
        space(preset)


def test_a_name_stands_once() -> None:
    with pytest.raises(SpaceError, match="a stands twice"):
        space("a: {type: se}", "a: {type: cbam}")


def test_the_tables_of_the_cbam_paper_are_ten_arms_that_differ() -> None:
    arms, notices = arms_of_space(load_space("cbam_paper_tables"), COSTS)
    assert len(arms) == 10 and not notices
    types = [arm.configuration.attention["type"] for arm in arms]
    assert types == ["none", *["channel"] * 3, *["cbam"] * 6]
    published = load_space("cbam_paper_tables").preset_configuration("channel first")
    preset = space("cbam_paper").preset_configuration("cbam_paper")
    assert published.attention == preset.attention
