"""The backbone families. Importing this package registers those that ship with it."""

from __future__ import annotations

from hypermodels.backbones.family import (
    RESIDUAL_PLACEMENTS,
    BackboneError,
    Family,
    Site,
    Tap,
    all_placements,
    families,
    family,
    register_family,
)
from hypermodels.backbones.resnet_v1 import RESNET_V1
from hypermodels.backbones.resnet_v2 import RESNET_V2

from hypermodels.backbones.applications import APPLICATION  # isort: skip
from hypermodels.backbones.user_model import MODEL  # isort: skip

__all__ = [
    "APPLICATION",
    "MODEL",
    "RESIDUAL_PLACEMENTS",
    "RESNET_V1",
    "RESNET_V2",
    "BackboneError",
    "Family",
    "Site",
    "Tap",
    "all_placements",
    "families",
    "family",
    "register_family",
]
