"""What a backbone family is: a functional network with named layers, and its sites.

A site is a place where attention can go, described by layer names alone; a backbone
knows nothing of attention.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from hypermodels.graph.taps import Tap
from hypermodels.image import ImageSpec, normalized
from hypermodels.knobs import Knob, Value
from hypermodels.registry import Registry

RESIDUAL_PLACEMENTS = ("residual", "pre", "post", "identity")
"""Where in a residual block attention acts (SE paper, figure 5): on the residual branch
before the addition, before the branch, after the addition, or on the identity branch."""


@dataclass(frozen=True)
class Site:
    """One block of a backbone where attention can go.

    Args:
        name: String, unique in the backbone; the attention layer is `<name>_attn`.
        stage: Integer from 1.
        block: Integer from 1, counted within its stage.
        ports: Mapping from a port's name to its tap. Blocks of one backbone may differ
            in the ports they have; attention goes to those that have the chosen one.
        own: Where the block multiplies itself by a gate of its own (a side `"instead"`),
            or `None`. A block that gets attention loses it.
    """

    name: str
    stage: int
    block: int
    ports: Mapping[str, Tap]
    own: Tap | None = None


@dataclass(frozen=True)
class Family:
    """A family of backbones.

    Args:
        name: String, the value of `backbone.family`.
        knobs: What can be set of it, e.g. its depth.
        body: Callable `(inputs, settings, classes) -> class scores` that adds the network
            to a preprocessed image tensor; every layer is named. Raises `BackboneError`
            where the network does not fit the images.
        sites: Callable `(settings, model) -> sites` in the order of the network; `model`
            is the built backbone, for families whose sites are found in the graph.
        placements: What `attention.placement` can be: ports, or several joined by `+`.
            The first is where the literature puts attention in such a network, and the
            default.
        summary: String, one line.
        preprocess: Callable `(images, settings, image_spec) -> inputs` from images on the
            scale 0..255.
        load: Callable `(model, settings) -> names` that puts pretrained weights into a
            built backbone and gives the names of the layers that stay new (the classifier),
            or `None` if there are no weights to put. May itself be `None`.
        pretrained: Callable `settings -> bool`: whether `load` has weights to put.
        standard: Callable `settings -> placement` where the default differs from network
            to network of the family.
        files: Callable `settings -> paths` of the files that the network depends on.
        stages: Callable `settings -> number of stages`, or `None` where only the built
            network shows it.
        foreign: Whether code that is not this package's builds the network, so that nothing
            is known of it until it is tried.
    """

    name: str
    knobs: tuple[Knob, ...]
    body: Callable[[Any, Mapping[str, Value], int], Any]
    sites: Callable[[Mapping[str, Value], keras.Model], tuple[Site, ...]]
    placements: tuple[str, ...]
    summary: str
    preprocess: Callable[[Any, Mapping[str, Value], ImageSpec], Any] = (
        lambda images, settings, image: normalized(images, image)
    )
    load: Callable[[keras.Model, Mapping[str, Value]], tuple[str, ...] | None] | None = None
    pretrained: Callable[[Mapping[str, Value]], bool] = lambda settings: False
    standard: Callable[[Mapping[str, Value]], str] | None = None
    files: Callable[[Mapping[str, Value]], tuple[Path, ...]] = lambda settings: ()
    stages: Callable[[Mapping[str, Value]], int] | None = None
    foreign: bool = False

    def standard_placement(self, settings: Mapping[str, Value]) -> str:
        """The default of `attention.placement` for some settings of the backbone."""
        return self.standard(settings) if self.standard else self.placements[0]


RESIZE = Knob(
    "resize",
    "integer",
    0,
    "side to which images are resized inside the network; 0 means as they are",
    minimum=0,
    maximum=4096,
)


def all_placements() -> tuple[str, ...]:
    """What `attention.placement` can be in any registered family."""
    return tuple(dict.fromkeys(name for each in families() for name in each.placements))


_FAMILIES: Registry[Family] = Registry("backbone family", "families")


def register_family(family: Family) -> Family:
    """Makes a family known by its name.

    Raises:
        ValueError: If another family has that name.
    """
    return _FAMILIES.add(family)


def get_family(name: str) -> Family:
    """The family called `name`.

    Raises:
        ValueError: If there is none; the message lists those there are.
    """
    return _FAMILIES[name]


def families() -> tuple[Family, ...]:
    """All registered families, in the order of registration."""
    return tuple(_FAMILIES.values())
