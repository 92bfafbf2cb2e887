"""What several test modules of `hypermodels` need."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hypermodels.attention import AttentionLayer, Mechanism, mechanisms
from hypermodels.configuration import Configuration
from hypermodels.knobs import Knob, Value
from hypermodels.network import ImageSpec

LAYERED = tuple(entry for entry in mechanisms() if entry.layer is not None)
"""The registered mechanisms that add a layer."""

TINY = ImageSpec((8, 8, 3), 4)
DEPTHS = {"resnet_v1": 8, "resnet_v2": 11}
"""The least depth of each family."""


def samples(knob: Knob) -> tuple[Value, ...]:
    """A few values of any knob, its default first."""
    if knob.kind == "choice":
        others: tuple[Value, ...] = knob.choices
    elif knob.kind == "boolean":
        others = (True, False)
    elif knob.kind == "number":
        others = (float(knob.minimum or 0.0), float(knob.maximum or 1.0))
    else:
        others = (1, 2, 4)
    return (knob.default, *(value for value in others if value != knob.default))


def variants(entry: Mechanism) -> Iterator[dict[str, Value]]:
    """The default settings of a mechanism, and each knob's other values one at a time."""
    default = entry.settings({})
    yield default
    for knob in entry.knobs:
        for value in samples(knob)[1:]:
            yield {**default, knob.name: value}


def make(entry: Mechanism, settings: Mapping[str, Value], seed: int = 1) -> AttentionLayer:
    """The mechanism's layer as a network would make it."""
    return entry.build(settings, name=f"{entry.name}_attn", seed=seed)


def built(
    entry: Mechanism, settings: Mapping[str, Value], shape: tuple[int, int, int], seed: int = 1
) -> AttentionLayer:
    """The mechanism's layer, with its weights made for maps of `shape`."""
    layer = make(entry, settings, seed)
    layer.build((None, *shape))
    return layer


def named_weights(layer: keras.layers.Layer) -> dict[str, Any]:
    """A layer's variables by their path within it, e.g. `spatial/norm/gamma`."""
    return {weight.path.partition("/")[2]: weight for weight in layer.weights}


def randomise(layer: keras.layers.Layer, seed: int = 5, scale: float = 0.5) -> None:
    """Gives every weight random values; variances stay positive."""
    random = np.random.default_rng(seed)
    for name, weight in named_weights(layer).items():
        values = random.normal(0.0, scale, weight.shape)
        weight.assign(np.abs(values) + 0.5 if name.endswith("variance") else values)


def maps(*shape: int, seed: int = 0) -> np.ndarray:
    """Random feature maps of the given shape, free of ties."""
    return np.random.default_rng(seed).normal(0.3, 1.0, shape).astype("float32")


def images(count: int, image: ImageSpec = TINY, seed: int = 0) -> np.ndarray:
    """Random `uint8` images."""
    return np.random.default_rng(seed).integers(0, 256, (count, *image.shape), dtype="uint8")


def numpy(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array of float64, for comparing."""
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float64")


def configuration(
    family: str = "resnet_v1", depth: int | None = None, recipe: Any = None, **attention: Any
) -> Configuration:
    """A resolved configuration of the least depth, unless one is given."""
    backbone = {"family": family, "depth": depth or DEPTHS[family]}
    return Configuration.resolve(
        {"backbone": backbone, "attention": attention, "recipe": recipe or {}}
    )


def fingerprint(arrays: Any) -> str:
    """A hash of the arrays' bytes: equal for bit-identical weights alone."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()


TIMES: dict[str, Callable[[int, int, int], int]] = {
    "kernel_1": lambda h, w, c: 1,
    "kernel_2": lambda h, w, c: 1,
    "full_kernel": lambda h, w, c: 1,
    "channel_kernel": lambda h, w, c: c,
    "kernel": lambda h, w, c: h * w,
    "context_kernel": lambda h, w, c: h * w,
    "1_kernel": lambda h, w, c: 1,
    "2_kernel": lambda h, w, c: 1,
    "reduce_kernel": lambda h, w, c: h * w,
    "dilated_1_kernel": lambda h, w, c: h * w,
    "dilated_2_kernel": lambda h, w, c: h * w,
    "project_kernel": lambda h, w, c: h * w,
    "strip_kernel": lambda h, w, c: h + w,
    "height_kernel": lambda h, w, c: h,
    "width_kernel": lambda h, w, c: w,
    "height_width_kernel": lambda h, w, c: h * w,
    "width_channel_kernel": lambda h, w, c: w * c,
    "height_channel_kernel": lambda h, w, c: h * c,
}
"""How often each weight of the shipped mechanisms is applied to one map."""


def weight_macs(layer: keras.layers.Layer, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of the shipped mechanisms, counted from their weights' shapes."""
    config = layer.get_config()
    total = 0
    for name, weight in named_weights(layer).items():
        kind = name.rpartition("/")[2]
        if kind in TIMES:
            # The MLP of channel attention is applied once for each statistic.
            statistics = (
                config["channel_pooling"]
                if kind in ("kernel_1", "kernel_2") and ("channel_pooling" in config)
                else "one"
            )
            passes = len(statistics.split("+"))
            total += int(np.prod(weight.shape)) * TIMES[kind](*shape) * passes
        elif not ("bias" in kind or "norm/" in name):
            raise NotImplementedError(f"count the multiply-adds of {name!r} in TIMES")
    return total
