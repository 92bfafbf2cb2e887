"""Spaces from YAML: what is good is read, what is bad is named with its file and line."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hypermodels.attention import mechanisms
from hypermodels.backbones import families
from hypermodels.knobs import Choice, FloatRange, IntRange
from hypermodels.settings.presets import PRESETS
from search.errors import SpaceError
from search.space.definition import PLAIN_SECTIONS, SEARCH, tuned_sections
from search.space.loading import load_space, parse_space, recorded_space, shipped_spaces
from search.space.settings import Constraints
from search.space.space import Space, depends_on_tuning, tuned_values
from search.space.yaml_nodes import MAX_BYTES, MAX_DEPTH, read_yaml
from tests.script import script
from tests.search.strategies import damaged, junk, spaces

ROOT = Path(__file__).parents[3]
TYPES = ", ".join(entry.name for entry in mechanisms())
KNOWN_PRESETS = f"{', '.join(PRESETS)}; or name settings of your own: {{mine: {{type: se}}}}"
FILES = sorted((ROOT / "spaces").glob("*.yaml"))
BACKBONE_KEYS = tuple(tuned_sections()["backbone"].knobs())
slow = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def refused(text: str) -> str:
    """What is said about a bad space; the file is called `my.yaml`."""
    with pytest.raises(SpaceError) as caught:
        parse_space(text, "my.yaml")
    return str(caught.value)


# ---- good spaces ------------------------------------------------------------------------


def test_the_shipped_spaces_are_those_of_the_folder() -> None:
    assert {name: path.name for name, path in shipped_spaces().items()} == {
        path.stem: path.name for path in FILES
    }
    # `resnet` is resnet_v1's, and `model` is a person's own.
    named = {entry.name for entry in families()} - {"resnet_v1", "model"}
    assert {"quickstart", "resnet", *named} <= set(shipped_spaces())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_space_loads_by_name_and_by_path(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    by_name, by_path = load_space(path.stem), load_space(str(path))
    assert by_name.to_dict() == by_path.to_dict() == load_space(f"spaces/{path.name}").to_dict()
    assert by_name.source == path.stem
    assert by_path.source == str(path)
    # There is something to choose from, or to compare.
    assert bool(by_name.tuned()) == depends_on_tuning(by_name) == (not by_name.own_presets)


def test_a_shipped_space_wins_over_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quickstart").mkdir()  # where a person keeps the results, say
    monkeypatch.chdir(tmp_path)
    assert load_space("quickstart").source == "quickstart"


def test_a_file_wins_over_a_shipped_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").write_text("backbone: {depth: 56}")
    monkeypatch.chdir(tmp_path)
    assert load_space("quickstart").settings["backbone"] == {"depth": 56}


def test_the_kinds_of_settings() -> None:
    space = parse_space(
        "backbone: {family: resnet_v1, depth: {int: [8, 20], step: 6}}\n"
        "attention:\n"
        "  type: {choice: [none, cbam]}\n"
        "  stages: {choice: [all, [3, 2], 1]}\n"
        "  mlp_bias: {choice: [true, false]}\n"
        "  reduction_ratio: {choice: [8]}\n"
        "recipe: {learning_rate: {float: [1e-3, 1], sampling: log}, warmup: {float: [0, 0.1]}}\n"
        "constraints: {max_parameters: 300k, max_macs: 1.5 G}\n"
    )
    assert space.settings == {
        "backbone": {"family": "resnet_v1", "depth": IntRange(8, 20, 6)},
        "attention": {
            "type": Choice(("none", "cbam")),
            "stages": Choice(("all", "2,3", "1")),
            "mlp_bias": Choice((True, False)),
            "reduction_ratio": 8,  # a choice of one is no choice
        },
        "recipe": {
            "learning_rate": FloatRange(0.001, 1.0, "log"),
            "warmup": FloatRange(0.0, 0.1, "linear"),
        },
    }
    assert space.constraints == Constraints(max_parameters=300_000, max_macs=1_500_000_000)
    assert list(space.tuned()) == [
        "backbone.depth",
        "attention.type",
        "attention.mlp_bias",
        "attention.stages",
        "recipe.learning_rate",
        "recipe.warmup",
    ]


def test_what_is_left_out_has_its_default() -> None:
    space = parse_space("backbone: {}")
    expected = {"objective": "val_accuracy", "max_epochs": 27, "factor": 3, "seed": 0}
    assert expected.items() <= asdict(space.search).items()
    assert space.data.name == "cifar10" and space.data.validation == 0.1
    assert space.constraints == Constraints(max_parameters=0, max_macs=0)
    assert space.presets == ()
    assert not depends_on_tuning(space) and not space.tuned()
    assert space.configuration({}).attention == {"type": "none"}


@pytest.mark.parametrize(
    ("family", "depths"),
    [
        ("resnet_v1", (20, 32, 44, 56, 110, 164)),
        ("resnet_v2", (20, 56, 110, 164, 1001)),
        ("resnext", (29, 50, 101)),
        ("densenet", (40, 100, 121, 161, 169, 201, 264)),
    ],
)
def test_a_family_takes_its_published_depths(family: str, depths: tuple[int, ...]) -> None:
    for depth in depths:
        space = parse_space(f"backbone: {{family: {family}, depth: {depth}}}")
        assert space.settings["backbone"]["depth"] == depth


def test_numbers_without_a_dot_are_numbers() -> None:
    space = parse_space("backbone: {}\nrecipe: {weight_decay: 1e-5, learning_rate: 1E-2}")
    assert space.settings["recipe"] == {"weight_decay": 1e-5, "learning_rate": 0.01}
    quoted = refused("backbone: {}\nrecipe: {weight_decay: '1e-5'}")
    assert quoted == (
        "my.yaml:2: recipe.weight_decay: expected a number from 0 to 10. Received: '1e-5'."
    )


def test_a_plain_section_has_its_keys_in_the_order_of_their_knobs() -> None:
    written = parse_space("backbone: {}").to_dict()
    assert "confirm" not in written  # nor is it in the journals of earlier versions
    asked = parse_space("backbone: {}\nconfirm: {seeds: 5}").to_dict()
    written["confirm"] = {**asked["confirm"], "seeds": 0}
    for name, knobs in PLAIN_SECTIONS.items():
        assert list(written[name].items()) == [(knob.name, knob.default) for knob in knobs]


def test_the_objective_decides_the_direction() -> None:
    assert parse_space("backbone: {}").maximize
    assert not parse_space("backbone: {}\nsearch: {objective: val_loss}").maximize


def test_a_kernel_of_eca_is_a_word_or_a_number() -> None:
    text = "backbone: {}\nattention: {type: eca, eca_kernel_size: {choice: [adaptive, 3, '9']}}"
    space = parse_space(text)
    assert space.settings["attention"]["eca_kernel_size"] == Choice(("adaptive", "3", "9"))


def test_presets_take_the_defaults_of_what_is_tuned() -> None:
    space = parse_space(
        "backbone: {depth: {choice: [14, 20]}}\n"
        "attention: {type: {choice: [none, se]}}\n"
        "recipe: {learning_rate: {float: [0.01, 1], sampling: log}}\n"
        "presets: [none, cbam_paper]\n"
    )
    for name in space.presets:
        configuration = space.preset_configuration(name)
        assert PRESETS[name].items() <= configuration.attention.items()
        assert configuration.backbone["depth"] == 14
        assert configuration.recipe["learning_rate"] == 0.1
        values = tuned_values(space, configuration)
        assert list(values) == ["backbone.depth", "attention.type", "recipe.learning_rate"]


def test_override_replaces_single_keys() -> None:
    space = parse_space("backbone: {}\nsearch: {max_epochs: 9, seed: 3}")
    other = space.override("search", max_epochs=27, seed=None)
    assert (other.search.max_epochs, other.search.seed) == (27, 3)
    assert (space.search.max_epochs, space.search.seed) == (9, 3)
    assert other.override("data", name="cifar100").data.name == "cifar100"
    with pytest.raises(SpaceError, match=r"^search\.max_epochs: expected .* Received: 0\.$"):
        space.override("search", max_epochs=0)
    with pytest.raises(SpaceError, match=r"^data\.name: expected a name or a path"):
        space.override("data", name="")


@given(spaces())
@slow
def test_a_space_written_out_is_the_same_space(content: dict[str, Any]) -> None:
    space = parse_space(yaml.safe_dump(content))
    written = space.to_dict()
    again = recorded_space(written, "space")
    assert again.to_dict() == written
    assert again.settings == space.settings
    assert (again.data, again.search, again.constraints, again.presets) == (
        space.data,
        space.search,
        space.constraints,
        space.presets,
    )


@pytest.mark.parametrize("name", shipped_spaces())
def test_a_shipped_space_written_out_is_the_same_space(name: str) -> None:
    written = load_space(name).to_dict()
    assert recorded_space(written, "space").to_dict() == written


# ---- files that are no spaces -----------------------------------------------------------


def unloadable(path: Path | str) -> str:
    with pytest.raises(SpaceError) as caught:
        load_space(str(path))
    return str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert unloadable(tmp_path / "my.yaml") == f"there is no space at {tmp_path}/my.yaml."
    assert unloadable("nowhere/resnet.yaml") == (
        "there is no space at nowhere/resnet.yaml. Did you mean the shipped space 'resnet'?"
    )
    assert "Did you mean the shipped space 'quickstart'?" in unloadable("quikstart.yml")


def test_a_name_that_is_not_known() -> None:
    assert unloadable("resnett") == (
        "there is no space called 'resnett'. Did you mean 'resnet'? Shipped spaces: "
        "application, cbam_paper_tables, cifar10, densenet, inception_resnet_v2, inception_v3, "
        "mobilenet, quickstart, resnet, resnet_v2, resnext; or give the path of a YAML file."
    )
    assert "Did you mean" not in unloadable("zzz")


@pytest.mark.parametrize("name", ["", ".", "a\0b", "a\0b.yaml", "n" * 5000, "n" * 5000 + ".yaml"])
def test_a_name_that_is_no_name(name: str) -> None:
    assert unloadable(name)


def test_a_folder_is_no_space(tmp_path: Path) -> None:
    assert unloadable(tmp_path) == f"cannot read the space {tmp_path}: Is a directory."


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_that_must_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("backbone: {}")
    path.chmod(0)
    assert unloadable(path) == f"cannot read the space {path}: Permission denied."
    tmp_path.chmod(0)
    try:
        assert "Permission denied" in unloadable(path)
    finally:
        tmp_path.chmod(0o700)


def test_an_unreadable_file_is_named_also_to_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("backbone: {}")

    def deny(*args: Any, **kwargs: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    assert unloadable(path) == f"cannot read the space {path}: Permission denied."


@pytest.mark.parametrize(
    "raw", [b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe" + "backbone: {}".encode("utf-16-le"), b"\x80"]
)
def test_a_binary_file(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(raw)
    assert unloadable(path) == f"{path} is not a space: it is not UTF-8 text."


def test_control_characters_are_named_with_their_line() -> None:
    assert refused("backbone: {}\n# \0\n") == (
        "my.yaml:2: the character \\x00 is not allowed in YAML. Remove it."
    )


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)  # a terabyte, of which the disk has nothing
    started = time.monotonic()
    assert unloadable(path) == (
        f"{path} is not a space: it has more than 100,000 bytes. A space is a short YAML file."
    )
    assert time.monotonic() - started < 60  # reading it would take many minutes
    path.write_text("backbone: {}\n#" + "x" * (MAX_BYTES - 14))
    assert path.stat().st_size == MAX_BYTES
    assert load_space(str(path))


ENDLESS = """
import resource
from pathlib import Path
from search.errors import SpaceError
from search.space.yaml_nodes import read_yaml
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
try:
    read_yaml(Path("/dev/zero"))
