"""Attention that differs from stage to stage: how it resolves, what it builds and costs."""

from __future__ import annotations

from typing import Any

import keras_tuner as kt
import numpy as np
import pytest

from hypermodels.attention import AttentionLayer
from hypermodels.backbones import families
from hypermodels.hypermodel import AttentionHyperModel
from hypermodels.knobs import Choice, KnobError, Setting, Value
from hypermodels.knobs.per_stage import StagedSection, settings_in
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import build_backbone, build_network
from hypermodels.settings.configuration import (
    Configuration,
    backbone_section,
    combinations,
    sections,
)
from hypermodels.settings.recipe import Budget
from tests.hypermodels.helpers import SMALLEST, TINY, fingerprint

BACKBONE = {"family": "resnet_v1", "depth": 8}
TYPES = Choice(("none", "se", "cbam"))
RATIOS = Choice((2, 4))
COSTS = CostModel(TINY)


def resolved(values: dict[str, Value] | None = None, **attention: Setting) -> Configuration:
    attention = {key.replace("__", "."): value for key, value in attention.items()}
    given = {f"attention.{key}": value for key, value in (values or {}).items()}
    return Configuration.resolve({"backbone": BACKBONE, "attention": attention}, given)


def kinds(configuration: Configuration) -> dict[str, str]:
    """The class of the attention layer of every block that has one."""
    model = build_network(configuration, TINY, seed=1)
    assert COSTS.cost(configuration) == cost_of(model)
    return {
        layer.name: type(layer).__name__
        for layer in model.layers
        if isinstance(layer, AttentionLayer)
    }


# ---- what a configuration says ----------------------------------------------------------


def test_every_stage_has_the_knobs_of_its_type() -> None:
    chosen = resolved(
        {"stage2.type": "se", "stage2.reduction_ratio": 4, "stage3.type": "cbam"},
        per_stage="type,reduction_ratio",
        type=TYPES,
        reduction_ratio=RATIOS,
        stage3__spatial_kernel_size=3,
    )
    first, second, third = (chosen.attention_in(stage) for stage in (1, 2, 3))
    assert first["type"] == "none" and "reduction_ratio" not in first
    assert second["type"] == "se" and second["reduction_ratio"] == 4
    assert third["type"] == "cbam" and third["reduction_ratio"] == 2
    assert third["spatial_kernel_size"] == 3 and "spatial_kernel_size" not in second
    # What is one for all stages stands once.
    assert chosen.attention["placement"] == "residual" and chosen.attention["stages"] == "all"
    assert Configuration.from_dict(chosen.to_dict()) == chosen
    assert kinds(chosen) == {"s2b1_attn": "ChannelAttention", "s3b1_attn": "CBAM"}


def test_a_key_of_one_stage_fixes_it() -> None:
    chosen = resolved(
        {"stage1.type": "se", "type": "se"}, per_stage="type", type="se", stage1__type="none"
    )
    assert [chosen.attention_in(stage)["type"] for stage in (1, 2, 3)] == ["none", "se", "se"]


def test_a_key_of_one_stage_can_be_tuned_by_itself() -> None:
    attention = {"per_stage": "type", "type": "se", "stage2.reduction_ratio": RATIOS}
    section = sections({"backbone": BACKBONE, "attention": attention})[1]
    assert [knob.name for knob, _ in section.tuned(attention)] == ["stage2.reduction_ratio"]
    chosen = Configuration.resolve(
        {"backbone": BACKBONE, "attention": attention}, {"attention.stage2.reduction_ratio": 4}
    )
    assert [chosen.attention_in(n)["reduction_ratio"] for n in (1, 2, 3)] == [16, 4, 16]


def test_a_common_knob_is_common() -> None:
    chosen = resolved(
        {"gate": "identity_start", "stage1.type": "se", "stage2.type": "cbam"},
        per_stage="type",
        type=TYPES,
        gate=Choice(("sigmoid", "identity_start")),
    )
    assert chosen.attention_in(1)["gate"] == chosen.attention_in(2)["gate"] == "identity_start"


def test_an_empty_list_is_as_if_it_were_not_there() -> None:
    assert resolved(per_stage="", type="se").attention == resolved(type="se").attention


def test_without_stages_of_their_own_settings_hold_everywhere() -> None:
    attention = resolved(type="se").attention
    assert settings_in(attention, 1) == settings_in(attention, 9) == attention


# ---- settings that are one network ------------------------------------------------------


def test_all_none_is_none() -> None:
    apart = resolved(per_stage="type,reduction_ratio", type="none", reduction_ratio=4)
    assert apart.attention == {"type": "none"} and apart == resolved(type="none")


