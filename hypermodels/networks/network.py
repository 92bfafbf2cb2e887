"""From a configuration to a Keras model: backbone, then attention at its sites."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.attention import AttentionLayer, Mechanism, get_mechanism
from hypermodels.backbones import Site, get_family
from hypermodels.errors import PlacementError
from hypermodels.graph.attach import attach
from hypermodels.graph.taps import Tap
from hypermodels.graph.weights import without_initial_values
from hypermodels.image import ImageSpec, Resize
from hypermodels.knobs import Value
from hypermodels.networks.insertions import Insertion, select_insertions
from hypermodels.seeds import derive_seed, drawn_from
from hypermodels.settings.configuration import Configuration

__all__ = [
    "Backbone",
    "attention_gates",
    "backbone_model",
    "build_backbone",
    "build_network",
    "mechanism_at",
    "insertions",
    "removed_gates",
]


@dataclass(frozen=True)
class Backbone:
    """A built backbone without attention, and the sites where attention can go."""

    model: keras.Model
    sites: tuple[Site, ...]


def build_backbone(
    settings: Mapping[str, Value], image: ImageSpec, *, blank: bool = False
) -> Backbone:
    """Builds a backbone and finds its sites.

    Args:
        settings: The resolved section `backbone`.
        image: The `ImageSpec`.
        blank: Boolean, whether to skip drawing weights, for callers that need layers and
            shapes alone. Ignored for families that may come with weights.

    Raises:
        BackboneError: If the network does not fit the images.
    """
    chosen = get_family(str(settings["family"]))
    with without_initial_values() if blank and chosen.load is None else contextlib.nullcontext():
        model = backbone_model(settings, image)
    return Backbone(model, chosen.sites(settings, model))


def backbone_model(settings: Mapping[str, Value], image: ImageSpec) -> keras.Model:
    """Builds a backbone without attention: raw `uint8` images in, class scores out.

    Normalization is part of the model, so that what is exported takes images as they are.
    """
    chosen = get_family(str(settings["family"]))
    inputs = keras.Input(image.shape, dtype="uint8", name="image")
    side = int(settings.get("resize", 0))
    images = Resize(side, name="resize")(inputs) if side else inputs
    preprocessed = chosen.preprocess(images, settings, image)
    outputs = chosen.body(preprocessed, settings, image.classes)
    return keras.Model(inputs, outputs, name=chosen.name)


def insertions(configuration: Configuration, sites: tuple[Site, ...]) -> tuple[Insertion, ...]:
    """Where a configuration's attention layers go, in the order of the network."""
    attention = configuration.attention
    if get_mechanism(str(attention["type"])).layer is None:
        return ()
    selected = select_insertions(
        sites,
        str(attention["placement"]),
        stages=str(attention["stages"]),
        blocks=str(attention["blocks"]),
    )
    return tuple(
        each for each in selected if mechanism_at(configuration, each.site).layer is not None
    )


def mechanism_at(configuration: Configuration, site: Site) -> Mechanism:
    """The kind of attention that a configuration has at a site."""
    return get_mechanism(str(configuration.attention_in(site.stage)["type"]))


def removed_gates(configuration: Configuration, sites: tuple[Site, ...]) -> tuple[Tap, ...]:
    """The gates of the backbone's own that a configuration takes out of it.

    Blocks that get attention lose theirs: attention replaces attention, it is not stacked.
    """
    attended = {each.site.name for each in insertions(configuration, sites)}
    everywhere = configuration.backbone.get("builtin_attention") == "remove"
    return tuple(
        site.own
        for site in sites
        if site.own is not None and (everywhere or site.name in attended)
    )


def build_network(configuration: Configuration, image: ImageSpec, *, seed: int) -> keras.Model:
    """Builds the uncompiled model of a configuration.

    Args:
        configuration: The `Configuration`.
        image: The `ImageSpec`.
        seed: Integer, the search seed. The backbone's initial weights depend on it and
            on layer names alone, so they are the same for every attention setting; the
            attention's depend on the site, so settings that build the same network under
            another name start from the same weights too.

    Returns:
        A functional `keras.Model` from `uint8` images `(batch, height, width, channels)`
        to `float32` scores `(batch, classes)`.
    """
    load = get_family(str(configuration.backbone["family"])).load
    with drawn_from(seed, "backbone"):
        backbone = build_backbone(configuration.backbone, image, blank=True)
        new = load(backbone.model, configuration.backbone) if load else None
    layers: dict[Tap, AttentionLayer | None] = dict.fromkeys(
        removed_gates(configuration, backbone.sites)
    )
    for insertion in insertions(configuration, backbone.sites):
        if insertion.tap in layers:
            raise PlacementError(
                f"{insertion.name} and another layer share one tensor, {insertion.tap}."
            )
        layers[insertion.tap] = mechanism_at(configuration, insertion.site).build(
            configuration.attention_in(insertion.site.stage),
            name=insertion.name,
            seed=derive_seed(seed, insertion.name),
        )
    return attach(
        backbone.model, layers, seed=seed, copy_weights=new is not None, except_for=new or ()
    )


def attention_gates(model: keras.Model, images: Any) -> dict[str, dict[str, Any]]:
    """The gates that a model's attention layers apply to some images.

    Args:
        model: Functional `keras.Model`, e.g. from `build_network`.
        images: `uint8` array `(batch, height, width, channels)`.

    Returns:
        A dict from layer name (`"s1b1_attn"`) to its gates by name, each a `float32`
        tensor; empty for a model without attention.
    """
    layers = [layer for layer in model.layers if isinstance(layer, AttentionLayer)]
    if not layers:
        return {}
    maps = keras.Model(model.inputs, [layer.input for layer in layers])(images, training=False)
    maps = maps if isinstance(maps, list) else [maps]
    return {layer.name: layer.gates(x) for layer, x in zip(layers, maps, strict=True)}
