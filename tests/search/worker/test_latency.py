"""Networks timed side by side."""

from __future__ import annotations

import pytest

from hypermodels.image import ImageSpec
from hypermodels.settings.configuration import Configuration
from search.messages import LatencyRequest
from search.worker.latency import measure


def test_each_network_is_timed_against_the_first() -> None:
    plain = Configuration.resolve({"backbone": {"family": "resnet_v1", "depth": 8}})
    wide = Configuration.resolve(
        {"backbone": {"family": "resnet_v1", "depth": 8, "width_multiplier": 4}}
    )
    request = LatencyRequest(
        (plain.to_dict(), plain.to_dict(), wide.to_dict()), ImageSpec((16, 16, 3), 10), 8
    )
    found = measure(request, lambda *_: None)
    assert found["milliseconds"] > 0
    assert len(found["ratios"]) == 3
    # Sixteen times the work: no load of the machine turns that round.
    assert found["ratios"][2] > max(found["ratios"][:2]) == pytest.approx(1, rel=0.9)
