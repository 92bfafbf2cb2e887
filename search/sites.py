"""Where attention would go in a space's backbone, and what it would add there."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from hypermodels.attention import mechanism
from hypermodels.backbones import family
from hypermodels.configuration import Configuration
from hypermodels.cost import CostModel
from hypermodels.knobs import Choice, FloatRange, IntRange, Value
from hypermodels.network import ImageSpec, build_backbone
from hypermodels.per_stage import PER_STAGE, STAGE_KEY
from hypermodels.placement import tap_shape
from search.errors import SpaceError
from search.space import Space

Row = dict[str, Any]


def site_table(space: Space, image: ImageSpec) -> list[Row]:
    """Every port of every site of a space's backbone.

    A knob that is tuned has its default, except that every placement is listed.

    Args:
        space: The `Space`.
        image: The `ImageSpec` of its data.

    Returns:
        A row for each: site, stage, block, port, the layer and which side of it, map
        size, channels, whether the space can place attention there, and for each
        attention type on offer the parameters and multiply-adds that it would add.

    Raises:
        SpaceError: If the backbone does not fit the images.
    """
    configuration = space.configuration({})
    reason = CostModel(image).infeasible(_without_attention(configuration))
    if reason is not None:
        raise SpaceError(f"{space.source}: {reason}.")
    backbone = build_backbone(configuration.backbone, image)
    standard = family(str(configuration.backbone["family"])).standard_placement(
        configuration.backbone
    )
    placements = _values(space, "placement", standard)
    chosen = {port for placement in placements for port in str(placement).split("+")}
    rows = []
    for site in backbone.sites:
        for port, tap in site.ports.items():
            shape = tap_shape(backbone.model, tap)
            row: Row = {
                "site": site.name,
                "stage": site.stage,
                "block": site.block,
                "port": port,
                "layer": tap.layer,
                "side": tap.side,
                "map": f"{shape[0]}x{shape[1]}",
                "channels": shape[2],
                "offered": port in chosen,
            }
            for name, settings in _types(space):
                layer = mechanism(name).layer
                if layer is not None:
                    unfit = layer.misfit(shape, settings)
                    row[f"{name}.parameters"] = (
                        None if unfit else layer.parameters(shape, settings)
                    )
                    row[f"{name}.macs"] = None if unfit else layer.macs(shape, settings)
            rows.append(row)
    return rows


def _types(space: Space) -> Iterator[tuple[str, dict[str, Value]]]:
    """The attention types on offer, each with the defaults of its tuned knobs."""
    common = {
        name: setting
        for name, setting in space.settings["attention"].items()
        if name != PER_STAGE.name and not STAGE_KEY.fullmatch(name)
    }
    for name in _values(space, "type", "none"):
        attention = {**common, "type": name}
        resolved = Configuration.resolve({**space.settings, "attention": attention})
        yield str(name), mechanism(str(name)).settings(resolved.attention)


def _values(space: Space, knob: str, default: Value) -> tuple[Value, ...]:
    """What a knob of the attention can be in a space."""
    setting = space.settings["attention"].get(knob, default)
    if isinstance(setting, Choice):
        return setting.values
    return () if isinstance(setting, IntRange | FloatRange) else (setting,)


def _without_attention(configuration: Configuration) -> Configuration:
    return dataclasses.replace(configuration, attention={"type": "none"})
