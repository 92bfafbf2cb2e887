"""From a configuration to a Keras model: backbone, then attention at its sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.attention import AttentionLayer, mechanism
from hypermodels.backbones import Site, Tap, family
from hypermodels.configuration import Configuration
from hypermodels.knobs import Value
from hypermodels.placement import PlacementError, attach, chosen_sites
from hypermodels.seeds import derive_seed


@dataclass(frozen=True)
class ImageSpec:
    """What goes into a network and comes out of it.

    Args:
        shape: Height, width and channels of an image.
        classes: Integer, number of classes.
        mean: Mean of each channel on the scale 0..255, or of all channels if one number.
        std: Standard deviation, likewise.
    """

    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...] = (127.5,)
    std: tuple[float, ...] = (127.5,)

    def __post_init__(self) -> None:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.shape[2]):
                raise ValueError(
                    f"{name} must have one value, or one for each of the {self.shape[2]} "
                    f"channels. Received: {values}"
                )
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0. Received: {self.std}")


def backbone_model(backbone: Mapping[str, Value], image: ImageSpec) -> keras.Model:
    """Builds a backbone without attention: raw `uint8` images in, class scores out.

    Normalisation is part of the model, so that what is exported takes images as they are.
    """
    chosen = family(str(backbone["family"]))
    inputs = keras.Input(image.shape, dtype="uint8", name="image")
    count = max(len(image.mean), len(image.std))
    means, stds = (
        values * count if len(values) == 1 else values for values in (image.mean, image.std)
    )
    scale = [1.0 / std for std in stds]
    offset = [-mean / std for mean, std in zip(means, stds, strict=True)]
    single = count == 1
    normalised = keras.layers.Rescaling(
        scale[0] if single else scale, offset[0] if single else offset, name="normalise"
    )(inputs)
    outputs = chosen.body(normalised, backbone, image.classes)
    return keras.Model(inputs, outputs, name=chosen.name)


def placements(configuration: Configuration) -> tuple[tuple[Site, Tap], ...]:
    """The sites that get attention and the tap of each, in the order of the network."""
    attention = configuration.attention
    if mechanism(str(attention["type"])).layer is None:
        return ()
    sites = family(str(configuration.backbone["family"])).sites(configuration.backbone)
    chosen = chosen_sites(sites, stages=str(attention["stages"]), blocks=str(attention["blocks"]))
    return tuple((site, site.ports[str(attention["placement"])]) for site in chosen)


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
    kind = mechanism(str(configuration.attention["type"]))
    layers: dict[Tap, AttentionLayer] = {}
    for site, tap in placements(configuration):
        name = f"{site.name}_attn"
        if tap in layers:
            raise PlacementError(
                f"the sites {layers[tap].name} and {name} share one tensor, {tap}."
            )
        layers[tap] = kind.build(configuration.attention, name=name, seed=derive_seed(seed, name))
    return attach(backbone_model(configuration.backbone, image), layers, seed=seed)


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