@pytest.mark.parametrize("kind", ["se", "cbam", "eca", "bam"])
def test_all_stages_alike_are_the_common_setting(kind: str) -> None:
    apart = resolved(per_stage="type", stage1__type=kind, stage2__type=kind, stage3__type=kind)
    together = resolved(type=kind)
    assert apart != together and COSTS.signature(apart) == COSTS.signature(together)
    assert COSTS.cost(apart) == COSTS.cost(together)
    ours, theirs = (build_network(each, TINY, seed=5) for each in (apart, together))
    assert fingerprint(ours.get_weights()) == fingerprint(theirs.get_weights())


def test_a_stage_that_gets_no_attention_does_not_count() -> None:
    """Its type differs, but `stages` leaves it out."""
    one, other = (
        resolved(per_stage="type", type="se", stage1__type=kind, stages="2,3")
        for kind in ("cbam", "none")
    )
    assert COSTS.signature(one) == COSTS.signature(other)
    assert kinds(one) == {"s2b1_attn": "ChannelAttention", "s3b1_attn": "ChannelAttention"}


def test_different_stages_are_different_networks() -> None:
    names = [
        COSTS.signature(
            resolved(
                dict(zip(("stage1.type", "stage2.type", "stage3.type"), types, strict=True)),
                per_stage="type",
                type=TYPES,
            )
        )
        for types in (
            ("none", "none", "se"), ("none", "se", "none"), ("se", "none", "none"),
            ("se", "se", "none"), ("none", "none", "cbam"), ("none", "none", "none"),
        )
    ]  # fmt: skip
    assert len(set(names)) == len(names)


def test_a_ratio_above_the_channels_of_one_stage_is_refused() -> None:
    chosen = resolved(per_stage="type,reduction_ratio", type="se", stage1__reduction_ratio=32)
    assert "reduction_ratio 32 is above the channels" in str(COSTS.infeasible(chosen))
    fits = resolved(per_stage="type,reduction_ratio", type="se", stage3__reduction_ratio=32)
    assert COSTS.infeasible(fits) is None


# ---- as hyperparameters -----------------------------------------------------------------


def hypermodel(**attention: Setting) -> AttentionHyperModel:
    attention = {key.replace("__", "."): value for key, value in attention.items()}
    return AttentionHyperModel(
        TINY, Budget(epochs=1, steps_per_epoch=2), backbone=BACKBONE, attention=attention
    )


def conditions(hp: kt.HyperParameters) -> dict[str, Any]:
    """What each hyperparameter depends on."""
    return {
        entry.name: [(each.name, each.values) for each in entry.conditions] for entry in hp.space
    }


def test_hyperparameters_are_named_and_scoped_by_stage() -> None:
    hp = kt.HyperParameters()
    hypermodel(
        per_stage="type,reduction_ratio",
        type=TYPES,
        reduction_ratio=RATIOS,
        stage1__type="none",
        stage3__spatial_kernel_size=Choice((3, 5)),
        gate=Choice(("sigmoid", "identity_start")),
    ).declare_hyperparameters(hp)
    attending = [("attention.stage2.type", ["se", "cbam"])]
    assert conditions(hp) == {
        "attention.gate": [],
        "attention.stage2.type": [],
        "attention.stage2.reduction_ratio": attending,
        "attention.stage3.type": [],
        "attention.stage3.reduction_ratio": [("attention.stage3.type", ["se", "cbam"])],
        "attention.stage3.spatial_kernel_size": [("attention.stage3.type", ["cbam"])],
    }


def test_one_type_and_ratios_by_stage_are_scoped_by_the_type() -> None:
    hp = kt.HyperParameters()
    hypermodel(
        per_stage="reduction_ratio", type=TYPES, reduction_ratio=RATIOS
    ).declare_hyperparameters(hp)
    scope = [("attention.type", ["se", "cbam"])]
    assert conditions(hp) == {
        "attention.type": [],
        **{f"attention.stage{stage}.reduction_ratio": scope for stage in (1, 2, 3)},
    }


