"""Networks as a person might write them, each wrong or odd in its own way, but the first."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

Shape = tuple[int, int, int]


def build(input_shape: Shape, classes: int) -> keras.Model:
    """Three stages with a residual block each, written with `x + y`."""
    inputs = keras.Input(input_shape)
    x = inputs
    for stage, filters in enumerate((8, 16, 24), 1):
        x = layers.Conv2D(filters, 3, strides=1 if stage == 1 else 2, padding="same")(x)
        shortcut = x
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.Conv2D(filters, 3, padding="same")(x)
        x = layers.ReLU(name=f"block{stage}_out")(x + shortcut)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def shared(input_shape: Shape, classes: int) -> keras.Model:
    """One convolution that is called twice."""
    inputs = keras.Input(input_shape)
    twice = layers.Conv2D(8, 3, padding="same", name="twice")
    x = layers.Conv2D(8, 1, name="first")(inputs)
    x = layers.ReLU(name="between")(twice(x))
    x = layers.ReLU(name="after")(twice(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def sequential(input_shape: Shape, classes: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(input_shape),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def sequential_without_input(input_shape: Shape, classes: int) -> keras.Model:
    return keras.Sequential(
        [
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(classes, activation="softmax"),
        ]
    )


def normalizes(input_shape: Shape, classes: int) -> keras.Model:
    """Knows the statistics of its images, which no seed gives."""
    inputs = keras.Input(input_shape)
    norm = layers.Normalization(name="norm")
    norm.build((None, *input_shape))
    mean, variance = np.array([100.0, 110.0, 120.0]), np.array([900.0, 1600.0, 2500.0])
    norm.set_weights([mean, variance, np.array(7)])
    norm.finalize_state()
    x = layers.Conv2D(8, 3, padding="same", name="conv")(norm(inputs))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def nested(input_shape: Shape, classes: int) -> keras.Model:
    """A network within a network, with statistics of its own."""
    inner = normalizes(input_shape, classes)
    maps = keras.Model(inner.input, inner.get_layer("conv").output, name="inner")
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(maps(inputs))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def gated(input_shape: Shape, classes: int) -> keras.Model:
    """With a gate of one position, and an input that is no image in the middle."""
    inputs = keras.Input(input_shape)
    x = layers.SeparableConv2D(8, 3, padding="same", name="conv")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(8, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    flat = layers.Dense(4 * 4 * 3)(layers.Flatten()(x))
    x = layers.Reshape((4, 4, 3), name="map")(flat)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


class Subclassed(keras.Model):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = layers.Conv2D(8, 3)
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(classes, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.dense(self.pool(self.conv(x)))


def subclassed(input_shape: Shape, classes: int) -> keras.Model:
    return Subclassed(classes)


def subclassed_and_built(input_shape: Shape, classes: int) -> keras.Model:
    model = Subclassed(classes)
    model.build((None, *input_shape))
    return model


def ending(tail: Any) -> Any:
    """A function whose network ends in some other way."""

    def function(input_shape: Shape, classes: int) -> keras.Model:
        inputs = keras.Input(input_shape)
        x = layers.Conv2D(8, 3, padding="same", name="conv")(inputs)
        return keras.Model(inputs, tail(x, classes))

    return function


def _pooled(x: Any) -> Any:
    return layers.GlobalAveragePooling2D()(x)


logits = ending(lambda x, classes: layers.Dense(classes, name="logits")(_pooled(x)))
passed_on = ending(
    lambda x, classes: layers.Activation("linear", dtype="float32")(
        layers.Dense(classes, activation="softmax")(_pooled(x))
    )
)
softmax_layer = ending(lambda x, classes: layers.Softmax()(layers.Dense(classes)(_pooled(x))))
one_class_more = ending(
    lambda x, classes: layers.Dense(classes + 1, activation="softmax")(_pooled(x))
)
no_classifier = ending(lambda x, classes: x)
two_outputs = ending(
    lambda x, classes: [layers.Dense(classes, activation="softmax")(_pooled(x)) for _ in range(2)]
)
taken_name = ending(
    lambda x, classes: layers.Dense(classes, activation="softmax")(
        _pooled(layers.ReLU(name="normalise")(x))
    )
)
own_name = ending(
    lambda x, classes: layers.Dense(classes, activation="softmax", name="scores")(_pooled(x))
)


def named_classes(input_shape: Shape, classes: int) -> keras.Model:
    """A classifier that has learnt something, under a name that others have too."""
    inputs = keras.Input(input_shape)
    dense = layers.Dense(classes, activation="softmax", name="classes")
    model = keras.Model(inputs, dense(_pooled(layers.Conv2D(8, 3, name="conv")(inputs))))
    dense.set_weights([dense.get_weights()[0], np.arange(1.0, classes + 1)])
    return model


def channels_first(input_shape: Shape, classes: int) -> keras.Model:
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, padding="same", data_format="channels_first", name="cf")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def raises(input_shape: Shape, classes: int) -> keras.Model:
    raise RuntimeError("no weights today")


def takes_nothing() -> keras.Model:
    return build((32, 32, 3), 10)


def gives_nothing(input_shape: Shape, classes: int) -> None:
    return None


NOT_A_FUNCTION = 3
