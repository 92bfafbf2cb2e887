"""NumPy references of the mechanisms that treat a channel as a whole: eSE, ECA, GC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.hypermodels.attention.reference_common import EPSILON, Array, Weights, gate_of, relu

Attended = tuple[Array, dict[str, Array]]


def ese(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """CenterMask, eq. 2-3: one full layer over the averages."""
    averages = np.einsum("nhwc->nc", x) / (x.shape[1] * x.shape[2])
    logits = np.einsum("nc,cd->nd", averages, weights["full_kernel"]) + weights["bias"]
    gate = gate_of(settings["gate"], logits)[:, None, None, :]
    return x * gate, {"channel": gate}


def eca(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """ECA-Net, eq. 7: each channel from its k nearest, by the definition of the sum."""
    averages = np.einsum("nhwc->nc", x) / (x.shape[1] * x.shape[2])
    channels, kernel = x.shape[3], weights["channel_kernel"][:, 0, 0]
    logits = np.zeros_like(averages)
    for channel in range(channels):
        for tap, weight in enumerate(kernel):
            other = channel + tap - len(kernel) // 2
            if settings["eca_padding"] == "circular":
                other %= channels
            if 0 <= other < channels:
                logits[:, channel] += weight * averages[:, other]
    gate = gate_of(settings["gate"], logits)[:, None, None, :]
    return x * gate, {"channel": gate}


def gc(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """GCNet, eq. 6, one image after another."""
    answers = np.empty((x.shape[0], x.shape[3]))
    for image, features in enumerate(x.reshape(x.shape[0], -1, x.shape[3])):
        share = np.full(len(features), 1.0 / len(features))
        if settings["context_pooling"] == "attention":
            powers = np.exp(features @ weights["context_kernel"][:, 0])
            share = powers / powers.sum()
        context = sum(part * position for part, position in zip(share, features, strict=True))
        hidden = context @ weights["kernel_1"] + weights["bias_1"]
        standard = (hidden - hidden.mean()) / np.sqrt(hidden.var() + EPSILON)
        hidden = relu(standard * weights["norm/gamma"] + weights["norm/beta"])
        answers[image] = hidden @ weights["kernel_2"] + weights["bias_2"]
    answer = answers[:, None, None, :]
    if settings["fusion"] == "add":
        return x + answer, {"shift": answer}
    gate = gate_of(settings["gate"], answer)
    return x * gate, {"channel": gate}
