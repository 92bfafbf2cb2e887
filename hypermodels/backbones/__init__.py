"""The backbone families. Importing this package registers those that ship with it."""

from __future__ import annotations

from hypermodels.backbones.family import (
    RESIDUAL_PLACEMENTS,
    Family,
    Site,
    all_placements,
    families,
    get_family,
    register_family,
)

# The order of registration is the one in which families are listed; the first is the default.
# isort: off
from hypermodels.backbones.resnet_v1 import RESNET_V1
from hypermodels.backbones.resnet_v2 import RESNET_V2
from hypermodels.backbones.resnext import RESNEXT
from hypermodels.backbones.mobilenet import MOBILENET
from hypermodels.backbones.densenet import DENSENET
from hypermodels.backbones.inception_v3 import INCEPTION_V3
from hypermodels.backbones.inception_resnet_v2 import INCEPTION_RESNET_V2
from hypermodels.backbones.foreign.applications import APPLICATION
from hypermodels.backbones.foreign.user_model import MODEL
# isort: on

__all__ = [
    "APPLICATION",
    "DENSENET",
    "INCEPTION_RESNET_V2",
    "INCEPTION_V3",
    "MOBILENET",
    "MODEL",
    "RESIDUAL_PLACEMENTS",
    "RESNET_V1",
    "RESNET_V2",
    "RESNEXT",
    "Family",
    "Site",
    "all_placements",
    "families",
    "get_family",
    "register_family",
]
