"""NumPy references of the mechanisms that tell positions apart: BAM, scSE, SimAM,
coordinate and triplet attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tests.hypermodels.attention.reference_common import (
    Array,
    Weights,
    batch_norm,
    convolve,
    gate_of,
    relu,
)

Attended = tuple[Array, dict[str, Array]]


def bam_logits(
    x: Array, weights: Weights, settings: Mapping[str, Any], training: bool
) -> tuple[Array, Array]:
    """BAM, eq. 3 and 4, with the norms where the equations or the authors' code have them."""

    def layer(name: str, z: Array, norm: str | None = None) -> Array:
        kernel = weights[f"{name}_kernel"]
        if kernel.ndim == 4:
            z = convolve(z, kernel, settings["dilation"])
        else:
            z = np.einsum("...c,cd->...d", z, kernel)
        z = z + weights[f"{name}_bias"]
        if norm is not None:
            return batch_norm(z, weights, norm, training) if output else z
        return relu(z if output else batch_norm(z, weights, f"{name}_norm", training))

    output = settings["bam_norm"] == "output"
    channel = layer("2", layer("1", x.mean(axis=(1, 2))), "channel_norm")
    plane = layer("dilated_2", layer("dilated_1", layer("reduce", x)))
    return channel[:, None, None, :], layer("project", plane, "map_norm")


def bam(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """BAM, eq. 1, 2 and 5: F + F * sigmoid(channel + spatial)."""
    channel, spatial = bam_logits(x, weights, settings, training)
    logits = {
        "sum": channel + spatial,
        "product": channel * spatial,
        "max": np.maximum(channel, spatial),
    }[settings["combine"]]
    gate = gate_of(settings["gate"], logits)
    refined = gate - 1.0 if settings["gate"] == "identity_start" else gate
    return x + x * refined, {"map": 1.0 + refined}


def scse(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """scSE, eq. 1-3: the two scaled maps, and how they are joined."""
    bias = settings["mlp_bias"]
    hidden = x.mean(axis=(1, 2)) @ weights["channel/kernel_1"]
    hidden = relu(hidden + weights["channel/bias_1"] if bias else hidden)
    channel = hidden @ weights["channel/kernel_2"]
    channel = channel + weights["channel/bias_2"] if bias else channel
    spatial = np.einsum("nhwc,cd->nhwd", x, weights["kernel"])
    spatial = spatial + weights["bias"] if bias else spatial
    name = settings["gate"]
    if name == "identity_start" and settings["combine"] == "sum":
        name = "sigmoid"  # the halves of an identity
    of_channel, of_spatial = gate_of(name, channel)[:, None, None, :], gate_of(name, spatial)
    joined = {
        "sum": x * of_channel + x * of_spatial,
        "product": x * of_channel * of_spatial,
        "max": np.maximum(x * of_channel, x * of_spatial),
    }[settings["combine"]]
    return joined, {"map": joined / x}


def simam(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """SimAM, eq. 5 and 6: the least energy of every neuron, and its inverse in a sigmoid."""
    addend = settings["simam_lambda"]
    gate = np.empty_like(x)
    for image, channel in np.ndindex(x.shape[0], x.shape[3]):
        values = x[image, :, :, channel]
        mean, variance = values.mean(), values.var(ddof=1)
        distance = (values - mean) ** 2
        energy = 4.0 * (variance + addend) / (distance + 2.0 * variance + 2.0 * addend)
        gate[image, :, :, channel] = 1.0 / (1.0 + np.exp(-1.0 / energy))
    return x * gate, {"map": gate}


def coord(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """Coordinate attention, eq. 4-9."""
    height = x.shape[1]
    of_rows, of_columns = x.mean(axis=2), x.mean(axis=1)
    strips = np.concatenate([of_rows, of_columns], axis=1) @ weights["strip_kernel"]
    hidden = batch_norm(strips, weights, "norm", training)
    hidden = hidden * np.clip(hidden + 3.0, 0.0, 6.0) / 6.0
    rows = hidden[:, :height] @ weights["height_kernel"] + weights["height_bias"]
    columns = hidden[:, height:] @ weights["width_kernel"] + weights["width_bias"]
    along_height = gate_of(settings["gate"], rows)[:, :, None, :]
    along_width = gate_of(settings["gate"], columns)[:, None, :, :]
    return x * along_height * along_width, {"height": along_height, "width": along_width}


def triplet(x: Array, weights: Weights, settings: Mapping[str, Any], training: bool) -> Attended:
    """Triplet attention, eq. 1-4: rotate, gate the plane, rotate back, average."""
    turns = {
        "height_width": (0, 1, 2, 3),
        "width_channel": (0, 2, 3, 1),
        "height_channel": (0, 1, 3, 2),
    }
    branches = []
    for plane, turn in turns.items():
        rotated = x.transpose(turn)
        z_pool = np.stack([rotated.max(axis=3), rotated.mean(axis=3)], axis=3)
        logits = convolve(z_pool, weights[f"{plane}_kernel"])
        logits = batch_norm(logits, weights, f"{plane}_norm", training)
        gated = rotated * gate_of(settings["gate"], logits)
        branches.append(gated.transpose(np.argsort(turn)))
    average = (branches[0] + branches[1] + branches[2]) / 3.0
    return average, {"map": average / x}
