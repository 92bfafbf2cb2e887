"""Batch norm in one pass while training on a CPU.

Keras writes batch norm out: means, a variance as the mean of squares less the square of the
mean, and the scaled map, each with a gradient that reads the whole feature map again.
TensorFlow has it as one operation with one gradient, which it also joins with the ReLU that
follows. A training step of ResNet-20 on one core takes a fifth less time with it, and has a
quarter fewer operations to trace. (`benchmarks/training_step.py`,
`docs/development/performance-notes.md`)

The layers stay Keras's own, in every file that is saved as well; only what they compute in
a training step is exchanged.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import keras

from hypermodels.fast import conditions


def fuse_batch_norms(model: keras.Model) -> None:
    """Lets every batch norm of a model take the fast path where it applies.

    Args:
        model: The `keras.Model`; changed in place. Subclasses of Keras's layer, those that
            renormalize or synchronize, and those inside of other layers stay as they are.
    """
    for layer in _layers(model):
        if type(layer) is not keras.layers.BatchNormalization:
            continue
        if layer.axis in (-1, 3) and not (layer.renorm or layer.synchronized):
            layer.call = functools.partial(_call, layer, type(layer).call)


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _call(layer: Any, plain: Any, inputs: Any, training: Any = None, mask: Any = None) -> Any:
    frozen = mask is not None or not layer.trainable or len(inputs.shape) != 4
    if frozen or not conditions.fast_path_applies(inputs, training):
        return plain(layer, inputs, training=training, mask=mask)
    import tensorflow as tf

    channels = inputs.shape[-1]
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs,
        scale=tf.ones(channels) if layer.gamma is None else layer.gamma.value,
        offset=tf.zeros(channels) if layer.beta is None else layer.beta.value,
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=layer.epsilon,
        is_training=True,
    )
    # The variance that it returns, unlike the one that it scales by, is divided by one less
    # than the number of values; Keras keeps the plain one.
    values = inputs.shape.num_elements()
    count = tf.size(inputs) // channels if values is None else values // channels
    variance *= 1.0 - 1.0 / tf.cast(count, "float32")
    for kept, found in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        kept.value.assign_sub((kept.value - found) * (1.0 - layer.momentum))
    return outputs
