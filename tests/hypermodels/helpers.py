"""What several test modules of `hypermodels` need."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from hypermodels.attention import AttentionLayer, Mechanism, mechanisms
from hypermodels.image import ImageSpec, Resize
from hypermodels.knobs import Knob, Value
from hypermodels.networks.counting import Cost
from hypermodels.settings.configuration import Configuration

LAYERED = tuple(entry for entry in mechanisms() if entry.layer is not None)
"""The registered mechanisms that add a layer."""

TINY = ImageSpec((8, 8, 3), 4)
RESNETS = ("resnet_v1", "resnet_v2")
SMALLEST: Mapping[str, Mapping[str, Value]] = {
    "resnet_v1": {"depth": 8},
    "resnet_v2": {"depth": 11},
    "resnext": {"depth": 11, "cardinality": 2, "width": 4},
    "mobilenet": {"alpha": 0.25},
    "densenet": {"depth": 10, "growth_rate": 4},
    "inception_v3": {},
    "inception_resnet_v2": {},
}
"""The settings with which each family is smallest."""


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


def randomize(layer: keras.layers.Layer, seed: int = 5, scale: float = 0.5) -> None:
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
    """A resolved configuration of the smallest network, unless a depth is given."""
    backbone = {**SMALLEST[family], "family": family}
    if depth is not None:
        backbone["depth"] = depth
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


def counted(model: keras.Model) -> Cost:
    """Parameters from the variables' sizes; MACs by walking the graph from the image."""
    parameters = sum(math.prod(variable.shape) for variable in model.weights)
    sizes: dict[str, tuple[int, int]] = {}
    macs = 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            sizes[layer.name] = (layer.batch_shape[1], layer.batch_shape[2])
            continue
        tensors = layer.input if isinstance(layer.input, list) else [layer.input]
        height, width = sizes[tensors[0]._keras_history.operation.name]
        channels = tensors[0].shape[-1]
        if isinstance(layer, keras.layers.ZeroPadding2D):
            (top, bottom), (left, right) = layer.padding
            height, width = height + top + bottom, width + left + right
        elif isinstance(layer, Resize):
            height, width = layer.side, layer.side
        elif hasattr(layer, "strides"):
            (down, across), (rows, columns) = layer.strides, window(layer)
            if layer.padding == "valid":
                height, width = height - rows + 1, width - columns + 1
            height, width = math.ceil(height / down), math.ceil(width / across)
            if isinstance(layer, keras.layers.DepthwiseConv2D):
                macs += height * width * rows * columns * channels * layer.depth_multiplier
            elif isinstance(layer, keras.layers.Conv2D):
                per_filter = rows * columns * channels // layer.groups
                macs += height * width * per_filter * layer.filters
        elif isinstance(layer, keras.layers.Dense):
            macs += channels * layer.units
        elif isinstance(layer, AttentionLayer):
            macs += weight_macs(layer, (height, width, channels))
        sizes[layer.name] = (height, width)
    return Cost(parameters, macs)


def window(layer: keras.layers.Layer) -> tuple[int, int]:
    """Rows and columns that a convolution or a pooling looks at."""
    rows, columns = layer.pool_size if hasattr(layer, "pool_size") else layer.kernel_size
    return rows, columns


def producer(layer: keras.layers.Layer) -> str:
    """Name of the layer whose output `layer` takes."""
    return str(layer.input._keras_history.operation.name)


def consumers(model: keras.Model, layer: keras.layers.Layer) -> set[str]:
    """Names of the model's layers that take `layer`'s output."""
    return {
        other.name
        for other in model.layers
        for node in other._inbound_nodes
        if any(tensor._keras_history.operation is layer for tensor in node.input_tensors)
    }
