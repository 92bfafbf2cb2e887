"""The batch norm of the attention layers."""

from __future__ import annotations

import keras


def batch_norm(name: str, *, zero_gamma: bool = False) -> keras.layers.BatchNormalization:
    """A float32 batch norm as all mechanisms use it.

    Args:
        name: String, the layer's name.
        zero_gamma: Boolean, whether gamma starts at 0 so that the output is 0 at first.
            The weights in front of it must then not be 0: batch norm of a constant passes
            no gradient to gamma, and gamma 0 none to them, so neither would ever move.
    """
    return keras.layers.BatchNormalization(
        momentum=0.9,  # as in the backbones, for short rungs; the papers' code: 0.9 or 0.99
        epsilon=1e-5,
        gamma_initializer="zeros" if zero_gamma else "ones",
        dtype="float32",
        name=name,
    )
