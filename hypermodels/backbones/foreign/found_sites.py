"""The sites of a person's own network: the layers that are named, or the last of each size."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping

import keras

from hypermodels.backbones.block_pattern import numbered, runs
from hypermodels.backbones.family import Site
from hypermodels.errors import BackboneError, some_of
from hypermodels.graph.taps import Tap, map_shape
from hypermodels.graph.walk import upstream

Shape = tuple[int, int, int]


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
    layers = [layer for layer in model.layers if layer.name in chosen]
    stages = runs([maps[layer.name][:2] for layer in layers])
    return numbered([(layer.name, _ports(layer), None) for layer in layers], stages)


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
