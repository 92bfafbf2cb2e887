"""How long networks take for a batch of images, side by side in one process."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from search.messages import LatencyRequest
from search.worker.train import Report

ROUNDS = 15
"""Batches that each network is timed with, at least."""
SECONDS = 0.5
"""Time that a pair of networks is timed for, at least."""
MOST_ROUNDS = 200


def measure(request: LatencyRequest, report: Report) -> dict[str, Any]:
    """Times every network against the first one, batch by batch in turn.

    What slows the machine down for a while slows both of a pair down.

    Args:
        request: The `LatencyRequest`.
        report: Not called.

    Returns:
        A dict with `milliseconds`, the median of the first network for a batch, and `ratios`,
        the median time of each network in units of the first one's, both of that pair.
    """
    images = np.random.default_rng(0).integers(
        0, 256, (request.batch, *request.image.shape), dtype="uint8"
    )
    configurations = [Configuration.from_dict(each) for each in request.configurations]
    first = build_network(configurations[0], request.image, seed=0)
    milliseconds, ratios = [], []
    for configuration in configurations:
        network = build_network(configuration, request.image, seed=0)
        times = _times((first, network), images)
        milliseconds.append(1000 * float(np.median(times[0])))
        ratios.append(float(np.median(times[1]) / np.median(times[0])))
    return {"milliseconds": float(np.median(milliseconds)), "ratios": ratios}


def _times(networks: tuple[keras.Model, keras.Model], images: np.ndarray) -> list[list[float]]:
    """Seconds that each network took for a batch, in every round."""
    for network in networks:
        network.predict_on_batch(images)  # which traces it
    times: list[list[float]] = [[], []]
    begin = time.perf_counter()
    while len(times[0]) < MOST_ROUNDS:
        if len(times[0]) >= ROUNDS and time.perf_counter() - begin > SECONDS:
            break
        for network, taken in zip(networks, times, strict=True):
            start = time.perf_counter()
            np.asarray(network.predict_on_batch(images))
            taken.append(time.perf_counter() - start)
    return times
