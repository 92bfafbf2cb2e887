"""Every figure of docs/parameters.md: what is counted, what is built, what is published."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import pytest
import yaml

from hypermodels.backbones import families
from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.presets import preset

PAGE = Path(__file__).resolve().parents[3] / "docs" / "parameters.md"
COLUMNS = ("none", "se_keras", "cbam_keras")


@dataclass(frozen=True)
class Row:
    """One network of a table; a figure that the table leaves open is `None`."""

    name: str
    settings: Mapping[str, Any]
    image: ImageSpec
    ours: list[int | None]
    seed: list[int | None]
    macs: list[int | None]

    def configuration(self, attention: str) -> Configuration:
        return Configuration.resolve(
            {"backbone": self.settings, "attention": preset(attention)}  # type: ignore[dict-item]
        )


def number(cell: str) -> int | None:
    return None if cell == "–" else int(cell.replace(",", ""))


def documented() -> Iterator[Row]:
    family, image = "", ImageSpec((32, 32, 3), 10)
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## .*?`(\w+)`", line):
            family, image = heading[1], ImageSpec((32, 32, 3), 10)
        if heading := re.match(r"### Images of (\d+)x\1x3, (\d+) classes$", line):
            side = int(heading[1])
            image = ImageSpec((side, side, 3), int(heading[2]))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != 10 or not (cells[0].isdigit() or cells[0].startswith("`")):
            continue
        settings = cells[0].strip("`") if cells[0].startswith("`") else f"depth: {cells[0]}"
        figures = [number(cell) for cell in cells[1:]]
        yield Row(
            f"{family}-{image.shape[0]}-{settings.replace(': ', '_').replace(', ', '-')}",
            {"family": family, **yaml.safe_load(f"{{{settings}}}")},
            image,
            figures[:3],
            figures[3:6],
            figures[6:],
        )


ROWS = list(documented())


def is_slow(settings: Mapping[str, Any]) -> bool:
    """Whether such a network takes long to build."""
    depths = {"resnet_v2": 500, "densenet": 150, "resnext": 60}
    return settings["family"] == "inception_resnet_v2" or bool(
        settings.get("depth", 0) > depths.get(settings["family"], 500)
    )


each_row = pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.slow] if is_slow(row.settings) else [], id=row.name)
        for row in ROWS
    ],
)


def test_the_tables_list_every_family_and_its_published_depths() -> None:
    depths: dict[str, list[Any]] = {}
    for row in ROWS:
        depths.setdefault(row.settings["family"], []).append(row.settings.get("depth"))
    found = ("application", "model")  # whose networks are Keras's own, or a person's
    assert list(depths) == [entry.name for entry in families() if entry.name not in found]
    assert depths["resnet_v1"] == [20, 32, 44, 56, 110, 164]
    assert depths["resnet_v2"] == [20, 56, 110, 164, 1001]
    assert depths["resnext"] == [29, 50, 101]
    assert depths["densenet"] == [40, 40, 40, 100, 121, 161, 169, 201, 264]
    assert len(ROWS) == 11 + 3 + 5 + 9 + 3 + 3


@each_row
def test_the_tables_are_what_is_counted(row: Row) -> None:
    model = CostModel(row.image)
    costs = [model.cost(row.configuration(attention)) for attention in COLUMNS]
    assert [cost.parameters for cost in costs] == row.ours
    assert [cost.macs for cost in costs] == row.macs


FIRST = {row.settings["family"]: row for row in reversed(ROWS)}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.slow] if is_slow(row.settings) else [], id=name)
        for name, row in FIRST.items()
    ],
)
def test_the_tables_are_what_is_built(row: Row) -> None:
    for attention, total in zip(COLUMNS[1:], row.ours[1:], strict=True):
        model = build_network(row.configuration(attention), row.image, seed=0)
        assert model.count_params() == total


# --- totals by formula ----------------------------------------------------------------


def attended(settings: Mapping[str, Any]) -> list[int]:
    """The channels of each map that has attention at the standard placement."""
    family, depth = settings["family"], settings.get("depth", 0)
    if family == "resnet_v1":
        return [width for width in (16, 32, 64) for _ in range((depth - 2) // 6)]
    if family == "resnet_v2":
        return [width for width in (64, 128, 256) for _ in range((depth - 2) // 9)]
    if family == "resnext":
        blocks = {29: (3, 3, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}[depth]
        return [256 * 2**stage for stage, count in enumerate(blocks) for _ in range(count)]
    if family == "mobilenet":
        widths = [64, *[128] * 2, *[256] * 2, *[512] * 6, *[1024] * 2]
        return [int(width * settings.get("alpha", 1)) for width in widths]
    if family == "inception_v3":
        return [256, 288, 288, *[768] * 5, 1280, 2048, 2048]
    if family == "inception_resnet_v2":
        return [320] * 10 + [1088] * 20 + [2080] * 10
    return densenet_maps(settings)


def densenet_maps(settings: Mapping[str, Any]) -> list[int]:
    depth, growth = settings["depth"], settings["growth_rate"]
    bottleneck = settings.get("bottleneck", True)
    blocks = {
        121: (6, 12, 24, 16),
        161: (6, 12, 36, 24),
        169: (6, 12, 32, 32),
        201: (6, 12, 48, 32),
        264: (6, 12, 64, 48),
    }.get(depth, ((depth - 4) // (6 if bottleneck else 3),) * 3)
    channels, found = 2 * growth if settings.get("wide_stem", True) else 16, []
    for block in blocks:
        channels += block * growth
        found += [channels, channels // 2 if bottleneck else channels]
        channels = found[-1]
    return found[:-1]


def attention_totals(settings: Mapping[str, Any]) -> list[int]:
    """What SE and CBAM add with a ratio of 8, biases and a 7x7 kernel."""
    widths = attended(settings)
    se = sum(2 * width * (width // 8) + width // 8 + width for width in widths)
    return [0, se, se + 98 * len(widths)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_attention_adds_what_the_formulas_say(row: Row) -> None:
    for figures in (row.ours, row.seed):
        if None not in figures and row.settings.get("cardinality") != 8:
            base = figures[0]
            assert figures == [base + more for more in attention_totals(row.settings)]
    assert [total - row.ours[0] for total in row.ours] == attention_totals(row.settings)  # type: ignore[operator]


def base(settings: Mapping[str, Any], classes: int) -> int | None:
    """Totals without attention from the seed's research notes or other sources."""
    family, depth = settings["family"], settings.get("depth", 0)
    if family == "resnet_v1":
        return 274_442 + ((depth - 2) // 6 - 3) * 97_888
    if family == "resnet_v2":
        return 574_090 + ((depth - 2) // 9 - 2) * 274_912
    known = {
        "resnext": {50: 25_096_128 + 1000, 101: 44_314_560 + 1000},
        "densenet": {
            121: 8_062_504,
            161: 28_900_936,
            169: 14_307_880,
            201: 20_242_984,
            264: 33_736_232,
        },
    }.get(family, {})
    if depth in known:
        return known[depth]
    if family == "resnext" and depth == 29:
        return 34_484_160 + 10
    if family == "densenet" and settings.get("bottleneck") is False:
        return 1_078_018 if settings.get("wide_stem", True) else None
    totals = {  # for 1000 classes, and the features that the classifier takes
        "mobilenet": (4_253_864, 1024),
        "inception_v3": (23_851_784, 2048),
        "inception_resnet_v2": (55_873_736, 1536),
    }
    if family not in totals or settings.get("alpha", 1) != 1:
        return None
    total, features = totals[family]
    return total - (1000 - classes) * (features + 1)


def test_totals_without_attention() -> None:
    unknown = []
    for row in ROWS:
        expected = base(row.settings, row.image.classes)
        if expected is None:
            unknown.append(row.name)
        else:
            assert row.ours[0] == expected, row.name
            if row.seed[0] is not None and row.settings["family"] != "resnext":
                assert row.seed == row.ours, row.name
    assert len(unknown) == 2 + 3  # two narrow MobileNets, three DenseNets of the paper
    assert unknown[0].startswith("mobilenet") and unknown[-1].startswith("densenet")


def test_resnext_differs_from_the_seed_as_the_page_says() -> None:
    cifar, fifty, hundred = [row for row in ROWS if row.settings["family"] == "resnext"]
    assert cifar.seed == [89_700_288, 106_239_552, 106_240_434]
    wide = [1024 * 2**stage for stage in range(3) for _ in range(3)]
    assert cifar.seed[1] - cifar.seed[0] == sum(  # type: ignore[operator]
        2 * width * (width // 8) + width // 8 + width for width in wide
    )
    assert (fifty.seed[0], hundred.seed[0]) == (25_096_128, 44_314_560)


def test_figures_of_the_research_notes() -> None:
    by_depth = {
        row.settings["depth"]: row for row in ROWS if row.settings["family"] == "resnet_v1"
    }
    for depth, row in by_depth.items():
        n = (depth - 2) // 6
        plain, _, cbam = row.macs
        assert plain == 40_813_184 + (n - 3) * 14_155_776
        # Two passes through three MLPs, and a 7x7 kernel over two maps of 32, 16 and 8.
        mlp = n * 2 * (2 * 16 * 2 + 2 * 32 * 4 + 2 * 64 * 8)
        assert cbam - plain == mlp + n * 98 * (32**2 + 16**2 + 8**2)  # type: ignore[operator]
    named = {row.name: row.ours for row in ROWS}
    assert named["mobilenet-224-stem_imagenet"][2] == 5_221_322
    assert named["inception_v3-299-stem_imagenet"][1:] == [27_164_976, 27_166_054]
    assert named["inception_resnet_v2-299-stem_imagenet"] == [55_873_736, 72_915_936, 72_919_856]


# --- published totals -----------------------------------------------------------------


def published() -> Iterator[Any]:
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if len(cells) != 7 or not cells[1].startswith("family: "):
            continue
        name, settings, attention, classes, total, ours, _ = cells
        parsed = yaml.safe_load(f"{{{settings}}}")
        slow = is_slow(parsed) or parsed.get("cardinality", 0) > 8
        yield pytest.param(
            parsed,
            attention.split(", "),
            int(classes),
            total,
            number(ours),
            marks=[pytest.mark.slow] if slow else [],
            id=name.replace(" ", "-"),
        )


PUBLISHED = list(published())


def test_the_page_has_published_totals_of_the_own_builders() -> None:
    assert len(PUBLISHED) == 17
    assert {case.values[0]["family"] for case in PUBLISHED} == {
        "resnext",
        "mobilenet",
        "densenet",
    }


@pytest.mark.parametrize(("settings", "attention", "classes", "total", "ours"), PUBLISHED)
def test_published_totals(
    settings: dict[str, Any], attention: list[str], classes: int, total: str, ours: int
) -> None:
    placement = {"placement": attention[1]} if len(attention) > 1 else {}
    chosen = Configuration.resolve(
        {"backbone": settings, "attention": {**preset(attention[0]), **placement}}
    )
    model: keras.Model = build_network(chosen, ImageSpec((32, 32, 3), classes), seed=0)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == ours
    if total.endswith(" M"):
        figure = total.removesuffix(" M")
        assert f"{ours / 1e6:.{len(figure.partition('.')[2])}f}" == figure
    else:
        assert number(total) == ours
