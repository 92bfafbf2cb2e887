"""The attention mechanisms. Importing this package registers those that ship with it."""

from __future__ import annotations

from hypermodels.attention.bam import BAM
from hypermodels.attention.base import (
    SHIFT,
    AttentionLayer,
    Mechanism,
    mechanism,
    mechanisms,
    register,
)
from hypermodels.attention.cbam import CBAM
from hypermodels.attention.channel import ChannelAttention
from hypermodels.attention.coord import CoordinateAttention
from hypermodels.attention.eca import ECA
from hypermodels.attention.ese import EffectiveSE
from hypermodels.attention.gc import GlobalContext
from hypermodels.attention.none import NONE
from hypermodels.attention.scse import ConcurrentSE
from hypermodels.attention.simam import SimAM
from hypermodels.attention.spatial import SpatialAttention
from hypermodels.attention.triplet import TripletAttention

__all__ = [
    "BAM",
    "CBAM",
    "ECA",
    "NONE",
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
    "mechanism",
    "mechanisms",
    "register",
]
