"""Attention in NumPy and float64, written from the papers' equations alone.

Nothing here uses Keras. Weights come as a dict from name to array: `kernel_1`, `bias_1`,
`kernel_2`, `bias_2` of the channel half, `kernel`, `norm/gamma`, `norm/beta`,
`norm/moving_mean`, `norm/moving_variance` of the spatial half, with the prefixes
`channel/` and `spatial/` for CBAM. The other mechanisms are in `reference_channel` and
`reference_map`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.hypermodels.attention import reference_channel, reference_map
from tests.hypermodels.attention.reference_common import (
    Array,
    Weights,
    batch_norm,
    gate_of,
    half,
)


def channel_gate(x: Array, weights: Weights, settings: Mapping[str, Any]) -> Array:
    """gate(MLP(avg) + MLP(max)), one value for each image and channel."""
    batch, height, width, channels = x.shape
    kernel_1, kernel_2 = weights["kernel_1"], weights["kernel_2"]
    pooled: list[Array] = []
    if "avg" in settings["channel_pooling"]:
        pooled.append(np.einsum("nhwc->nc", x) / (height * width))
    if "max" in settings["channel_pooling"]:
        peaks = np.empty((batch, channels))
        for image in range(batch):
            for channel in range(channels):
                peaks[image, channel] = x[image, :, :, channel].max()
        pooled.append(peaks)
    logits = np.zeros((batch, channels))
    for statistic in pooled:
        hidden = np.einsum("nc,ch->nh", statistic, kernel_1)
        if settings["mlp_bias"]:
            hidden = hidden + weights["bias_1"]
        logits += np.einsum("nh,hc->nc", np.where(hidden > 0, hidden, 0.0), kernel_2)
        if settings["mlp_bias"]:
            logits += weights["bias_2"]
    return gate_of(settings["gate"], logits)[:, None, None, :]


def spatial_logits(x: Array, weights: Weights, settings: Mapping[str, Any]) -> Array:
    """The k x k convolution of [mean; max] over the channels, with zeros around the map."""
    batch, height, width, channels = x.shape
    maps: list[Array] = []
    if "avg" in settings["spatial_pooling"]:
        maps.append(np.einsum("nhwc->nhw", x) / channels)
    if "max" in settings["spatial_pooling"]:
        maps.append(np.max(x, axis=3))
    size = settings["spatial_kernel_size"]
    kernel = weights["kernel"]
    reach = size // 2
    logits = np.zeros((batch, height, width))
    for place, plane in enumerate(maps):
        padded = np.zeros((batch, height + 2 * reach, width + 2 * reach))
        padded[:, reach : reach + height, reach : reach + width] = plane
        for row in range(size):
            for column in range(size):
                window = padded[:, row : row + height, column : column + width]
                logits += kernel[row, column, place, 0] * window
    return logits


def spatial_gate(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Array:
    """gate(norm(conv([mean; max]))), one value for each image and position."""
    logits = spatial_logits(x, weights, settings)
    if settings["spatial_norm"] != "none":
        logits = batch_norm(logits[..., None], weights, "norm", training)[..., 0]
    return gate_of(settings["gate"], logits)[..., None]


OTHERS = {
    "ese": reference_channel.ese,
    "eca": reference_channel.eca,
    "gc": reference_channel.gc,
    "bam": reference_map.bam,
    "scse": reference_map.scse,
    "simam": reference_map.simam,
    "coord": reference_map.coord,
    "triplet": reference_map.triplet,
}


def attend(
    name: str,
    x: Array,
    weights: Weights,
    settings: Mapping[str, Any],
    *,
    training: bool = False,
) -> tuple[Array, dict[str, Array]]:
    """The attended map and its gates, by the mechanism's registered name."""
    if name in ("se", "channel"):
        gate = channel_gate(x, weights, settings)
        return x * gate, {"channel": gate}
    if name == "spatial":
        gate = spatial_gate(x, weights, settings, training)
        return x * gate, {"spatial": gate}
    if name in OTHERS:
        return OTHERS[name](x, weights, settings, training)
    if name != "cbam":
        raise NotImplementedError(f"write a NumPy reference of {name!r} here")
    of_channel, of_spatial = half(weights, "channel"), half(weights, "spatial")
    if settings["order"] == "spatial_first":
        spatial = spatial_gate(x, of_spatial, settings, training)
        channel = channel_gate(x * spatial, of_channel, settings)
    else:
        channel = channel_gate(x, of_channel, settings)
        seen = x * channel if settings["order"] == "channel_first" else x
        spatial = spatial_gate(seen, of_spatial, settings, training)
    return x * channel * spatial, {"channel": channel, "spatial": spatial}


def central_differences(
    function: Callable[[Array], float], at: Array, step: float = 1e-6
) -> Array:
    """The gradient of `function`, one entry of `at` after another."""
    gradient = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        above, below = at.copy(), at.copy()
        above[place] += step
        below[place] -= step
        gradient[place] = (function(above) - function(below)) / (2.0 * step)
    return gradient
