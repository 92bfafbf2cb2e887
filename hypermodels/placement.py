"""Puts attention into any functional Keras model: the only module that knows both sides.

The graph is rebuilt layer by layer with `keras.models.clone_model`; where a tap is
reached, an attention layer is called on the tensor that passes. Every layer of the new
model is a fresh one whose initial weights are derived from the seed and its name (sharing
layers would leave `get_layer(name).output` pointing into the old graph).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.attention import AttentionLayer
from hypermodels.backbones import Site, Tap
from hypermodels.backbones.family import map_shape
from hypermodels.backbones.remake import made_anew
from hypermodels.backbones.weights import copy_layer, copy_statistics
from hypermodels.seeds import drawn_from


class PlacementError(ValueError):
    """A requested site that the model lacks, or passes more than once."""


def attach(
    model: keras.Model,
    attention: Mapping[Tap, AttentionLayer | None],
    *,
    seed: int,
    copy_weights: bool = False,
    except_for: Collection[str] = (),
) -> keras.Model:
    """Rebuilds a functional model with attention layers at the given taps.

    Args:
        model: Functional `keras.Model`. It is left as it is.
        attention: Mapping from each tap to the layer to call there; `None` lets pass what
            is there, which at a tap of side `"instead"` takes the layer out.
        seed: Integer; every layer's initial weights are derived from it and from the
            layer's name.
        copy_weights: Boolean. If `True`, weights are copied from `model` by layer name
            (a pretrained network), and only attention starts anew. What `Normalization`
            layers know of the data is copied in any case.
        except_for: Names of layers whose weights are not copied.

    Returns:
        A new functional model; with an empty mapping, a re-seeded copy.

    Raises:
        PlacementError: If the model is not functional, a tap's layer is not in it, or a
            tap was not passed exactly once.
    """
    if not hasattr(model, "operations") or not getattr(model, "_functional", True):
        raise PlacementError(
            f"attention is placed into functional Keras models. Received: a "
            f"{type(model).__name__}. Build it with keras.Model(inputs, outputs)."
        )
    names = {layer.name for layer in model.layers}
    missing = sorted({tap.layer for tap in attention} - names)
    if missing:
        raise PlacementError(
            f"the model {model.name!r} has no layer called {', '.join(missing)}. "
            f"It has {len(names)} layers, such as {', '.join(sorted(names)[:5])}."
        )
    passed: Counter[Tap] = Counter()
    clones: dict[str, Any] = {}

    def gated(tap: Tap, tensor: Any) -> Any:
        if tap not in attention:
            return tensor
        passed[tap] += 1
        layer = attention[tap]
        return tensor if layer is None else layer(tensor)

    def clone(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation such as `x + y`: it has no weights
        if layer.name not in clones:  # a layer that is called twice stays one layer
            clones[layer.name] = made_anew(layer, name=layer.name, seed=seed)
        return clones[layer.name]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        several = bool(args) and isinstance(args[0], list | tuple)
        tensors = list(args[0]) if several else list(args[:1])
        for place in range(len(tensors)):
            tensors[place] = gated(Tap(layer.name, "input", place), tensors[place])
            instead = Tap(layer.name, "instead", place)
            if instead in attention:
                return gated(instead, tensors[place])
        args = (type(args[0])(tensors), *args[1:]) if several else (*tensors, *args[1:])
        with drawn_from(seed, layer.name):  # the layer makes its weights here
            outputs = layer(*args, **kwargs)
        return gated(Tap(layer.name, "output"), outputs)

    rebuilt = keras.models.clone_model(model, clone_function=clone, call_function=call)
    wrong = {tap: passed[tap] for tap in attention if passed[tap] != 1}
    if wrong:
        details = ", ".join(
            f"{tap.side} {tap.index} of {tap.layer} {count} times" for tap, count in wrong.items()
        )
        raise PlacementError(
            f"every site must be passed exactly once, but the model passes {details}."
        )
    copy = copy_layer if copy_weights else copy_statistics
    kept = {layer.name for layer in rebuilt.layers} - set(except_for)
    for layer in model.layers:
        if layer.weights and layer.name in kept:
            copy(layer, rebuilt.get_layer(layer.name))
    return rebuilt


@dataclass(frozen=True)
class Placement:
    """One attention layer of a configuration: its name, and where it goes."""

    name: str
    site: Site
    port: str
    tap: Tap


def placed(
    sites: tuple[Site, ...], ports: str, *, stages: str = "all", blocks: str = "all"
) -> tuple[Placement, ...]:
    """Where the attention layers of a configuration go.

    Args:
        sites: All sites of the backbone.
        ports: `attention.placement`: a port, or several joined by `+`.
        stages: `attention.stages`.
        blocks: `attention.blocks`.

    Returns:
        The placements in the order of the network; sites without the port have none.
    """
    wanted = ports.split("+")
    having = tuple(site for site in sites if any(port in site.ports for port in wanted))
    return tuple(
        Placement(
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


def tap_shape(model: keras.Model, tap: Tap) -> tuple[int, int, int]:
    """Height, width and channels of the feature map at a tap.

    Args:
        model: Functional `keras.Model`.
        tap: The `Tap`.

    Returns:
        A tuple of three integers.

    Raises:
        PlacementError: If what passes there is not a feature map of known size.
    """
    tensor = tap.tensor(model.get_layer(tap.layer))
    shape = map_shape(tensor)
    if shape is None:
        raise PlacementError(
            f"attention needs a feature map (batch, height, width, channels) of known size. "
            f"Received: {tuple(tensor.shape)} at the {tap.side} of {tap.layer!r}."
        )
    return shape