except SpaceError as error:
    print(error)
"""


def test_a_device_without_end_is_not_read() -> None:
    assert script(ENDLESS, timeout=300).startswith(
        "/dev/zero is not a space: it has more than 100,000 bytes."
    )
    assert unloadable("/dev/null").startswith("/dev/null is empty.")


def test_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("backbone: {depth: 32}",))
    writer.start()
    assert load_space(str(pipe)).settings["backbone"] == {"depth": 32}
    writer.join()


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"\xef\xbb\xbfbackbone: {depth: 32}\r\n")
    assert load_space(str(path)).settings["backbone"] == {"depth": 32}


# ---- what is wrong in a file ------------------------------------------------------------

B = "backbone: {}\n"

SAID = {
    # nothing there
    "": "my.yaml is empty. A space needs at least `backbone:`.",
    "# only a comment\n": "my.yaml is empty. A space needs at least `backbone:`.",
    "null": "my.yaml:1: a space is a mapping with keys such as `backbone:`. Received: NoneType.",
    "\n\n- a": "my.yaml:3: a space is a mapping with keys such as `backbone:`. Received: list.",
    "just words": "my.yaml:1: a space is a mapping with keys such as `backbone:`. Received: str.",
    "{}": "my.yaml:1: backbone: missing. A space needs a backbone section.",
    "\nsearch: {}": "my.yaml:2: backbone: missing. A space needs a backbone section.",
    # malformed
    "backbone: {\ndepth: 20": "my.yaml:2: a bracket is not closed, or a comma is missing: "
    "expected } (it begins on line 1).",
    "backbone:\n\tdepth: 20": "my.yaml:2: a tab stands here, which YAML takes for no indentation. "
    "Indent with spaces.",
    "backbone:\n  depth: 20\n family: x": "my.yaml:3: the line does not fit those above "
    "it. Keys of one section begin in one column, and stand each on a line of its own as "
    "`key: value`.",
    "backbone: 'open": "my.yaml:1: a quotation mark is not closed.",
    "a: 1\n---\nb: 2": "my.yaml:2: a space is one YAML document. Put all sections into one, "
    "without `---` between them.",
    # what YAML can do and a space must not
    B + "data: &x {}\nsearch: *x": "my.yaml:3: alias *x is not allowed in a space; write the "
    "value out.",
    "&a backbone: *a": "my.yaml:1: alias *a is not allowed in a space; write the value out.",
    "backbone: {}\nbackbone: {depth: 20}": "my.yaml:2: the key 'backbone' stands here and on "
    "line 1. Keep one of them.",
    "backbone:\n  depth: 20\n  depth: 32": "my.yaml:3: the key 'depth' stands here and on line 2. "
    "Keep one of them.",
    B + "1: 2": "my.yaml:2: keys are words. Received: 1.",
    B + "yes: 2": "my.yaml:2: keys are words. Received: yes, which YAML reads as true.",
    B + "~: 2": "my.yaml:2: keys are words. Received: ~, which YAML reads as nothing.",
    B + "? [a]\n: 2": "my.yaml:2: keys are words. Received: a list.",
    B + "<<: {a: 1}": "my.yaml:2: the merge key << is not allowed in a space; write the keys out.",
    B + "data: !!python/object/apply:os.system [ls]": "my.yaml:2: the tag "
    "!!python/object/apply:os.system is not allowed in a space; leave it out.",
    B + "data: !!python/name:os.system": "my.yaml:2: the tag !!python/name:os.system is not "
    "allowed in a space; leave it out.",
    B + "data: !!bool maybe": "my.yaml:2: the tag !!bool is not allowed in a space; leave it out.",
    B + "data: !!int ''": "my.yaml:2: the tag !!int is not allowed in a space; leave it out.",
    B
    + "data: !!timestamp x": "my.yaml:2: the tag !!timestamp is not allowed in a space; leave it "
    "out.",
    B + "data: 2001-13-45": "my.yaml:2: YAML reads 2001-13-45 as a date, which nothing in a space "
    "is; if it is a name, put it in quotes.",
    # keys
    B + "atention: {}": "my.yaml:2: atention: unknown key. Did you mean 'attention'? A space has: "
    "backbone, attention, recipe, data, search, constraints, confirm, presets.",
    "backbone: {dept: 20}": "my.yaml:1: backbone.dept: unknown key. Did you mean 'depth'? Known "
    f"keys: {', '.join(BACKBONE_KEYS)}.",
    B + "search: {epochs: 9}": "my.yaml:2: search.epochs: unknown key. Did you mean 'max_epochs'? "
    f"Known keys: {', '.join(knob.name for knob in SEARCH)}.",
    B + "recipe:\n  learning_rate:\n    float: [0.1, 0.2]\n    samplng: log": "my.yaml:5: "
    "recipe.learning_rate.samplng: unknown key beside float. Did you mean 'sampling'?",
    B + "attention: {type: se, spatial_kernel_size: 7}": "my.yaml:2: "
    "attention.spatial_kernel_size: has no effect: no chosen attention type has it (se). Remove "
    "it, or choose another type.",
    B + "attention: {reduction_ratio: 7}": "my.yaml:2: attention.reduction_ratio: has no effect: "
    "no chosen attention type has it (none). Remove it, or choose another type.",
    # sections
    "backbone:": "my.yaml:1: backbone: expected a mapping of keys. Received: nothing.",
    B + "data: cifar10": "my.yaml:2: data: expected a mapping of keys. Received: 'cifar10'.",
    B + "search: [1]": "my.yaml:2: search: expected a mapping of keys. Received: [1].",
    B + "presets: none": "my.yaml:2: presets: expected a list of names. Received: 'none'.",
    B + "presets:\n- none\n- se_papr": "my.yaml:4: presets: unknown preset 'se_papr'. Did you "
    f"mean 'se_paper'? Known presets: {KNOWN_PRESETS}.",
    B + "presets: [none, none]": "my.yaml:2: presets: none stands twice.",
    # types
    "backbone: {depth: twenty}": "my.yaml:1: backbone.depth: expected a whole number from 1 to "
    "2000. Received: 'twenty'.",
    "backbone: {depth: 20.5}": "my.yaml:1: backbone.depth: expected a whole number from 1 to "
    "2000. Received: 20.5.",
    "backbone: {depth: true}": "my.yaml:1: backbone.depth: expected a whole number from 1 to "
    "2000. Received: true.",
    "backbone: {depth: null}": "my.yaml:1: backbone.depth: expected a whole number from 1 to "
    "2000. Received: nothing.",
    "backbone: {depth: [20]}": "my.yaml:1: backbone.depth: expected a whole number from 1 to "
    "2000. Received: [20]. To search over several values, write {choice: [20]}.",
    "backbone: {depth: 1" + "0" * 400 + "}": "my.yaml:1: the number has 401 characters; a space "
    "takes 40 at most.",
    "backbone: {depth: 1" + "0" * 5000 + "}": "my.yaml:1: the number has 5001 characters; a space "
    "takes 40 at most.",
    "backbone: {depth: 0x" + "f" * 5000 + "}": "my.yaml:1: the number has 5002 characters; a "
    "space takes 40 at most.",
    "backbone: {depth: 10000000000000000000}": "my.yaml:1: the number is too large: above "
    "9223372036854775807.",
    B + "attention: {type: cbm}": "my.yaml:2: attention.type: expected one of "
    f"{TYPES}. Received: 'cbm'. Did you mean 'cbam'?",
    B + "attention: {type: [none, cbam]}": "my.yaml:2: attention.type: expected one of "
    f"{TYPES}. Received: ['none', 'cbam']. To search over several values, write {{choice: "
    "['none', 'cbam']}.",
    B + "recipe: {learning_rate: [0.1, 0.2]}": "my.yaml:2: recipe.learning_rate: expected a "
    "number from 1e-08 to 100. Received: [0.1, 0.2]. To search over several values, write "
    "{choice: [0.1, 0.2]}.",
    B + "attention: {type: no}": "my.yaml:2: attention.type: expected one of "
    f"{TYPES}. Received: false. YAML reads no as false; if it is a name, put it in quotes. Did "
    "you mean 'none'?",
    B + "attention: {type: eca, eca_kernel_size: 4}": "my.yaml:2: attention.eca_kernel_size: "
    "expected one of adaptive, 3, 5, 7, 9. Received: 4.",
    B + "attention: {type: eca, eca_kernel_size: {choice: [3, '3']}}": "my.yaml:2: "
    "attention.eca_kernel_size: choice has 3 twice.",
    B + "attention: {type: simam, gate: sigmoid}": "my.yaml:2: attention.gate: has no effect: no "
    "chosen attention type has it (simam). Remove it, or choose another type.",
    B + "attention: {type: se, mlp_bias: 1}": "my.yaml:2: attention.mlp_bias: expected true or "
    "false. Received: 1.",
    B + "recipe: {learning_rate: .nan}": "my.yaml:2: recipe.learning_rate: expected a number from "
    "1e-08 to 100. Received: nan.",
    B + "recipe: {learning_rate: -.inf}": "my.yaml:2: recipe.learning_rate: expected a number "
    "from 1e-08 to 100. Received: -inf.",
    B + "data: {validation: .inf}": "my.yaml:2: data.validation: expected a number of at least 0. "
    "Received: inf.",
    B + "data: {validation: 1.5}": "my.yaml:2: data.validation: expected a share between 0 and 1, "
    "or a whole number of images. Received: 1.5.",
    B + "data: {name: ' '}": "my.yaml:2: data.name: expected a name or a path. Received: ' '.",
    B + "constraints: {max_parameters: 300 kilo}": "my.yaml:2: constraints.max_parameters: "
    "expected a whole number from 1 to 1e+15. Received: '300 kilo'.",
    B + "search: {max_epochs: {choice: [9, 27]}}": "my.yaml:2: search.max_epochs: cannot be "
    "tuned; give one value.",
    B + "search: {max_epochs: [9, 27]}": "my.yaml:2: search.max_epochs: expected a whole number "
    "from 1 to 100000. Received: [9, 27].",
    # depths, kernels, ratios, stages
    "backbone: {depth: 21}": "my.yaml:1: backbone.depth: depth 21 fits no network of 6n+2 layers; "
    "valid depths near it are 20 and 26.",
    "backbone: {depth: 2}": "my.yaml:1: backbone.depth: depth 2 is below 8, the least of 6n+2.",
    "backbone: {family: resnet_v2, depth: 32}": "my.yaml:1: backbone.depth: depth 32 fits no "
    "network of 9n+2 layers; valid depths near it are 29 and 38.",
    "backbone: {depth: 32, family: {choice: [resnet_v1, resnet_v2]}}": "my.yaml:1: "
    "backbone.depth: depth 32 fits no network of 9n+2 layers; valid depths near it are 29 and 38.",
    "backbone: {depth: {int: [8, 20]}}": "my.yaml:1: backbone.depth: the range has 9: depth 9 "
    "fits no network of 6n+2 layers; valid depths near it are 8 and 14. Set `step`, or use "
    "choice.",
    B + "attention: {type: cbam, spatial_kernel_size: 4}": "my.yaml:2: "
    "attention.spatial_kernel_size: expected one of 3, 5, 7. Received: 4.",
    B + "attention: {type: se, reduction_ratio: 0}": "my.yaml:2: attention.reduction_ratio: "
    "expected a whole number from 1 to 4096. Received: 0.",
    B + "attention: {type: se, stages: []}": "my.yaml:2: attention.stages: expected a list of "
    "stage numbers. Received: [].",
    B + "attention: {type: se, stages: [0]}": "my.yaml:2: attention.stages: expected all, first, "
    "last, all_but_last or a list of stage numbers such as [2, 3]. Received: '0'.",
    # domains
    "backbone: {depth: {}}": "my.yaml:1: backbone.depth: a tuned key has exactly one of choice, "
    "int or float. Received: {}.",
    "backbone: {depth: {choice: [20], int: [8, 20]}}": "my.yaml:1: backbone.depth: a tuned key "
    "has exactly one of choice, int or float. Received: {'choice': [20], 'int': [8, 20]}.",
    "backbone: {depth: {choice: []}}": "my.yaml:1: backbone.depth: choice takes a list of values. "
    "Received: [].",
    "backbone: {depth: {choice: 20}}": "my.yaml:1: backbone.depth: choice takes a list of values. "
    "Received: 20.",
    "backbone: {depth: {choice: [20, 32, 20]}}": "my.yaml:1: backbone.depth: choice has 20 twice.",
    "backbone: {depth: {choice: [20,\n 21]}}": "my.yaml:2: backbone.depth: depth 21 fits no "
    "network of 6n+2 layers; valid depths near it are 20 and 26.",
    "backbone: {depth: {int: [20, 8], step: 6}}": "my.yaml:1: backbone.depth: the lowest value 20 "
    "is not below 8.",
    "backbone: {depth: {int: [8, 14, 20]}}": "my.yaml:1: backbone.depth: int takes [lowest, "
    "highest]. Received: [8, 14, 20].",
    "backbone: {depth: {int: [8, 20], step: 0}}": "my.yaml:1: backbone.depth.step: expected a "
    "whole number of at least 1. Received: 0.",
    "backbone: {depth: {float: [8, 20]}}": "my.yaml:1: backbone.depth: cannot be tuned with "
    "float; use int or choice.",
    B + "attention: {type: {int: [1, 2]}}": "my.yaml:2: attention.type: cannot be tuned with int; "
    "use choice.",
    B + "recipe: {weight_decay: {float: [0, 1], sampling: log}}": "my.yaml:2: "
    "recipe.weight_decay: log sampling needs values above 0. Received: 0.0.",
    B + "recipe: {weight_decay: {float: [0, 1], sampling: lg}}": "my.yaml:2: "
    "recipe.weight_decay.sampling: expected linear or log. Received: 'lg'.",
    B + "recipe: {weight_decay: {float: [0, .inf]}}": "my.yaml:2: recipe.weight_decay: expected a "
    "number from 0 to 10. Received: inf.",
}


@pytest.mark.parametrize("text", SAID, ids=lambda text: text[:60])
def test_what_is_said_about_a_bad_space(text: str) -> None:
    assert refused(text) == SAID[text]


def test_all_problems_are_said_at_once() -> None:
    assert refused(
        "backbone: {famly: resnet_v1, depth: 21}\n"
        "attention: {type: cbam, order: sideways}\n"
        "search: {max_epochs: 0}\n"
        "presets: [some]\n"
    ).splitlines() == [
        "5 problems in my.yaml:",
        "my.yaml:1: backbone.famly: unknown key. Did you mean 'family'? Known keys: "
        f"{', '.join(BACKBONE_KEYS)}.",
        "my.yaml:1: backbone.depth: depth 21 fits no network of 6n+2 layers; valid depths near it "
        "are 20 and 26.",
        "my.yaml:2: attention.order: expected one of channel_first, spatial_first, parallel. "
        "Received: 'sideways'.",
        "my.yaml:3: search.max_epochs: expected a whole number from 1 to 100000. Received: 0.",
        f"my.yaml:4: presets: unknown preset 'some'. Known presets: {KNOWN_PRESETS}.",
    ]


def test_of_very_many_problems_the_first_are_said() -> None:
    said = refused(B + "".join(f"key{number}: 1\n" for number in range(100))).splitlines()
    assert said[0] == "100 problems in my.yaml:"
    assert said[1].startswith("my.yaml:2: key0: ")
    assert said[-1] == "and 80 more."
    assert len(said) == 22


def test_a_long_value_is_cut_short() -> None:
    for text in ("backbone: {family: %s}", "? %s\n: 1\nbackbone: {}", "backbone: [%s]"):
        said = refused(text % ("a" * 50_000))
        assert len(said) < 600
        assert re.match(r"my\.yaml:[12]: ", said)
        assert " ... " in said


def test_depth_of_nesting_is_bounded() -> None:
    for text in ("[" * 20_000, "{a: " * 20_000, "- " * 20_000, "? " * 20_000):
        assert re.fullmatch(rf"my.yaml:1: nested deeper than {MAX_DEPTH} levels\.", refused(text))


def test_a_bomb_of_aliases_does_not_go_off() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert refused("\n".join(lines)).startswith("my.yaml:2: alias *a0 is not allowed")


@pytest.mark.parametrize(
    "text",
    [
        B + "attention: {type: {choice: [" + "se," * 30_000 + "]}}",
        "".join(f"k{number}: 1\n" for number in range(9_000)),
        B + "recipe: {" + "".join(f"k{number}: 1, " for number in range(7_000)) + "}",
        B + "presets: [" + "none," * 15_000 + "]",
    ],
    ids=["choices", "keys", "knobs", "presets"],
)
def test_the_largest_file_takes_seconds(text: str) -> None:
    assert 60_000 < len(text) <= MAX_BYTES
    started = time.process_time()
    refused(text)
    assert time.process_time() - started < 5


# ---- habits that are taken for what they mean -------------------------------------------

TAKEN = {
    "constraints: {max_parameters: 1e6}": ("constraints", {"max_parameters": 1_000_000}),
    "constraints: {max_macs: 1.5E9}": ("constraints", {"max_macs": 1_500_000_000}),
    "constraints: {max_parameters: 5 M}": ("constraints", {"max_parameters": 5_000_000}),
    "constraints: {max_parameters: 1.5k}": ("constraints", {"max_parameters": 1500}),
    "constraints: {max_parameters: 0.001k}": ("constraints", {"max_parameters": 1}),
    "constraints:\nattention: ~\nsearch: {max_epochs: 1e1}": ("search", {"max_epochs": 10}),
    "data: {name: '010'}": ("data", {"name": "010"}),
    'data: {name: "\\ud83d\\ude00"}': ("data", {"name": "\U0001f600"}),
    "data: {limit: 2.0}\r\nrecipe:\r\npresets: null\r\n": ("data", {"limit": 2}),
    "recipe: {nesterov: off}": ("settings", {"recipe": {"nesterov": False}}),
}


@pytest.mark.parametrize("text", TAKEN)
def test_a_habit_is_taken_for_what_it_means(text: str) -> None:
    section, expected = TAKEN[text]
    space = parse_space(B + text)
    assert expected.items() <= {**space.to_dict(), "settings": space.settings}[section].items()


REFUSED = {
    "search: {seed: 017}": "YAML 1.1 reads 017 as 15 and YAML 1.2 as 17",
    "search: {seed: -010}": "YAML 1.1 reads -010 as -8 and YAML 1.2 as -10",
    "search: {seed: 08}": "YAML 1.1 reads 08 as a text and YAML 1.2 as 8",
    "search: {seed: 0o17}": "write 0o17 as a decimal number: 15",
    "search: {seed: 0x1F}": "write 0x1F as a decimal number: 31",
    "search: {seed: 0b11}": "write 0b11 as a decimal number: 3",
    "search: {seed: 1_000}": "write 1_000 without _: 1000",
    "search: {seed: 1:30}": "a number of base 60",
    "search: {seed: 1:30.5}": "a number of base 60",
    "search: {seed: 2024-01-01 10:00:00}": "as a date",
    "search: {seed: \u0661\u0662}": "expected a whole number",
    "search: {seed: \uff11\uff12}": "expected a whole number",
    "search: {epoch_time_limit: 1e400}": "the number 1e400 is too large",
    "recipe: {weight_decay: 1e-400}": "the number 1e-400 is too small: it rounds to 0",
    "constraints: {max_parameters: 0.0004k}": "Received: '0.0004k', which is 0.4",
    "constraints: {max_parameters: 0k}": "Received: '0k', which is 0",
    "constraints: {max_parameters: 1.0005k}": "which is 1000.5",
    "constraints: {max_parameters: 0}": "Received: 0. Leave the key out for no limit",
    "constraints: {max_parameters: -5k}": "expected a whole number from 1",
    "constraints: {max_parameters: 1 000}": "expected a whole number from 1",
    "constraints: {max_parameters: '\u0663M'}": "expected a whole number from 1",
    "constraints: {max_macs: 999999999999999999G}": "expected a whole number from 1 to 1e+15",
    "constraints: {max_macs: 1e16}": "expected a whole number from 1 to 1e+15",
    "attention: {type: off}": "YAML reads off as false; if it is a name, put it in quotes",
    "attention: {type: !!str se}": "the tag !!str is not allowed",
    "data: {name: !mine x}": "the tag !mine is not allowed",
    "data: {name: a: b}": "a colon stands where no key can",
    "data: [a, b]]": "a ] closes no bracket",
    "data: @here": "a value cannot begin with @. Put it in quotes",
    'data: {name: "C:\\data"}': "a backslash in double quotes begins an escape",
    'data: {name: "\\ud800"}': "half a character",
    "2024-01-01: x": "as a date",
    "data: \x85\x1b": r"the character \x1b is not allowed in YAML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_two_readers_may_read_differently_is_refused(text: str) -> None:
    said = refused(B + text)
    assert said.startswith("my.yaml:2: ") and REFUSED[text] in said
    assert not re.search("constructor|<block|datetime|yaml.org|token|scanning", said)


HINTS = {
    "search: {objective: val_f1}": "Received: 'val_f1'.",
    "search: {objective: accuracy}": "Did you mean 'val_accuracy'?",
    "recipe: {optimizer: adam}": "Did you mean 'adamw'?",
    "presets: [se]": "Did you mean 'se_paper' or 'se_keras'?",
}


@pytest.mark.parametrize("text", HINTS)
def test_a_hint_is_of_what_was_meant(text: str) -> None:
    assert HINTS[text] in refused(B + text)


@pytest.mark.parametrize("family", ["resnet", "resnet50", "ResNet"])
def test_a_family_without_its_version_is_hinted_with_both(family: str) -> None:
    said = refused(f"backbone: {{family: {family}}}")
    assert said.endswith("Did you mean 'resnet_v1' or 'resnet_v2'?")


# ---- anything at all --------------------------------------------------------------------


def space_or_error(text: str) -> Space | str:
    try:
        return parse_space(text, "my.yaml")
    except SpaceError as error:
        said = str(error)
        assert "my.yaml" in said
        assert len(said) < 20_000
        return said


@given(st.text(max_size=200))
@example("\ud800")
@example("a: 0001-01-01T00:00:00+23:59")
@example("? ? ?")
@slow
def test_any_text_is_a_space_or_an_error(text: str) -> None:
    space_or_error(text)


_SYNTAX = st.sampled_from(
    [*"{}[]:,-?&*!|>%@`'\"#~\n \t", ": ", "- ", "\n  ", "!!int ", "!!float ", "!!bool ", "!!set "]
    + ["<<", "=", "backbone", "attention", "type", "cbam", "choice", "1", "1e5", "0x", ".5", "_"]
)


@given(st.lists(_SYNTAX, max_size=30).map("".join))
@slow
def test_any_yaml_is_a_space_or_an_error(text: str) -> None:
    space_or_error(B + text)


@given(junk)
@slow
def test_any_structure_is_a_space_or_an_error(content: Any) -> None:
    space_or_error(yaml.safe_dump(content))
    space_or_error(yaml.safe_dump({"backbone": content, "search": content}))


@given(damaged())
@slow
def test_a_damaged_space_is_a_space_or_an_error(content: Any) -> None:
    found = space_or_error(yaml.safe_dump(content))
    if isinstance(found, Space):
        written = found.to_dict()
        assert recorded_space(written, "space").to_dict() == written
    else:
        assert re.search(r"my\.yaml:\d+: ", found)


@given(st.binary(max_size=100))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_a_space_or_an_error(raw: bytes) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"space-{os.getpid()}.yaml"
    path.write_bytes(raw)
    try:
        read_yaml(path)
    except SpaceError as error:
        assert str(path) in str(error)
    finally:
        path.unlink()


def test_reading_a_space_does_not_load_tensorflow() -> None:
    script(
        "import sys\n"
        "from search.imports.keras_in_driver import import_keras_without_tensorflow\n"
        "import_keras_without_tensorflow()\n"
        "from search.space.loading import load_space\n"
        "load_space('resnet')\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
