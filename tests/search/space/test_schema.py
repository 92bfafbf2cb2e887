"""The JSON Schema for editors says what the program says, and nothing it does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from search.errors import SpaceError
from search.space.definition import PLAIN_SECTIONS, tuned_sections
from search.space.loading import parse_space, shipped_spaces
from search.space.schema import schema_text, space_schema
from search.space.yaml_nodes import parse_yaml, read_yaml
from tests.search.strategies import damaged, spaces

FILE = Path(__file__).parents[3] / "spaces" / "space.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(space_schema())
slow = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def accepted_by_schema(content: Any) -> bool:
    return bool(VALIDATOR.is_valid(content))


def accepted_by_program(content: Any) -> bool:
    try:
        parse_space(json.dumps(content, ensure_ascii=False))  # JSON is YAML, with all quoted
    except SpaceError:
        return False
    return True


def test_the_file_is_what_the_definition_makes() -> None:
    assert FILE.read_bytes() == schema_text().encode()


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(FILE.read_text("utf-8")))


@pytest.mark.parametrize("path", shipped_spaces().values(), ids=lambda path: path.stem)
def test_the_shipped_spaces_are_valid_and_point_to_it(path: Path) -> None:
    VALIDATOR.validate(read_yaml(path).plain())
    assert path.read_text("utf-8").startswith(
        "# yaml-language-server: $schema=space.schema.json\n"
    )


def test_every_key_has_a_description_and_its_default() -> None:
    schema = space_schema()["properties"]
    for name, section in tuned_sections().items():
        for key, knob in section.knobs().items():
            entry = schema[name]["properties"][key]
            assert entry["description"] == knob.summary and entry["default"] == knob.default
    for name, knobs in PLAIN_SECTIONS.items():
        for knob in knobs:
            entry = schema[name]["properties"][knob.name]
            assert entry["description"] == knob.summary and entry["default"] == knob.default


@given(spaces())
@slow
def test_a_good_space_is_good_for_both(content: dict[str, Any]) -> None:
    VALIDATOR.validate(content)
    parse_space(json.dumps(content, ensure_ascii=False))


@given(damaged())
@slow
def test_what_the_schema_refuses_the_program_refuses(content: Any) -> None:
    if not accepted_by_schema(content):
        assert not accepted_by_program(content)


GOOD = [
    "backbone: {}",
    "backbone: {family: resnet_v2, depth: 1001}",
    "backbone: {depth: {choice: [20, 32]}}",
    "backbone: {depth: {int: [8, 20], step: 6}}",
    "backbone: {}\nattention: {type: cbam, stages: [2, 3]}",
    "backbone: {}\nattention: {type: cbam, stages: {choice: [all, last, 2, [2, 3]]}}",
    "backbone: {}\nattention: {type: se, mlp_bias: {choice: [true, false]}}",
    "backbone: {}\nattention: {type: eca, eca_kernel_size: {choice: [adaptive, 3, '5']}}",
    "backbone: {}\nattention: {type: simam, simam_lambda: {float: [1e-5, 0.1], sampling: log}}",
    "backbone: {}\nrecipe: {learning_rate: 1e-3, weight_decay: {float: [1e-5, 1e-3], "
    "sampling: log}}",
    "backbone: {}\nrecipe: {optimizer: adamw, warmup: 0}",
    "backbone: {}\nconstraints: {max_parameters: 300k, max_macs: 1.5G}",
    "backbone: {}\nconstraints: {max_parameters: 1e6}",
    "backbone: {}\nattention:\nconstraints:\npresets:",
    "backbone: {}\ndata: {name: some/folder, validation: 0.2, image_size: 32}",
    "backbone: {}\npresets: []",
    "backbone: {}\npresets: [cbam_paper, none]",
    "backbone: {}\nsearch: {objective: val_loss, seed: 2147483647}",
]


@pytest.mark.parametrize("text", GOOD)
def test_these_are_good_for_both(text: str) -> None:
    VALIDATOR.validate(parse_yaml(text, "space").plain())
    parse_space(text)


BAD = [
    "{}",
    "backbone: null",
    "backbone: []",
    "backbone: {famly: resnet_v1}",
    "backbone: {family: vgg}",
    "backbone: {depth: 20.0001}",
    "backbone: {depth: '20'}",
    "backbone: {depth: 0}",
    "backbone: {depth: {choice: []}}",
    "backbone: {depth: {choice: 20}}",
    "backbone: {depth: {choice: [20], int: [8, 20]}}",
    "backbone: {depth: {int: [8]}}",
    "backbone: {depth: {int: [8, 20], step: 0}}",
    "backbone: {depth: {int: [8, 20], sampling: log}}",
    "backbone: {depth: {float: [8, 20]}}",
    "backbone: {}\nattention: {type: true}",
    "backbone: {}\nattention: {type: se, reduction_ratio: -1}",
    "backbone: {}\nattention: {type: se, mlp_bias: 1}",
    "backbone: {}\nattention: {type: cbam, stages: []}",
    "backbone: {}\nattention: {type: cbam, stages: [0]}",
    "backbone: {}\nattention: {type: cbam, stages: some}",
    "backbone: {}\nattention: {type: cbam, spatial_kernel_size: 4}",
    "backbone: {}\nattention: {type: eca, eca_kernel_size: 11}",
    "backbone: {}\nattention: {type: simam, simam_lambda: 0}",
    "backbone: {}\nrecipe: {learning_rate: 0}",
    "backbone: {}\nrecipe: {learning_rate: {float: [0.1, 0.2], sampling: cubic}}",
    "backbone: {}\nsearch: {max_epochs: {choice: [9, 27]}}",
    "backbone: {}\nsearch: {seed: -1}",
    "backbone: {}\nsearch: {algorithm: random}",
    "backbone: {}\ndata: {name: ''}",
    "backbone: {}\nconstraints: {max_parameters: 300x}",
    "backbone: {}\nconstraints: {max_parameters: 0}",
    "backbone: {}\npresets: none",
    "backbone: {}\npresets: [none, none]",
    "backbone: {}\npresets: [mine]",
    "backbone: {}\nextra: 1",
]


@pytest.mark.parametrize("text", BAD)
def test_these_are_bad_for_both(text: str) -> None:
    assert not accepted_by_schema(parse_yaml(text, "space").plain())
    with pytest.raises(SpaceError):
        parse_space(text)
