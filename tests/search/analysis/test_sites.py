"""`cbam-search sites`: every place is where the built network has it, at the cost it adds."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest

from hypermodels.attention import AttentionLayer
from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import Cost, cost_of
from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from search.analysis.sites import site_table
from search.cli import commands as cli
from search.space.loading import parse_space
from tests.script import script
from tests.search.command import run

IMAGE = ImageSpec((32, 32, 3), 10)
RESNET = """\
backbone: {family: resnet_v1, depth: 14}
attention:
  type: {choice: [none, se, cbam]}
  reduction_ratio: {choice: [4, 8]}
  placement: {choice: [residual, post]}
  stages: {choice: [last, [1, 3]]}
  blocks: {choice: [first]}
data: {name: cifar10-sample}
"""
APPLICATION = """\
backbone: {application: EfficientNetB0}
attention: {type: {choice: [none, se, cbam]}, spatial_kernel_size: 3}
data: {name: cifar10-sample}
"""


def table(text: str, image: ImageSpec = IMAGE) -> list[dict[str, Any]]:
    return site_table(parse_space(text, "my.yaml"), CostModel(image))


# ---- against the network ------------------------------------------------------------------


@pytest.mark.parametrize("port", ["residual", "pre", "post", "identity"])
def test_rows_are_what_the_built_network_has(port: str) -> None:
    rows = {row["site"]: row for row in table(RESNET) if row["port"] == port}
    assert len(rows) == 6
    for kind in ("se", "cbam"):
        attention = {"type": kind, "reduction_ratio": 4, "placement": port}
        backbone = {"family": "resnet_v1", "depth": 14}
        chosen = Configuration.resolve({"backbone": backbone, "attention": attention})
        model = build_network(chosen, IMAGE, seed=1)
        layers = {
            layer.name.removesuffix("_attn"): layer
            for layer in model.layers
            if isinstance(layer, AttentionLayer)
        }
        assert list(layers) == list(rows)
        for name, layer in layers.items():
            row = rows[name]
            _, height, width, channels = layer.input.shape
            assert (row["map"], row["channels"]) == (f"{height}x{width}", channels)
            assert row[f"{kind}.parameters"] == layer.count_params()
            assert name == f"s{row['stage']}b{row['block']}"
            if row["side"] == "output":
                source = layer.input._keras_history.operation.name
                assert source == row["layer"]
        bare = dataclasses.replace(chosen, attention={"type": "none"})
        added = cost_of(model) - cost_of(build_network(bare, IMAGE, seed=1))
        sums = [
            sum(row[f"{kind}.{what}"] for row in rows.values()) for what in ("parameters", "macs")
        ]
        assert Cost(*sums) == added


def test_what_the_space_offers() -> None:
    """Placements, stages and blocks of any configuration, not of the default alone."""
    offered = {(row["site"], row["port"]) for row in table(RESNET) if row["offered"]}
    assert offered == {(site, port) for site in ("s1b1", "s3b1") for port in ("residual", "post")}
    standard = table("backbone: {depth: 8}\nattention: {type: se}")
    assert {row["port"] for row in standard if row["offered"]} == {"residual"}
    without = table("backbone: {depth: 8}\nattention: {type: none}")
    assert not any(row["offered"] for row in without)
    assert not [key for key in without[0] if key.endswith(".macs")]


def test_stages_with_types_of_their_own() -> None:
    rows = table(
        "backbone: {depth: 8}\n"
        "attention: {per_stage: [type, reduction_ratio], stage2.type: se, stage3.type: cbam, "
        "reduction_ratio: 2, stage3.reduction_ratio: {choice: [4, 8]}}"
    )
    assert {row["stage"] for row in rows if row["offered"]} == {2, 3}
    by_stage = {row["stage"]: row for row in rows if row["port"] == "residual"}
    assert set(by_stage[1]) >= {"se.parameters", "cbam.parameters"}
    assert by_stage[2]["se.parameters"] == 2 * 32 * 16 + 32 + 16
    assert by_stage[3]["se.parameters"] == 2 * 64 * 16 + 64 + 16


def test_an_application() -> None:
    rows = table(APPLICATION)
    assert len({row["site"] for row in rows}) == 16
    assert {row["port"] for row in rows if row["offered"]} == {"mid"}
    first = rows[0]
    assert (first["site"], first["port"], first["layer"], first["side"]) == (
        "block1a", "mid", "block1a_project_conv", "input",
    )  # fmt: skip
    last = rows[-1]  # a map of one position, which no 3x3 kernel fits
    assert last["map"] == "1x1" and last["cbam.parameters"] is last["cbam.macs"] is None
    assert last["se.parameters"] > 0


# ---- the command ---------------------------------------------------------------------------


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text(RESNET)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main(["sites", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_formats_say_the_same(space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = table(RESNET)
    assert json.loads(said(capsys, "--space", space, "--format", "json")) == rows
    read = list(csv.DictReader(io.StringIO(said(capsys, "--space", space, "--format", "csv"))))
    assert read == [{key: str(value) for key, value in row.items()} for row in rows]
    printed = said(capsys, "--space", space).splitlines()
    assert len(printed) == 1 + len(rows) + 1
    for line, row in zip(printed[1:], rows, strict=False):
        words = line.split()
        assert words[:3] == [row["site"], str(row["stage"]), row["port"]]
        assert row["layer"] in words and row["map"] in words
        assert ("yes" in words) is row["offered"]
    assert printed[-1] == (
        "24 places in 6 blocks; the space offers 4 of them, in 2 blocks. Backbone: family "
        "resnet_v1, depth 14."
    )


def test_a_narrow_terminal_cuts_no_name(space: Path) -> None:
    result = run("sites", "--space", space, COLUMNS="40")
    assert "s1b1_conv1 (input)" in result.stdout and "…" not in result.stdout


def test_images_can_be_given_instead_of_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.yaml").write_text(RESNET.replace("cifar10-sample", "no/such/data"))
    rows = json.loads(
        said(capsys, "--space", tmp_path / "my.yaml", "--image", "64x48x1", "--format", "json")
    )
    assert rows[0]["map"] == "64x48"


def test_it_writes_nothing_and_loads_no_tensorflow(tmp_path: Path) -> None:
    """Neither for a network whose first layers rescale and normalize its images."""
    (tmp_path / "my.yaml").write_text(APPLICATION)
    before = sorted(tmp_path.iterdir())
    probe = (
        "import sys; from search.cli.commands import main\n"
        "code = main(['sites', '--space', 'my.yaml'])\n"
        "print(code, 'tensorflow' in sys.modules, 'jax' in sys.modules)"
    )
    printed = script(probe, cwd=tmp_path, COLUMNS="200")
    assert printed.splitlines()[-1] == "0 False False", printed
    assert "block1a_project_conv (input)" in printed
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("text", "arguments", "code", "expected"),
    [
        ("backbone: {family: vgg}", (), 3, "my.yaml:1: backbone.family"),
        ("backbone: {application: InceptionV3}", (), 3, "backbone.resize to at least 75"),
        ("backbone: {model: 'no.such:f'}", (), 3, "no.such cannot be imported"),
        ("backbone: {model: no.keras}", (), 3, "there is no file no.keras"),
        ("backbone: {family: model}", (), 3, "backbone.model is missing"),
        ("backbone: {depth: 8}", ("--data", "no/such/data"), 4, "no/such/data"),
    ],
)
def test_errors(
    text: str,
    arguments: tuple[str, ...],
    code: int,
    expected: str,
    space: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    space.write_text(text)
    assert cli.main(["sites", "--space", str(space), *arguments]) == code
    told = capsys.readouterr().err
    assert told.startswith("cbam-search: ") and expected in told and "Traceback" not in told


@pytest.mark.parametrize("image", ["32x32", "0x32x3", "32x32xRGB", ""])
def test_wrong_images(image: str, space: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["sites", "--space", str(space), "--image", image])
    assert stop.value.code == 2
    assert "expected HEIGHTxWIDTHxCHANNELS" in capsys.readouterr().err
