"""The condition under which a layer takes TensorFlow's faster path on a CPU."""

from __future__ import annotations

from typing import Any

import keras

DTYPES = ("float32", "bfloat16")


def fast_path_applies(inputs: Any, training: bool | None) -> bool:
    """Whether a call is a training step on TensorFlow and a CPU, in `float32` or `bfloat16`.

    Anything else keeps the plain definition: JAX compiles it anyway, and what is exported
    consists of plain operations.
    """
    if training is not True or keras.config.backend() != "tensorflow":
        return False
    if isinstance(inputs, keras.KerasTensor) or inputs.dtype not in DTYPES:
        return False
    import tensorflow as tf

    return not tf.config.get_visible_devices("GPU")
