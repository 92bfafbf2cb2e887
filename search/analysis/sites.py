"""Where attention would go in a space's backbone, and what it would add there."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

from hypermodels.attention import Mechanism, get_mechanism
from hypermodels.backbones import Site, get_family
from hypermodels.knobs import Choice, Value
from hypermodels.knobs.per_stage import by_stage
from hypermodels.networks.cost import CostModel
from hypermodels.networks.insertions import select_insertions
from hypermodels.settings.configuration import Configuration
from search.errors import SpaceError
from search.space.definition import tuned_sections
from search.space.space import Space

Row = dict[str, Any]


def site_table(space: Space, costs: CostModel) -> list[Row]:
    """Every port of every site of a space's backbone.

    Tuned backbone knobs take their defaults.

    Args:
        space: The `Space`.
        costs: The `CostModel` of its images.

    Returns:
        A row for each: site, stage, block, port, the layer and which side of it, map
        size, channels, whether the space can place attention there, and for each
        attention type on offer the parameters and multiply-adds that it would add with
        the defaults of its tuned knobs, or `None` where it does not fit.

    Raises:
        SpaceError: If the backbone does not fit the images.
    """
    configuration = space.configuration({})
    reason = costs.infeasible(_without_attention(configuration))
    if reason is not None:
        raise SpaceError(f"{space.source}: {reason}.")
    backbone = costs.backbone(configuration.backbone)
    offered = _offered(space, configuration, backbone.sites)
    if not offered and _offers_attention(space):
        reason = costs.infeasible(configuration) or "it offers attention at no place"
        raise SpaceError(f"{space.source}: {reason}.")
    rows = []
    for site in backbone.sites:
        for port, tap in site.ports.items():
            shape = backbone.shapes[tap]
            row: Row = {
                "site": site.name,
                "stage": site.stage,
                "block": site.block,
                "port": port,
                "layer": tap.layer,
                "side": tap.side,
                "map": f"{shape[0]}x{shape[1]}",
                "channels": shape[2],
                "offered": (site.name, port) in offered,
            }
            for kind, settings in _types(space, site.stage):
                layer = kind.layer
                assert layer is not None, "types without a layer add nothing"
                fits = layer.infeasible(shape, settings) is None
                row[f"{kind.name}.parameters"] = (
                    layer.parameters(shape, settings) if fits else None
                )
                row[f"{kind.name}.macs"] = layer.macs(shape, settings) if fits else None
            rows.append(row)
    return rows


def _offered(
    space: Space, configuration: Configuration, sites: tuple[Site, ...]
) -> set[tuple[str, str]]:
    """The sites and ports at which some configuration of the space has attention."""
    chosen = get_family(str(configuration.backbone["family"]))
    standard = chosen.standard_placement(configuration.backbone)
    return {
        (each.site.name, each.port)
        for ports, stages, blocks in itertools.product(
            _values(space, "placement", standard),
            _values(space, "stages", "all"),
            _values(space, "blocks", "all"),
        )
        for each in select_insertions(sites, str(ports), stages=str(stages), blocks=str(blocks))
        if any(name != "none" for name in _types_in(space, each.site.stage))
    }


def _types(space: Space, stage: int) -> Iterator[tuple[Mechanism, dict[str, Value]]]:
    """The attention types on offer anywhere, with the settings they would have in a stage."""
    section = tuned_sections()["attention"]
    here = by_stage(space.settings["attention"]).of(stage)
    for name in section.selected(space.settings["attention"]):
        kind = get_mechanism(name)
        if kind.layer is not None:
            attention = {**here, section.selector.name: name}
            resolved = Configuration.resolve({**space.settings, "attention": attention})
            yield kind, kind.settings(resolved.attention)


def _offers_attention(space: Space) -> bool:
    """Whether any type of attention on offer has a layer."""
    return any(
        get_mechanism(name).layer is not None
        for name in tuned_sections()["attention"].selected(space.settings["attention"])
    )


def _types_in(space: Space, stage: int) -> tuple[str, ...]:
    here = by_stage(space.settings["attention"]).of(stage)
    return tuned_sections()["attention"].selected(here)


def _values(space: Space, knob: str, default: Value) -> tuple[Value, ...]:
    """What a knob of the attention can be in a space."""
    setting = space.settings["attention"].get(knob, default)
    return setting.values if isinstance(setting, Choice) else (setting,)  # type: ignore[return-value]


def _without_attention(configuration: Configuration) -> Configuration:
    return dataclasses.replace(configuration, attention={"type": "none"})
