"""Attention by stage on the search's side: spaces, schema, candidates, exports, summary."""

from __future__ import annotations

from typing import Any, cast

import jsonschema
import pytest
import yaml

from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from search.analysis.summary import attention_label, describe_trial, findings, rows
from search.candidates.feasibility import check_feasible
from search.candidates.sampling import SampledCandidates
from search.driver.export import fixed_space
from search.errors import SpaceError
from search.runs.run import Run
from search.runs.state import RunState
from search.space.loading import parse_space, recorded_space
from search.space.schema import space_schema
from search.space.space import Space, tuned_values
from search.space.yaml_nodes import parse_yaml
from tests.search import example

IMAGE = ImageSpec((16, 16, 3), 4)
VALIDATOR = jsonschema.Draft202012Validator(space_schema())
TEXT = """\
backbone: {family: resnet_v1, depth: 8}
attention:
  per_stage: [type, reduction_ratio]
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [2, 4]}
  spatial_kernel_size: 3
  stage1.type: none
search: {max_epochs: 3, factor: 3}
"""


def space(attention: str = "", backbone: str = "{family: resnet_v1, depth: 8}") -> Space:
    if not attention:
        return parse_space(TEXT, "my.yaml")
    return parse_space(f"backbone: {backbone}\nattention: {attention}", "my.yaml")


def without_limits(written: dict[str, Any]) -> dict[str, Any]:
    """A space without its section `constraints`, where 0 stands for a limit that is not set."""
    return {key: value for key, value in written.items() if key != "constraints"}


def test_a_space_is_read_and_written_out_again() -> None:
    read = space()
    assert list(read.tuned()) == [
        "attention.stage2.type",
        "attention.stage2.reduction_ratio",
        "attention.stage3.type",
        "attention.stage3.reduction_ratio",
    ]
    written = read.to_dict()
    assert recorded_space(written, "my.yaml").to_dict() == written
    VALIDATOR.validate(without_limits(written))
    VALIDATOR.validate(parse_yaml(TEXT, "my.yaml").plain())


def test_every_network_is_drawn_once() -> None:
    """Two stages of none, or one of two types with one of two ratios: 25."""
    candidates = SampledCandidates(space(), CostModel(IMAGE), [3])
    assert len(candidates.initial(0, 1, 99)) <= 25
    drawing = candidates.drawing
    every = [drawing.networks.configuration(draw) for draw in drawing.every or ()]
    assert len(every) == 25
    assert len({CostModel(IMAGE).signature(each) for each in every}) == 25


def test_tuned_values_are_those_of_active_knobs() -> None:
    values = {"attention.stage2.type": "none", "attention.stage3.type": "se"}
    chosen = space().configuration({**values, "attention.stage3.reduction_ratio": 4})
    assert tuned_values(space(), chosen) == {**values, "attention.stage3.reduction_ratio": 4}


@pytest.mark.parametrize("stages", ["all", "[2, 3]"])
def test_an_exported_trial_is_a_space_that_builds_the_same_network(stages: str) -> None:
    costs, searched = CostModel(IMAGE), space()
    text = TEXT.replace("search:", "").replace("  stage1", f"  stages: {stages}\n  stage1")
    searched = parse_space(text.replace(" {max_epochs: 3, factor: 3}\n", ""), "my.yaml")
    candidates = SampledCandidates(searched, costs, [1])
    drawing = candidates.drawing
    every = [drawing.networks.configuration(draw) for draw in drawing.every or ()]
    assert len(every) > 20
    for configuration in every:
        state = RunState.replay([example.run()])
        trial = _trial(configuration.to_dict())
        run = cast(Run, _Run(searched, state))
        written = fixed_space(run, trial)
        again = parse_space(written, "hyperparameters.yaml")
        VALIDATOR.validate(yaml.safe_load(written))
        assert not again.tuned()
        assert again.configuration({}) == configuration
        assert costs.signature(again.configuration({})) == costs.signature(configuration)


class _Run:
    """What `fixed_space` asks of a run."""

    def __init__(self, space: Space, state: RunState) -> None:
        self.space, self.state = space, state


def _trial(configuration: dict[str, Any]) -> Any:
    record = {**example.trial("0000"), "configuration": configuration}
    return RunState.replay([example.run(), record]).trials["0000"]


