"""The learning rate over the full budget: a linear warm-up, then a cosine or nothing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="cbam_search")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A warm-up to the peak, and from there half a cosine down to zero.

    The rate rises from `peak / warmup_steps` at step 0, so that no step is spent at a rate
    of zero, to `peak` at step `warmup_steps`. The rates of all steps are worked out once and
    looked up: an optimizer with weight decay asks for the rate once for every weight, and
    with the conditionals of `keras.optimizers.schedules.CosineDecay` a third of the first
    step of an eight-layer network, which is traced, went into them.

    Args:
        peak: Number, the largest rate.
        warmup_steps: Integer, steps until the peak; 0 for none.
        decay_steps: Integer, steps from the peak to zero; 0 to stay at the peak.
    """

    def __init__(self, peak: float, warmup_steps: int, decay_steps: int) -> None:
        super().__init__()
        self.peak, self.warmup_steps, self.decay_steps = peak, warmup_steps, decay_steps
        self._last = warmup_steps + decay_steps
        self._rates = ops.convert_to_tensor(self._rate_of(np.arange(self._last + 1)), "float32")

    def __call__(self, step: Any) -> Any:
        """The rate, a `float32` scalar, of the step with this number, from 0."""
        return ops.take(self._rates, ops.minimum(ops.cast(step, "int32"), self._last))

    def _rate_of(self, step: np.ndarray) -> np.ndarray:
        rate = np.full(step.shape, float(self.peak))
        if self.warmup_steps:
            rate *= np.minimum(1.0, (1 + step - step / self.warmup_steps) / self.warmup_steps)
        if self.decay_steps:
            passed = np.maximum(0.0, (step - self.warmup_steps) / self.decay_steps)
            rate *= (1.0 + np.cos(np.pi * passed)) / 2
        return rate

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "warmup_steps": self.warmup_steps,
            "decay_steps": self.decay_steps,
        }
