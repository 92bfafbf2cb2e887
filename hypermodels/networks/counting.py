"""Parameters and multiply-adds of a network that is built, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import keras

from hypermodels.attention import AttentionLayer
from hypermodels.graph.taps import Tap
from hypermodels.graph.walk import Call, upstream


@dataclass(frozen=True)
class Cost:
    """What a network weighs.

    Args:
        parameters: Integer, all weights, batch-norm statistics included
            (`model.count_params()`).
        macs: Integer, multiply-adds of convolutions, dense layers and attention for one
            image.
    """

    parameters: int
    macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.parameters - other.parameters, self.macs - other.macs)


def cost_of(model: keras.Model) -> Cost:
    """Counts a built functional model layer by layer, attention layers included."""
    return Cost(model.count_params(), sum(layer_macs(layer) for layer in model.layers))


def cost_of_gate(model: keras.Model, gate: Tap) -> Cost:
    """The cost of a network's own gate: all layers that serve nothing else.

    Args:
        model: The built backbone.
        gate: Where the gate is multiplied in; its input that is not the gate's stays.
    """

    def past_the_gate(call: Call) -> list[Any]:
        return [call.inputs[gate.index]] if call.operation.name == gate.layer else call.inputs

    needed = {call.operation.name for call in upstream(model.outputs, past_the_gate)}
    spare = [layer for layer in model.layers if layer.name not in needed]
    parameters = sum(layer.count_params() for layer in spare)
    return Cost(parameters, sum(layer_macs(layer) for layer in spare))


def layer_macs(layer: keras.layers.Layer) -> int:
    """Multiply-adds of one built layer for one image; zero for layers without any."""
    if isinstance(layer, AttentionLayer):
        shape = layer.input.shape
        return layer.macs((shape[1], shape[2], shape[3]), layer.get_config())
    if isinstance(layer, keras.layers.SeparableConv2D):
        _, height, width, _ = layer.output.shape
        kernels = (layer.depthwise_kernel, layer.pointwise_kernel)
        return int(sum(math.prod(each.shape) for each in kernels) * height * width)
    if isinstance(layer, keras.layers.DepthwiseConv2D | keras.layers.Conv2D):
        # Every output position of a kernel's channel costs one pass over the kernel.
        _, height, width, _ = layer.output.shape
        return int(math.prod(layer.kernel.shape) * height * width)
    if isinstance(layer, keras.layers.Dense):
        positions = math.prod(layer.output.shape[1:-1])
        return int(math.prod(layer.kernel.shape) * positions)
    return 0