@pytest.mark.parametrize(
    ("attention", "backbone", "expected"),
    [
        ("{type: se, stage1.type: none}", "", "stage1.type: has no effect without per_stage"),
        (
            "{per_stage: [typ], type: se}",
            "",
            "per_stage: typ cannot differ from stage to stage. Did you mean 'type'?",
        ),
        ("{per_stage: [placement], type: se}", "", "placement cannot differ from stage"),
        ("{per_stage: [order], type: se}", "", "order has no effect: no chosen attention type"),
        ("{per_stage: {choice: [[type]]}}", "", "per_stage: cannot be tuned; give one value"),
        ("{per_stage: 3}", "", "expected a list of attention knobs"),
        ("{per_stage: [type], stage4.type: se}", "", "stage4.type: the backbone has 3 stages"),
        (
            "{per_stage: [type], stage1.type: se, stage1.order: parallel, stage2.type: cbam}",
            "",
            "stage1.order: has no effect: no chosen attention type has it (se)",
        ),
        ("{per_stage: [type], stage1.stages: all}", "", "stage1.stages: unknown key"),
        ("{per_stage: [type], type: se}", "{application: VGG16}", "is not known before it is"),
        ("{per_stage: [type], type: se}", "{model: 'a:b'}", "Use one of the families"),
        (
            "{per_stage: [type], type: se}",
            "{family: densenet, depth: 121, bottleneck: false}",
            "a DenseNet of depth 121 has bottlenecks",
        ),
    ],
)
def test_refused(attention: str, backbone: str, expected: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space(attention, *([backbone] if backbone else []))
    said = str(caught.value)
    assert said.startswith("my.yaml:2: attention.") and expected in said
    assert said.count("\n") == 0  # one fault, said once


@pytest.mark.parametrize(
    "attention",
    [
        "{per_stage: [type], reduction_ratio: 8, stage1.type: se}",
        "{reduction_ratio: 8, stage1.order: parallel, stage1.type: cbam, per_stage: type}",
        "{per_stage: [], type: se}",
        "{per_stage: [reduction_ratio], type: se, stage2.reduction_ratio: {int: [2, 8]}}",
    ],
)
def test_accepted_in_any_order(attention: str) -> None:
    read = space(attention)
    VALIDATOR.validate(without_limits(read.to_dict()))


@pytest.mark.parametrize(
    "attention",
    [
        {"per_stage": 3},
        {"per_stage": "type,"},
        {"per_stage": {"choice": [["type"]]}},
        {"stage1.typ": "se"},
        {"stage0.type": "se"},
        {"stage1.type": "sse"},
        {"stage1.placement": "post"},
    ],
)
def test_the_schema_refuses_it_too(attention: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({"backbone": {}, "attention": attention})


def test_a_value_that_fits_no_map_of_its_stage_is_refused() -> None:
    bad = space("{per_stage: [reduction_ratio], type: se, reduction_ratio: {choice: [4, 32]}}")
    with pytest.raises(SpaceError, match=r"stage1.reduction_ratio: 32 is on offer but fits no"):
        check_feasible(bad, CostModel(IMAGE))
    good = space(
        "{per_stage: [reduction_ratio], type: se, reduction_ratio: 4, "
        "stage3.reduction_ratio: {choice: [4, 32]}}"
    )
    check_feasible(good, CostModel(IMAGE))


# ---- the summary --------------------------------------------------------------------------


def state_of(*values: dict[str, Any]) -> RunState:
    """A run of the space above with a finished trial for each of some values."""
    searched = space()
    records = [{**example.run(), "space": searched.to_dict()}]
    for number, given in enumerate(values):
        name = f"{number:04d}"
        full = {f"attention.{key}": value for key, value in given.items()}
        attention = dict(searched.configuration(full).attention)
        record = example.trial("0000")
        configuration = {**record["configuration"], "attention": attention}
        records += [
            {**record, "trial": name, "lineage": name, "preset": None,
             "configuration": configuration},
            example.epoch(name, 1, 0.3 + number / 10),
            example.ended(name, 0.3 + number / 10),
        ]  # fmt: skip
    return RunState.replay(records)


def test_labels_say_every_stage() -> None:
    state = state_of(
        {"stage2.type": "none", "stage3.type": "none"},
        {"stage2.type": "se", "stage2.reduction_ratio": 4, "stage3.type": "none"},
        {"stage2.type": "se", "stage3.type": "cbam", "stage3.reduction_ratio": 4},
    )
    labels = [describe_trial(state, trial) for _, trial in sorted(state.trials.items())]
    assert labels == ["none", "1:none 2:se,r=4 3:none", "1:none 2:se,r=2 3:cbam,r=4"]
    said = findings(state)
    assert "trial 0002, attention 1:none 2:se,r=2 3:cbam,r=4, val_accuracy 0.5" in said[0]
    assert "The best without attention, trial 0000" in said[1]
    columns = rows(state)[1]
    assert columns["attention.stage3.type"] == "none"  # cbam in another trial
    assert "attention.stage1.type" not in columns
    assert attention_label({"type": "se", "reduction_ratio": 4}) == "se"
