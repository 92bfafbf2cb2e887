"""A backbone's cost, sites and map sizes, known without building it again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypermodels.attention.base import MapShape
from hypermodels.backbones import Site
from hypermodels.graph.taps import Tap, tap_shape
from hypermodels.image import ImageSpec
from hypermodels.knobs import Value
from hypermodels.networks.counting import Cost, cost_of, cost_of_gate
from hypermodels.networks.network import build_backbone


@dataclass(frozen=True)
class BackboneDescription:
    """A backbone's cost, sites and map sizes.

    Args:
        cost: What it weighs, without attention.
        sites: Where attention can go.
        shapes: Height, width and channels of the map at each tap of the sites.
        own: What each gate of its own weighs.
    """

    cost: Cost
    sites: tuple[Site, ...]
    shapes: Mapping[Tap, MapShape]
    own: Mapping[Tap, Cost]

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON values; `from_dict` reads it back."""
        return {
            "cost": [self.cost.parameters, self.cost.macs],
            "sites": [
                {
                    "name": site.name,
                    "stage": site.stage,
                    "block": site.block,
                    "ports": {
                        port: [tap.layer, tap.side, tap.index, *self.shapes[tap]]
                        for port, tap in site.ports.items()
                    },
                    "own": None
                    if site.own is None
                    else [
                        site.own.layer,
                        site.own.index,
                        self.own[site.own].parameters,
                        self.own[site.own].macs,
                    ],
                }
                for site in self.sites
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BackboneDescription:
        """Reads what `to_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: If it is something else.
        """
        shapes: dict[Tap, MapShape] = {}
        own: dict[Tap, Cost] = {}
        sites = []
        for each in content["sites"]:
            ports = {}
            for port, (layer, side, index, *shape) in each["ports"].items():
                height, width, channels = map(int, shape)
                ports[str(port)] = tap = Tap(str(layer), side, int(index))
                shapes[tap] = (height, width, channels)
            gate = None
            if each["own"] is not None:
                layer, index, parameters, macs = each["own"]
                gate = Tap(str(layer), "instead", int(index))
                own[gate] = Cost(int(parameters), int(macs))
            sites.append(
                Site(str(each["name"]), int(each["stage"]), int(each["block"]), ports, gate)
            )
        parameters, macs = map(int, content["cost"])
        return cls(Cost(parameters, macs), tuple(sites), shapes, own)


Describe = Callable[[Mapping[str, Value], ImageSpec], BackboneDescription]
"""From the resolved section `backbone` and the images to the description."""


def describe_backbone(settings: Mapping[str, Value], image: ImageSpec) -> BackboneDescription:
    """Builds a backbone and counts it.

    Raises:
        BackboneError: If it does not fit the images.
    """
    built = build_backbone(settings, image, blank=True)
    taps = {tap for site in built.sites for tap in site.ports.values()}
    return BackboneDescription(
        cost_of(built.model),
        built.sites,
        {tap: tap_shape(built.model, tap) for tap in taps},
        {site.own: cost_of_gate(built.model, site.own) for site in built.sites if site.own},
    )
