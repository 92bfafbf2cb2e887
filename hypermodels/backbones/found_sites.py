"""Sites found in the graph of a built network, by the names that its layers have.

For networks that this package did not write: those of `keras.applications`, whose blocks
are known by name, and a person's own, whose blocks are named by patterns or, where there
are none, are the last feature map of each size.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import keras

from hypermodels.backbones.family import BackboneError, Site, Tap

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
    names = {layer.name for layer in model.layers}
    found: list[tuple[str, dict[str, Tap], Tap | None]] = []
    for layer in model.layers:
        match = re.fullmatch(pattern.anchor, layer.name)
        if match is None:
            continue
        block = match[1]
        ports: dict[str, Tap] = {}
        for port, taps in pattern.ports.items():
            for tap in taps:
                name = tap.layer.format(block)
                if name in names:
                    ports[port] = Tap(name, tap.side, tap.index)
                    break
        own = pattern.own.format(block)
        gate = Tap(own, "instead") if own in names else None
        if ports:
            found.append((block, ports, gate))
    return _numbered(model, found)


def sites_by_names(model: keras.Model, patterns: str) -> tuple[Site, ...]:
    """The sites that a person names, or the last feature map of each size.

    Args:
        model: The built backbone.
        patterns: Names of layers separated by commas, with `*` and `?` as in file names;
            or `"auto"`.

    Returns:
        One site a layer: port `post` is what the layer gives, `pre` what it takes.

    Raises:
        BackboneError: If a pattern matches no feature map, or two match the same.
    """
    maps = {layer.name: shape for layer in model.layers if (shape := _map_shape(layer))}
    if patterns == "auto":
        chosen = _last_of_each_size(model, maps)
    else:
        chosen = _named(maps, [part.strip() for part in patterns.split(",")])
    order = [layer.name for layer in model.layers if layer.name in chosen]
    return _numbered(
        model,
        [(name, {"post": Tap(name, "output"), "pre": Tap(name, "input")}, None) for name in order],
    )


def _named(maps: Mapping[str, Shape], patterns: list[str]) -> set[str]:
    chosen: dict[str, str] = {}
    for pattern in patterns:
        matches = fnmatch.filter(maps, pattern)
        if not matches:
            raise BackboneError(
                f"backbone.sites: {pattern!r} matches no layer that gives a feature map. The "
                f"network has {len(maps)} of them: {_some(maps)}"
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
    # The first convolution ends what is mere preparation of the images.
    names = [layer.name for layer in model.layers if layer.name in maps]
    first = next(
        (
            place
            for place, name in enumerate(names)
            if getattr(model.get_layer(name), "kernel", None) is not None
        ),
        len(names),
    )
    last = {maps[name][:2]: name for name in names[first:]}
    if not last:
        raise BackboneError("the network has no convolution whose output attention could scale")
    return set(last.values())


def _map_shape(layer: keras.layers.Layer) -> Shape | None:
    """Height, width and channels of what a layer gives, if it is a feature map."""
    if isinstance(layer, keras.layers.InputLayer):
        return None
    shape: tuple[Any, ...] = tuple(getattr(layer.output, "shape", ()))
    if len(shape) != 4 or None in shape[1:]:
        return None
    return int(shape[1]), int(shape[2]), int(shape[3])


def _tapped_size(model: keras.Model, tap: Tap) -> tuple[int, int]:
    layer = model.get_layer(tap.layer)
    tensor = layer.output if tap.side == "output" else layer.input
    if isinstance(tensor, list | tuple):
        tensor = tensor[tap.index]
    return int(tensor.shape[1]), int(tensor.shape[2])


def _numbered(
    model: keras.Model, found: list[tuple[str, dict[str, Tap], Tap | None]]
) -> tuple[Site, ...]:
    def size(entry: tuple[str, dict[str, Tap], Tap | None]) -> tuple[int, int]:
        return _tapped_size(model, next(iter(entry[1].values())))

    return tuple(
        Site(name, stage, block, ports, own)
        for stage, (_, blocks) in enumerate(groupby(found, size), 1)
        for block, (name, ports, own) in enumerate(blocks, 1)
    )


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    rest = len(listed) - 12
    return ", ".join(listed[:12]) + (f" and {rest} more" if rest > 0 else "")
