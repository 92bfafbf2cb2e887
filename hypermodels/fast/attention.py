"""Channel and spatial attention in few passes over the feature map, for training on CPUs.

Written out operation by operation, CBAM reads and writes the feature map some thirty times
a step, most of them in the gradients of the maxima. Here are six passes: the statistics,
the maps, the product; in the gradient, the gates', the maps' and the input's.

    z = x * g * s,   g = gate(MLP(mean x), MLP(max x)),   s = gate(conv(mean x*g, max x*g))

Only what touches the feature map is written by hand; `g` from the statistics and `s` from
the maps, which are small, are whatever functions the layers have, and are differentiated
as usual. The gradient of the input needs all the others, so `_entry`, which sees the
input first, computes it. What it needs reaches it as the "gradients" of carriers: tensors
that `_entry` returns and that hold nothing but zeros.

    forward    _entry:    x -> x, statistics, carriers
               _maps:     x, g, a carrier -> maps
               _product:  x, g, s, carriers -> z
    backward   _product:  returns dz for x, and g and s for their carriers
               _maps:     returns the gradients of the maps for its carrier
               _entry:    computes the gradient of x from all of these

A maximum that several elements share passes each an equal part of its gradient, as
TensorFlow, JAX and PyTorch have it. The plain definitions stand in `attention/channel.py`
and `attention/spatial.py`; `tests/hypermodels/fast/test_attention.py` holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from hypermodels.fast import conditions
from hypermodels.fast.compiled import compiled
from hypermodels.fast.convolution import WIDEST


def usable(inputs: Any, training: bool | None) -> bool:
    """Whether a call can take the fast path; the height and the width must be known."""
    if not conditions.fast_path_applies(inputs, training):
        return False
    shape = inputs.shape
    return len(shape) == 4 and None not in shape[1:] and shape[2] <= WIDEST


def attended(
    inputs: Any,
    *,
    channel_gate: Callable[[list[Any]], Any] | None = None,
    channel_pooling: str = "",
    spatial_gate: Callable[[Any], Any] | None = None,
    spatial_pooling: str = "",
) -> Any:
    """The feature map times its channel gate, and then times its spatial gate.

    Args:
        inputs: `float32` or `bfloat16` tensor `(batch, height, width, channels)`, its
            sizes but the batch known. Everything is computed in `float32`.
        channel_gate: Function from the statistics, each `(batch, channels)`, to the gate
            `(batch, channels)`; or `None` for none.
        channel_pooling: `"avg"`, `"max"` or `"avg+max"`.
        spatial_gate: Function from the maps `(batch, height, width, 1 or 2)` to the gate
            `(batch, height, width, 1)`; or `None` for none.
        spatial_pooling: `"avg"`, `"max"` or `"avg+max"`.

    Returns:
        A tensor of the input's shape and type.
    """
    _, height, width, channels = inputs.shape
    x = ops.cast(ops.reshape(inputs, (-1, height * width, channels)), "float32")
    x, statistics, carriers = _entry(
        x, channel_pooling if channel_gate else "", spatial_pooling if spatial_gate else ""
    )
    gate_c = gate_s = None
    if channel_gate is not None:
        gate_c = channel_gate(statistics)
    if spatial_gate is not None:
        maps = _maps(x, gate_c, carriers["maps"], spatial_pooling)
        maps = ops.reshape(maps, (-1, height, width, maps.shape[-1]))
        gate_s = ops.reshape(spatial_gate(maps), (-1, height * width, 1))
    outputs = _product(x, gate_c, gate_s, carriers)
    return ops.cast(ops.reshape(outputs, (-1, height, width, channels)), inputs.dtype)


# ---- where gradients are given ------------------------------------------------------------


def _entry(
    x: Any, channel_pooling: str, spatial_pooling: str
) -> tuple[Any, list[Any], dict[str, Any]]:
    """Passes the map on, with its statistics and the carriers of what its gradient needs."""
    batch, positions, channels = ops.shape(x)
    made: dict[str, Any] = {}
    if channel_pooling:
        made["channel"] = ops.zeros((batch, channels))
    if spatial_pooling:
        made["spatial"] = ops.zeros((batch, positions, 1))
        made["maps"] = ops.zeros((batch, positions, 3))

    @ops.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def enter(x: Any) -> Any:
        statistics = _statistics(x, channel_pooling)

        def gradient(dz: Any, *above: Any) -> Any:
            of_statistics, carried = above[: len(statistics)], above[len(statistics) :]
            carriers = dict(zip(made, carried, strict=True))
            return _input_gradient(
                x,
                dz,
                carriers,
                statistics,
                list(of_statistics),
                channel_pooling,
                spatial_pooling,
            )

        return (ops.stop_gradient(x), *statistics, *made.values()), gradient

    count = len(_kinds(channel_pooling))
    x, *rest = enter(x)
    return x, rest[:count], dict(zip(made, rest[count:], strict=True))


def _maps(x: Any, gate_c: Any, carrier: Any, pooling: str) -> Any:
    """The statistics over the channels, `(batch, positions, 1 or 2)`."""
    gates = [] if gate_c is None else [gate_c]

    @ops.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def squeeze(carrier: Any, *gates: Any) -> Any:
        maps = _squeezed(x, list(gates), pooling)

        def gradient(above: Any) -> Any:
            return tuple(_maps_gradient(x, list(gates), maps, above, pooling))

        return maps, gradient

    return squeeze(carrier, *gates)


def _product(x: Any, gate_c: Any, gate_s: Any, carriers: dict[str, Any]) -> Any:
    """The map times its gates. What it returns as a gradient of the map is `dz`."""
    gates = {"channel": gate_c, "spatial": gate_s}
    there = {name: gate for name, gate in gates.items() if gate is not None}

    @ops.custom_gradient  # type: ignore[untyped-decorator, unused-ignore]
    def multiply(x: Any, *both: Any) -> Any:
        given = dict(zip(there, both[: len(there)], strict=True))

        def gradient(dz: Any) -> Any:
            of_gates = _gate_gradients(x, dz, given)
            return (dz, *(of_gates[name] for name in there), *given.values())

        return _scaled(x, given), gradient

    return multiply(x, *there.values(), *(carriers[name] for name in there))


# ---- the passes ---------------------------------------------------------------------------


def _kinds(pooling: str) -> list[str]:
    return pooling.split("+") if pooling else []


@compiled
def _statistics(x: Any, pooling: str) -> list[Any]:
    return [
        ops.mean(x, axis=1) if kind == "avg" else ops.max(x, axis=1) for kind in _kinds(pooling)
    ]


def _gated(x: Any, gates: list[Any]) -> Any:
    return x * ops.expand_dims(gates[0], 1) if gates else x


@compiled
def _squeezed(x: Any, gates: list[Any], pooling: str) -> Any:
    maps = []
    for kind in _kinds(pooling):
        if kind == "max":
            maps.append(ops.max(_gated(x, gates), axis=-1))
        elif gates:  # the mean of the scaled channels is a product with the gate
            maps.append(ops.matmul(x, ops.expand_dims(gates[0], -1))[..., 0] / x.shape[-1])
        else:
            maps.append(ops.mean(x, axis=-1))
    return ops.stack(maps, axis=-1)


@compiled
def _scaled(x: Any, gates: dict[str, Any]) -> Any:
    scaled = _gated(x, [gates["channel"]] if "channel" in gates else [])
    return scaled * gates["spatial"] if "spatial" in gates else scaled


def _gate_gradients(x: Any, dz: Any, gates: dict[str, Any]) -> dict[str, Any]:
    if len(gates) == 1:
        over = 1 if "channel" in gates else -1
        return {name: _sum_of_product(x, dz, over) for name in gates}
    # Two sums over one product: as matrix products they are cheaper than compiled loops.
    product = x * dz
    spatial, channel = gates["spatial"], gates["channel"]
    return {
        "channel": ops.matmul(ops.transpose(spatial, (0, 2, 1)), product)[:, 0],
        "spatial": ops.matmul(product, ops.expand_dims(channel, -1)),
    }


@compiled
def _sum_of_product(x: Any, dz: Any, axis: int) -> Any:
    return ops.sum(x * dz, axis=axis, keepdims=axis == -1)


@compiled
def _maps_gradient(x: Any, gates: list[Any], maps: Any, above: Any, pooling: str) -> list[Any]:
    """What the input's gradient needs of the maps, and the channel gate's gradient."""
    kinds = _kinds(pooling)
    nothing = ops.zeros_like(maps[..., :1])
    mean = above[..., :1] / x.shape[-1] if "avg" in kinds else nothing
    of_max, largest = nothing, nothing
    inner = mean
    if "max" in kinds:
        scaled, largest = _gated(x, gates), maps[..., -1:]
        is_largest = scaled >= largest
        count = ops.sum(ops.cast(is_largest, x.dtype), axis=-1, keepdims=True)
        of_max = above[..., -1:] / ops.maximum(count, 1.0)
        inner = inner + ops.where(is_largest, of_max, 0.0)
    carried = ops.concatenate([mean, of_max, largest], axis=-1)
    return [carried, ops.sum(x * inner, axis=1)] if gates else [carried]


@compiled
def _input_gradient(
    x: Any,
    dz: Any,
    carriers: dict[str, Any],
    statistics: list[Any],
    above: list[Any],
    channel_pooling: str,
    spatial_pooling: str,
) -> Any:
    gates = [carriers["channel"]] if "channel" in carriers else []
    inner = dz
    if "maps" in carriers:
        mean, of_max, largest = ops.split(carriers["maps"], 3, axis=-1)
        inner = inner * carriers["spatial"] + mean
        if "max" in _kinds(spatial_pooling):
            inner = inner + ops.where(_gated(x, gates) >= largest, of_max, 0.0)
    dx = _gated(inner, gates)
    positions = x.shape[1]
    for kind, statistic, gradient in zip(_kinds(channel_pooling), statistics, above, strict=True):
        if kind == "avg":
            dx = dx + ops.expand_dims(gradient / positions, 1)
        else:
            is_largest = x >= ops.expand_dims(statistic, 1)
            count = ops.sum(ops.cast(is_largest, x.dtype), axis=1)
            each = ops.expand_dims(gradient / ops.maximum(count, 1.0), 1)
            dx = dx + ops.where(is_largest, each, 0.0)
    return dx
