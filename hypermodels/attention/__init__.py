"""The attention mechanisms. Importing this package registers those that ship with it."""

from __future__ import annotations

from hypermodels.attention.cbam import CBAM
from hypermodels.attention.channel import ChannelAttention
from hypermodels.attention.contract import (
    AttentionLayer,
    Mechanism,
    mechanism,
    mechanisms,
    register,
)
from hypermodels.attention.none import NONE
from hypermodels.attention.spatial import SpatialAttention

__all__ = [
    "CBAM",
    "NONE",
    "AttentionLayer",
    "ChannelAttention",
    "Mechanism",
    "SpatialAttention",
    "mechanism",
    "mechanisms",
    "register",
]
