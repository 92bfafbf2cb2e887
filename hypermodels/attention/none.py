"""No attention: the arm that every claim is measured against."""

from __future__ import annotations

from hypermodels.attention.base import Mechanism

MECHANISM = Mechanism("none", None, "the backbone as it is", "-")
