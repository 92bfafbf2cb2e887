"""Which sites of a backbone get attention, and where in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hypermodels.backbones import Site
from hypermodels.graph.taps import Tap


@dataclass(frozen=True)
class Insertion:
    """One attention layer of a configuration: its name, and where it goes."""

    name: str
    site: Site
    port: str
    tap: Tap


def select_insertions(
    sites: tuple[Site, ...], ports: str, *, stages: str = "all", blocks: str = "all"
) -> tuple[Insertion, ...]:
    """Where the attention layers of a configuration go.

    Args:
        sites: All sites of the backbone.
        ports: `attention.placement`: a port, or several joined by `+`.
        stages: `attention.stages`.
        blocks: `attention.blocks`.

    Returns:
        The insertions in the order of the network; sites without the port have none.
    """
    wanted = ports.split("+")
    having = tuple(site for site in sites if any(port in site.ports for port in wanted))
    return tuple(
        Insertion(
            f"{site.name}_attn" if len(wanted) == 1 else f"{site.name}_{port}_attn",
            site,
            port,
            site.ports[port],
        )
        for site in chosen_sites(having, stages=stages, blocks=blocks)
        for port in wanted
        if port in site.ports
    )


def chosen_sites(
    sites: tuple[Site, ...], *, stages: str = "all", blocks: str = "all"
) -> tuple[Site, ...]:
    """The sites that `attention.stages` and `attention.blocks` select.

    Args:
        sites: All sites of the backbone.
        stages: `"all"`, `"first"`, `"last"`, `"all_but_last"`, or stage numbers such as
            `"2,3"`.
        blocks: `"all"`, `"first"`, `"last"` (of each stage) or `"alternate"` (every
            second block, from the first).

    Returns:
        The chosen sites in the order of the network.
    """
    numbers = sorted({site.stage for site in sites})
    words = {
        "all": numbers,
        "first": numbers[:1],
        "last": numbers[-1:],
        "all_but_last": numbers[:-1],
    }
    wanted = words.get(stages)
    if wanted is None:
        wanted = [int(number) for number in stages.split(",")]
    in_stages = [site for site in sites if site.stage in wanted]
    first = {site.stage: site.block for site in reversed(in_stages)}
    last = {site.stage: site.block for site in in_stages}
    keep: Mapping[str, Callable[[Site], bool]] = {
        "all": lambda site: True,
        "first": lambda site: site.block == first[site.stage],
        "last": lambda site: site.block == last[site.stage],
        "alternate": lambda site: site.block % 2 == 1,
    }
    return tuple(site for site in in_stages if keep[blocks](site))
