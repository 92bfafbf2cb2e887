"""BAM: the bottleneck attention module, channel and spatial logits in one gate.

    M_c(F) = norm(W2 relu(W1 AvgPool(F) + b1) + b2),  W1: C -> hidden,  W2: hidden -> C
    M_s(F) = norm(conv1x1(relu(conv3x3(relu(conv3x3(relu(conv1x1(F)))))))), the 3x3 dilated
    F' = F + F * sigmoid(M_c(F) + M_s(F))

Park, Woo, Lee, Kweon: "BAM: Bottleneck Attention Module", BMVC 2018, eq. 1-5. The paper
puts it behind each stage but the last, where maps are about to shrink.

Differences between the paper and its authors' code:
* `combine`: the paper adds the logits, and its table of alternatives also has their
  maximum and their product; the code multiplies.
* `bam_norm`: the paper's equations have one batch norm behind each half (`output`); the
  code has one behind every layer but the last (`hidden`). Published parameter counts are
  those of the code.
* The paper's equations name no activation between the layers; the code has ReLU, as here.
* Every layer has a bias, as in both. Those in front of a batch norm are taken away again by
  it in training, and are kept for the sake of the published counts.
* With `identity_start` the factor 1 + sigmoid becomes 2 * sigmoid, which is 1 at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import PACKAGE, AttentionLayer, MapShape, Mechanism
from hypermodels.attention.combining import COMBINE, combine
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.attention.hidden import HIDDEN, hidden_in, hidden_units, ratio_infeasible
from hypermodels.attention.normalization import batch_norm
from hypermodels.knobs import Knob, Value

DILATION = Knob(
    "dilation",
    "choice",
    4,
    "dilation of the spatial half's 3x3 convolutions",
    choices=(1, 2, 4, 6),
    may_be_infeasible=True,
)
BAM_NORM = Knob(
    "bam_norm",
    "choice",
    "output",
    "where the batch norms are: behind each half, or behind all of its layers but the last",
    choices=("output", "hidden"),
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class BAM(AttentionLayer):
    """Bottleneck Attention Module.

    Args:
        reduction_ratio: Integer, `channels // reduction_ratio` hidden units in both halves.
        min_hidden: Integer, least number of hidden units.
        hidden_divisor: Integer, hidden units are rounded to a multiple of it.
        dilation: Integer, dilation of the 3x3 convolutions: 1, 2, 4 or 6.
        combine: `"sum"`, `"product"` or `"max"` of the two halves' logits.
        bam_norm: `"output"` or `"hidden"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = BAM(reduction_ratio=4, dilation=2)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Park et al., BMVC 2018](https://arxiv.org/abs/1807.06514)
    """

    knobs = (*HIDDEN, DILATION, COMBINE, BAM_NORM, GATE)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        of_output = self.bam_norm == "output"
        names = ("channel", "map") if of_output else ("1", "reduce", "dilated_1", "dilated_2")
        self.norms = {
            name: batch_norm(f"{name}_norm", zero_gamma=of_output and self._starts_at_zero(name))
            for name in names
        }

    def _starts_at_zero(self, half: str) -> bool:
        """Whether a half's logits must be 0 at first, for the gate to be 1.

        One half is enough for a product, and there must be no more: each half gets its
        gradient through the other.
        """
        return self.gate == "identity_start" and not (
            self.combine == "product" and half == "channel"
        )

    def build(self, input_shape: Any) -> None:
        channels = int(input_shape[-1])
        hidden = hidden_units(channels, self.reduction_ratio, self.min_hidden, self.hidden_divisor)
        shapes = {
            "1": (channels, hidden),
            "2": (hidden, channels),
            "reduce": (channels, hidden),
            "dilated_1": (3, 3, hidden, hidden),
            "dilated_2": (3, 3, hidden, hidden),
            "project": (hidden, 1),
        }
        last = {"2": "channel", "project": "map"} if self.bam_norm == "hidden" else {}
        self.kernels, self.biases = {}, {}
        for name, shape in shapes.items():
            zero = name in last and self._starts_at_zero(last[name])
            kernel, bias = f"{name}_kernel", f"{name}_bias"
            self.kernels[name] = self.float32_weight(
                kernel,
                shape,
                last_initializer("identity_start" if zero else "sigmoid", self.seed_for(kernel)),
            )
            self.biases[name] = self.float32_weight(bias, (shape[-1],), "zeros")
        for name, norm in self.norms.items():
            units = {"channel": channels, "map": 1}.get(name, hidden)
            norm.build((None, units) if name in ("1", "channel") else (None, None, None, units))
        self.built = True

    def _layer(self, name: str, x: Any, training: bool | None) -> Any:
        """One hidden layer: matrix or dilated convolution, norm if it has one, ReLU."""
        kernel = self.kernels[name]
        if len(kernel.shape) == 4:
            x = ops.conv(x, kernel, padding="same", dilation_rate=self.dilation)
        else:
            x = ops.matmul(x, kernel)
        x = x + self.biases[name]
        if name in self.norms:
            x = self.norms[name](x, training=training)
        return ops.relu(x)

    def _logits(self, name: str, half: str, x: Any, training: bool | None) -> Any:
        """A half's last layer, with its norm if it has one."""
        x = ops.matmul(x, self.kernels[name]) + self.biases[name]
        return self.norms[half](x, training=training) if half in self.norms else x

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Scales the map; the gate `"map"`, 1 + sigmoid, has the input's shape."""
        features = ops.cast(inputs, "float32")
        pooled = self._layer("1", ops.mean(features, axis=(1, 2)), training)
        channel = ops.expand_dims(self._logits("2", "channel", pooled, training), (1, 2))
        plane = features
        for name in ("reduce", "dilated_1", "dilated_2"):
            plane = self._layer(name, plane, training)
        spatial = self._logits("project", "map", plane, training)
        gate = apply_gate(self.gate, combine(self.combine, channel, spatial))
        if self.gate != "identity_start":
            gate = 1.0 + gate
        return inputs * ops.cast(gate, inputs.dtype), {"map": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        channels, hidden = shape[2], hidden_in(shape, settings)
        kernels = 3 * channels * hidden + 2 * 9 * hidden * hidden + hidden
        biases = 4 * hidden + channels + 1
        normalized = channels + 1 if settings["bam_norm"] == "output" else 4 * hidden
        return kernels + biases + 4 * normalized

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        height, width, channels = shape
        hidden = hidden_in(shape, settings)
        at_each_position = channels * hidden + 2 * 9 * hidden * hidden + hidden
        return 2 * channels * hidden + height * width * at_each_position

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        names = ("dilation", "combine", "bam_norm", "gate")
        return {
            "channel_hidden": hidden_in(shape, settings),
            **{name: settings[name] for name in names},
        }

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        dilation, side = int(settings["dilation"]), min(shape[0], shape[1])
        extent = 2 * dilation + 1
        reason = ratio_infeasible(shape, settings)
        if reason is None and extent > side:
            reason = (
                f"attention.dilation {dilation} makes the 3x3 kernel {extent}x{extent}, larger "
                f"than the map of every chosen block (at most {side}x{side})"
            )
        return reason


MECHANISM = Mechanism(
    "bam",
    BAM,
    "BAM: channel and dilated spatial logits together in one gate",
    "Park et al., BAM, BMVC 2018, eq. 1-5",
)
