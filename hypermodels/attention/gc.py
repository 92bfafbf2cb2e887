"""GC: the global context block, one context vector added to every position.

    context = sum_j softmax_j(w . F_j) F_j,  w: C -> 1
    F' = F + W2 relu(LayerNorm(W1 context))

Cao, Xu, Lin, Wei, Hu: "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and
Beyond", ICCV Workshops 2019, eq. 6, section 3.3; the default reduction ratio is the paper's.

Differences between known implementations:
* `fusion`: the paper adds; its table of fusions, the authors' code and timm's `gc` also
  scale by a sigmoid of the same vector.
* `context_pooling`: attention as above, or the average, as the paper's ablation has it.
* The authors' code starts the last layer at 0, so that the block starts as the identity
  when it adds; so does this one, whatever `gate` says. When it scales, the last layer
  starts as `gate` has it (timm), and not at 0 with every gate at 1/2 (authors' code).
* No bias in the pooling, unlike the authors' code: softmax does not see it.
* Multiply-adds count the three layers, not the weighted sum over the positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from hypermodels.attention.base import (
    PACKAGE,
    SHIFT,
    AttentionLayer,
    MapShape,
    Mechanism,
)
from hypermodels.attention.gates import GATE, apply_gate, last_initializer
from hypermodels.attention.hidden import HIDDEN, hidden_in, hidden_units, ratio_infeasible
from hypermodels.knobs import Knob, Value

CONTEXT_POOLING = Knob(
    "context_pooling",
    "choice",
    "attention",
    "how the positions become one context vector: weighted by a softmax, or averaged",
    choices=("attention", "avg"),
)
FUSION = Knob(
    "fusion",
    "choice",
    "add",
    "what the context does: it is added to every position, or its gate scales the channels",
    choices=("add", "scale"),
)


@keras.saving.register_keras_serializable(package=PACKAGE)
class GlobalContext(AttentionLayer):
    """Adds a transformed context vector to every position, or scales the channels by it.

    Args:
        reduction_ratio: Integer, `channels // reduction_ratio` hidden units.
        min_hidden: Integer, least number of hidden units.
        hidden_divisor: Integer, hidden units are rounded to a multiple of it.
        context_pooling: `"attention"` or `"avg"`.
        fusion: `"add"` or `"scale"`.
        gate: `"sigmoid"`, `"hard_sigmoid"` or `"identity_start"`; of no effect on `"add"`.
        seed: Integer or `None`, from which the initial weights are derived.

    Input shape:
        `(batch_size, height, width, channels)`.

    Output shape:
        The input's.

    Example:

    >>> layer = GlobalContext(reduction_ratio=4)
    >>> layer(np.zeros((2, 8, 8, 16), "float32")).shape
    (2, 8, 8, 16)

    Reference:

    - [Cao et al., ICCVW 2019](https://arxiv.org/abs/1904.11492)
    """

    knobs = (*HIDDEN, CONTEXT_POOLING, FUSION, GATE)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, dtype="float32", name="norm")

    def build(self, input_shape: Any) -> None:
        channels = int(input_shape[-1])
        hidden = hidden_units(channels, self.reduction_ratio, self.min_hidden, self.hidden_divisor)
        he_normal = keras.initializers.HeNormal
        if self.context_pooling == "attention":
            self.context_kernel = self.float32_weight(
                "context_kernel", (channels, 1), he_normal(seed=self.seed_for("context_kernel"))
            )
        self.kernel_1 = self.float32_weight(
            "kernel_1", (channels, hidden), he_normal(seed=self.seed_for("kernel_1"))
        )
        self.bias_1 = self.float32_weight("bias_1", (hidden,), "zeros")
        self.norm.build((None, hidden))
        start = "identity_start" if self.fusion == "add" else self.gate
        self.kernel_2 = self.float32_weight(
            "kernel_2", (hidden, channels), last_initializer(start, self.seed_for("kernel_2"))
        )
        self.bias_2 = self.float32_weight("bias_2", (channels,), "zeros")
        self.built = True

    def _context(self, features: Any) -> Any:
        """One vector for each image, `(batch, channels)`."""
        if self.context_pooling == "avg":
            return ops.mean(features, axis=(1, 2))
        batch, channels = ops.shape(features)[0], features.shape[-1]
        positions = ops.reshape(features, (batch, -1, channels))
        logits = ops.matmul(positions, self.context_kernel)
        # The softmax by hand: Keras's warns of a map that has one position.
        weights = ops.exp(logits - ops.logsumexp(logits, axis=1, keepdims=True))
        return ops.sum(positions * weights, axis=1)

    def attend(self, inputs: Any, training: bool | None = None) -> tuple[Any, dict[str, Any]]:
        """Adds or scales; `"shift"` or the gate `"channel"`, `(batch, 1, 1, channels)`."""
        context = self._context(ops.cast(inputs, "float32"))
        hidden = self.norm(ops.matmul(context, self.kernel_1) + self.bias_1)
        answer = ops.matmul(ops.relu(hidden), self.kernel_2) + self.bias_2
        answer = ops.expand_dims(answer, (1, 2))
        if self.fusion == "add":
            return inputs + ops.cast(answer, inputs.dtype), {SHIFT: answer}
        gate = apply_gate(self.gate, answer)
        return inputs * ops.cast(gate, inputs.dtype), {"channel": gate}

    @staticmethod
    def parameters(shape: MapShape, settings: Mapping[str, Value]) -> int:
        channels, hidden = shape[2], hidden_in(shape, settings)
        pooling = channels if settings["context_pooling"] == "attention" else 0
        norm = 2 * hidden
        return pooling + 2 * channels * hidden + hidden + channels + norm

    @staticmethod
    def macs(shape: MapShape, settings: Mapping[str, Value]) -> int:
        height, width, channels = shape
        attention = settings["context_pooling"] == "attention"
        pooling = height * width * channels if attention else 0
        return pooling + 2 * channels * hidden_in(shape, settings)

    @staticmethod
    def signature(shape: MapShape, settings: Mapping[str, Value]) -> dict[str, Value]:
        return {
            "channel_hidden": hidden_in(shape, settings),
            "context_pooling": settings["context_pooling"],
            "fusion": settings["fusion"],
            "gate": settings["gate"] if settings["fusion"] == "scale" else "none",
        }

    @staticmethod
    def infeasible(shape: MapShape, settings: Mapping[str, Value]) -> str | None:
        reason = ratio_infeasible(shape, settings)
        if reason is None and hidden_in(shape, settings) == 1:
            reason = (
                f"attention.reduction_ratio {settings['reduction_ratio']} leaves attention.type "
                f"gc one hidden unit of the channels of every chosen block (at most "
                f"{shape[2]}), which its layer norm makes a constant"
            )
        return reason


MECHANISM = Mechanism(
    "gc",
    GlobalContext,
    "GCNet's global context: one attended context vector added to every position",
    "Cao et al., GCNet, ICCVW 2019, eq. 6",
)
