"""An optimizer's updates in few operations, on TensorFlow.

Keras writes an update out, a dozen operations for each weight: half of what is traced in
the first step of a small network, and a trial of Hyperband's first rung has few steps to
earn that back. The updates are Keras's, to rounding; the optimizer stays Keras's own, in
every file that is saved as well.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import keras


def use_fast_updates(optimizer: keras.optimizers.Optimizer) -> None:
    """Lets a Keras optimizer update in few operations. Without TensorFlow it does nothing.

    Args:
        optimizer: The optimizer; changed in place.
    """
    if keras.config.backend() != "tensorflow":
        return
    if optimizer.weight_decay is not None:
        optimizer._apply_weight_decay = functools.partial(_decay, optimizer)
    if type(optimizer) is keras.optimizers.SGD and optimizer.momentum:
        optimizer.update_step = functools.partial(_momentum_step, optimizer)


def _decay(optimizer: Any, variables: Iterable[Any]) -> None:
    """Decoupled weight decay; Keras reads the learning rate anew for each weight."""
    shrink = optimizer.learning_rate * optimizer.weight_decay
    for variable in variables:
        if optimizer._use_weight_decay(variable):
            variable.value.assign_sub(variable.value * shrink)


def _momentum_step(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """`m = momentum * m - rate * gradient`, and `variable += m`, or as Nesterov has it."""
    import tensorflow as tf

    velocity = optimizer.momentums[optimizer._get_variable_index(variable)].value
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=variable.handle,
        accum=velocity.handle,
        lr=tf.cast(learning_rate, variable.dtype),
        grad=tf.cast(gradient, variable.dtype),
        momentum=tf.cast(optimizer.momentum, variable.dtype),
        use_nesterov=optimizer.nesterov,
    )