def test_a_stock_oracle_draws_from_them_and_every_draw_is_built() -> None:
    model = hypermodel(per_stage="type,reduction_ratio", type=TYPES, reduction_ratio=RATIOS)
    hp = kt.HyperParameters()
    model.declare_hyperparameters(hp)
    oracle = kt.oracles.RandomSearchOracle(
        objective=kt.Objective("val_accuracy", "max"), max_trials=8, seed=3, hyperparameters=hp
    )
    seen = set()
    for number in range(8):
        values = oracle.populate_space(f"{number}")["values"]
        drawn = hp.copy()
        drawn.values = values
        configuration = model.configuration(drawn)
        for stage in (1, 2, 3):
            own = configuration.attention_in(stage)
            assert own["type"] == values.get(f"attention.stage{stage}.type", "none")
            key = f"attention.stage{stage}.reduction_ratio"
            if own["type"] != "none":
                assert own["reduction_ratio"] == values[key]
        seen.add(COSTS.signature(configuration))
        built = model.build(drawn)
        assert COSTS.cost(configuration).parameters == built.count_params()
        assert np.isfinite(built(np.zeros((1, *TINY.shape), "uint8"))).all()
    assert len(seen) > 5


# ---- which backbones --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each.name, marks=pytest.mark.slow if "inception" in each.name else ())
        for each in families()
        if each.stages is not None
    ],
)
def test_stages_are_known_without_building(name: str) -> None:
    from hypermodels.image import ImageSpec

    entry = next(each for each in families() if each.name == name)
    section = backbone_section()
    for more in ({}, {"depth": 50}, {"depth": 121}):
        knob = next((knob for knob in entry.knobs if knob.name == "depth"), None)
        if more and (
            knob is None or not _takes(knob, more["depth"]) or name.startswith("resnet_")
        ):
            continue
        settings = section.resolve({"family": name, **SMALLEST[name], **more}, {})
        sites = build_backbone(settings, ImageSpec((32, 32, 3), 4)).sites
        assert entry.stages is not None
        assert entry.stages(settings) == max(site.stage for site in sites)


def _takes(knob: Any, value: int) -> bool:
    try:
        knob.accept(value)
    except KnobError:
        return False
    return True


@pytest.mark.parametrize("backbone", [{"application": "VGG16"}, {"model": "package.module:f"}])
def test_a_backbone_of_unknown_stages(backbone: dict[str, Setting]) -> None:
    attention = {"per_stage": "type", "type": "se"}
    with pytest.raises(
        KnobError, match="is not known before it is built. Use one of the families"
    ):
        sections({"backbone": backbone, "attention": attention})


def test_of_several_backbones_each_has_its_own_stages() -> None:
    """ResNeXt-29 has three stages, ResNeXt-50 four: the fourth is tuned where it is there."""
    settings = {
        "backbone": {"family": "resnext", "depth": Choice((29, 50))},
        "attention": {"per_stage": "type", "type": TYPES},
    }
    section = sections(settings)[1]
    assert isinstance(section, StagedSection) and section.stages == 4
    values: dict[str, Value] = {f"attention.stage{stage}.type": "se" for stage in (1, 2, 3, 4)}
    small = Configuration.resolve(settings, {**values, "backbone.depth": 29})
    large = Configuration.resolve(settings, {**values, "backbone.depth": 50})
    assert "stage4.type" not in small.attention and large.attention["stage4.type"] == "se"


def test_combinations_of_a_section() -> None:
    section = backbone_section()
    tuned = {
        "family": Choice(("resnet_v1", "mobilenet")),
        "depth": Choice((8, 14)),
        "alpha": Choice((0.5, 1.0)),
    }
    found = list(combinations(section, tuned))
    assert [(each["family"], each.get("depth"), each.get("alpha")) for each in found] == [
        ("resnet_v1", 8, None),
        ("resnet_v1", 14, None),
        ("mobilenet", None, 0.5),
        ("mobilenet", None, 1.0),
    ]
    assert len(list(combinations(section, tuned, most=3))) == 2
    assert list(combinations(section, {})) == [section.resolve({}, {})]


# ---- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attention", "expected"),
    [
        ({"per_stage": "type, se"}, "expected a list of attention knobs"),
        ({"per_stage": 3}, "expected a list of attention knobs"),
        ({"per_stage": Choice(("type",))}, "cannot be tuned; give one value"),
        ({"stage1.typ": "se"}, "no knob called stage1.typ"),
        ({"stage0.type": "se"}, "no knob called stage0.type"),
        ({"stage1.placement": "post"}, "no knob called stage1.placement"),
        ({"stage1.per_stage": "type"}, "no knob called stage1.per_stage"),
        ({"stage1.type": "sse"}, "expected one of none, se"),
        ({"stage1.reduction_ratio": 0}, "expected a whole number"),
    ],
)
def test_refused(attention: dict[str, Any], expected: str) -> None:
    with pytest.raises(KnobError, match=expected):
        sections()[1].accept(attention)
