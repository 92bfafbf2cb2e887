"""The attention mechanisms, one file each. Importing this package registers them."""

from __future__ import annotations

from hypermodels.attention import (
    bam,
    cbam,
    channel,
    coord,
    eca,
    ese,
    gc,
    none,
    scse,
    se,
    simam,
    spatial,
    triplet,
)
from hypermodels.attention.bam import BAM
from hypermodels.attention.base import (
    SHIFT,
    AttentionLayer,
    Mechanism,
    get_mechanism,
    mechanisms,
    register,
)
from hypermodels.attention.cbam import CBAM
from hypermodels.attention.channel import ChannelAttention
from hypermodels.attention.coord import CoordinateAttention
from hypermodels.attention.eca import ECA
from hypermodels.attention.ese import EffectiveSE
from hypermodels.attention.gc import GlobalContext
from hypermodels.attention.scse import ConcurrentSE
from hypermodels.attention.simam import SimAM
from hypermodels.attention.spatial import SpatialAttention
from hypermodels.attention.triplet import TripletAttention

# In this order types are listed and their knobs drawn: a new one goes to the end.
for _module in (
    none,
    se,
    channel,
    bam,
    spatial,
    cbam,
    coord,
    eca,
    ese,
    gc,
    scse,
    simam,
    triplet,
):
    register(_module.MECHANISM)

__all__ = [
    "BAM",
    "CBAM",
    "ECA",
    "SHIFT",
    "AttentionLayer",
    "ChannelAttention",
    "ConcurrentSE",
    "CoordinateAttention",
    "EffectiveSE",
    "GlobalContext",
    "Mechanism",
    "SimAM",
    "SpatialAttention",
    "TripletAttention",
    "get_mechanism",
    "mechanisms",
    "register",
]
