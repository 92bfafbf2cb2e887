"""Sites found in the graph of a built network by how the layers of its blocks are named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.backbones.family import Site
from hypermodels.graph.taps import Tap, map_shape
from hypermodels.knobs import Value

Block = tuple[str, Mapping[str, Tap], Tap | None]
"""The name of a block, its ports, and its own gate: a site without its numbers."""


def after(*layers: str) -> tuple[Tap, ...]:
    """A tap on the output of the first of these layers that exists."""
    return tuple(Tap(layer, "output") for layer in layers)


def before(*layers: str, index: int = 0) -> tuple[Tap, ...]:
    """A tap on the input of the first of these layers that exists."""
    return tuple(Tap(layer, "input", index) for layer in layers)


@dataclass(frozen=True)
class BlockPattern:
    """How the blocks of a network are named.

    Args:
        anchor: Regular expression of a layer that every block has once; its first group
            is what the names of the block's layers have in common, and a group called
            `stage` its stage, if the name says it.
        ports: Mapping from a port to its candidate taps, of which the first whose layer
            exists is used; `{}` in a layer's name stands for the first group.
        own: The layer that multiplies the block by a gate of its own, or nothing.
        name: What the block is called, with `{}` for the first group.
        stages: The stage of each block in the order of the network. Where neither this nor
            the anchor tells, a stage is a run of blocks with maps of one size.
    """

    anchor: str
    ports: Mapping[str, tuple[Tap, ...]]
    own: str = ""
    name: str = "{}"
    stages: tuple[int, ...] = ()

    def sites(self, settings: Mapping[str, Value], model: keras.Model) -> tuple[Site, ...]:
        """One site a block of the built backbone `model`, as `Family.sites` gives them."""
        layers = {layer.name: layer for layer in model.layers}
        matches = [match for name in layers if (match := re.fullmatch(self.anchor, name))]
        blocks = [self._block(match[1], layers) for match in matches]
        if "stage" in re.compile(self.anchor).groupindex:
            stages = [int(match["stage"]) for match in matches]
        else:
            stages = list(self.stages) or runs([_size(block, layers) for block in blocks])
        return numbered(blocks, stages)

    def _block(self, block: str, layers: Mapping[str, Any]) -> Block:
        ports: dict[str, Tap] = {}
        for port, taps in self.ports.items():
            named = (Tap(tap.layer.format(block), tap.side, tap.index) for tap in taps)
            there = [tap for tap in named if tap.layer in layers]
            ports |= {port: there[0]} if there else {}
        own = self.own.format(block)
        return self.name.format(block), ports, Tap(own, "instead") if own in layers else None


def _size(block: Block, layers: Mapping[str, Any]) -> tuple[int, int]:
    name, ports, _ = block
    tap = next(iter(ports.values()))
    shape = map_shape(tap.tensor(layers[tap.layer]))
    assert shape is not None, f"block {name} has no feature map"
    return shape[:2]


def runs(sizes: Sequence[object]) -> list[int]:
    """Numbers from 1 that grow by one wherever a size differs from the one before."""
    numbers: list[int] = []
    for index, size in enumerate(sizes):
        same = index > 0 and size == sizes[index - 1]
        numbers.append((numbers[-1] if numbers else 0) + (not same))
    return numbers


def numbered(blocks: Sequence[Block], stages: Sequence[int]) -> tuple[Site, ...]:
    """The sites of blocks whose stages are known, counted within each stage."""
    counts: Counter[int] = Counter()
    sites = []
    for (name, ports, own), stage in zip(blocks, stages, strict=True):
        counts[stage] += 1
        sites.append(Site(name, stage, counts[stage], ports, own))
    return tuple(sites)
