"""Sites found in the graph of a built network, by the names that its layers have.

For networks that this package did not write: those of `keras.applications`, whose blocks
are known by name, and a person's own, whose blocks are named by patterns or, where there
are none, are the last feature map of each size.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import keras

from hypermodels.backbones.family import Site
from hypermodels.errors import BackboneError, some_of
from hypermodels.graph.taps import Tap, map_shape
from hypermodels.graph.walk import upstream

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class BlockPattern:
    """How the blocks of a network are named.

    Args:
        anchor: Regular expression of a layer that every block has once; its first group
            is the block's name.
        ports: Mapping from a port to the taps it can be, the first that is there counts;
            `{}` in a layer's name stands for the block's name.
        own: The layer that multiplies the block by a gate of its own, or nothing.
    """

    anchor: str
    ports: Mapping[str, tuple[Tap, ...]]
    own: str = ""


@dataclass(frozen=True)
class _Found:
    """A site of which stage and block are not yet counted."""

    name: str
    size: tuple[int, int]
    ports: Mapping[str, Tap]
    own: Tap | None = None


def output(*layers: str) -> tuple[Tap, ...]:
    """What the first of these layers that is there gives."""
    return tuple(Tap(layer, "output") for layer in layers)


def inputs(*layers: str, index: int = 0) -> tuple[Tap, ...]:
    """What the first of these layers that is there takes."""
    return tuple(Tap(layer, "input", index) for layer in layers)


def sites_by_pattern(model: keras.Model, pattern: BlockPattern) -> tuple[Site, ...]:
    """The blocks of a network whose layers are named after a pattern.

    Args:
        model: The built backbone.
        pattern: The `BlockPattern`.

    Returns:
        One site a block; a stage is a run of blocks with maps of one size.
    """
    layers = {layer.name: layer for layer in model.layers}
    found: list[_Found] = []
    for layer in model.layers:
        match = re.fullmatch(pattern.anchor, layer.name)
        if match is None:
            continue
        block = match[1]
        ports: dict[str, Tap] = {}
        for port, taps in pattern.ports.items():
            named = (Tap(tap.layer.format(block), tap.side, tap.index) for tap in taps)
            there = [tap for tap in named if tap.layer in layers]
            ports |= {port: there[0]} if there else {}
        own = pattern.own.format(block)
        gate = Tap(own, "instead") if own in layers else None
        tap = next(iter(ports.values()))
        size = map_shape(tap.tensor(layers[tap.layer]))
        assert size is not None, f"block {block} has no feature map"
        found.append(_Found(block, size[:2], ports, gate))
    return _numbered(found)


def sites_by_names(model: keras.Model, patterns: str) -> tuple[Site, ...]:
    """The sites that a person names, or the last feature map of each size.

    Args:
        model: The built backbone.
        patterns: Names of layers separated by commas, with `*` and `?` as in file names;
            or `"auto"`.

    Returns:
        One site a layer: port `post` is what the layer gives, `pre` what it takes, where
        that is one feature map.

    Raises:
        BackboneError: If a pattern matches no feature map, or two match the same; or if
            the layer is called several times, so that it is no single place.
    """
    maps = {layer.name: shape for layer in model.layers if (shape := _map_given_by(layer))}
    several = _called_several_times(model)
    if patterns == "auto":
        chosen = _last_of_each_size(model, {n: s for n, s in maps.items() if n not in several})
    else:
        chosen = _named(maps, [part.strip() for part in patterns.split(",")])
    shared = [name for name in chosen if name in several]
    if shared:
        raise BackboneError(
            f"backbone.sites: {shared[0]} is one layer called several times; attention goes to "
            "places that are passed once. Name a layer after it"
        )
    return _numbered(
        [
            _Found(layer.name, maps[layer.name][:2], _ports(layer))
            for layer in model.layers
            if layer.name in chosen
        ]
    )


def _called_several_times(model: keras.Model) -> set[str]:
    """The layers that the graph of a model passes more than once."""
    counts = Counter(call.operation.name for call in upstream(model.outputs))
    return {name for name, count in counts.items() if count > 1}


def _ports(layer: keras.layers.Layer) -> dict[str, Tap]:
    after = {"post": Tap(layer.name, "output")}
    return {**after, "pre": Tap(layer.name, "input")} if map_shape(layer.input) else after


def _named(maps: Mapping[str, Shape], patterns: list[str]) -> set[str]:
    chosen: dict[str, str] = {}
    for pattern in patterns:
        matches = fnmatch.filter(maps, pattern)
        if not matches:
            raise BackboneError(
                f"backbone.sites: {pattern!r} matches no layer that gives a feature map. The "
                f"network has {len(maps)} of them: {some_of(maps, 12)}"
            )
        for name in matches:
            if name in chosen:
                raise BackboneError(
                    f"backbone.sites: {chosen[name]!r} and {pattern!r} both match the layer "
                    f"{name}; a place can take one attention layer. Make one narrower"
                )
            chosen[name] = pattern
    return set(chosen)


def _last_of_each_size(model: keras.Model, maps: Mapping[str, Shape]) -> set[str]:
    # The first layer that learns ends what is mere preparation of the images; a map of one
    # position is a gate or a pooled vector as a rule.
    learns = [
        bool(layer.weights) and not isinstance(layer, keras.layers.Normalization)
        for layer in model.layers
    ]
    first = learns.index(True) if True in learns else len(learns)
    names = [layer.name for layer in model.layers[first:] if layer.name in maps]
    last = {maps[name][:2]: name for name in names if maps[name][:2] != (1, 1)}
    if not last:
        raise BackboneError(
            "backbone.sites: auto finds no feature map in the network: no layer of more than one "
            "position, called once, from the first with weights on. Name the layers"
        )
    return set(last.values())


def _map_given_by(layer: keras.layers.Layer) -> Shape | None:
    """Height, width and channels of what a layer gives, if it is a feature map."""
    return None if isinstance(layer, keras.layers.InputLayer) else map_shape(layer.output)


def _numbered(found: list[_Found]) -> tuple[Site, ...]:
    return tuple(
        Site(each.name, stage, block, each.ports, each.own)
        for stage, (_, blocks) in enumerate(groupby(found, lambda each: each.size), 1)
        for block, each in enumerate(blocks, 1)
    )
