"""What the networks of a run take and give, from what its data holds."""

from __future__ import annotations

from hypermodels.image import ImageSpec
from search.data import PreparedInfo


def image_spec(info: PreparedInfo) -> ImageSpec:
    """What a network on this data takes and gives."""
    return ImageSpec(info.image_shape, len(info.class_names), info.mean, info.std)
