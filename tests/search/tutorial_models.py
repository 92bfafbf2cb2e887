"""Ten networks the way tutorials and guides write them, each with something of its own.

A test copies this file into a person's folder, where it is `their_models.py`. All are small,
for images of 32x32, and none knows of this package.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops
from keras.applications.mobilenet_v2 import preprocess_input

Shape = tuple[int, int, int]


def augmentation(input_shape: Shape, classes: int) -> keras.Model:
    """Image classification from scratch: a `Sequential` of augmentation in front."""
    augment = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomContrast(0.2)]
    )
    inputs = keras.Input(input_shape)
    x = layers.Rescaling(1.0 / 255)(augment(inputs))
    for filters in (8, 16):
        x = layers.Conv2D(filters, 3, strides=2, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    x = layers.Dropout(0.5)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def transfer(input_shape: Shape, classes: int) -> keras.Model:
    """Transfer learning: a frozen base with weights of its own, a new head."""
    base = keras.applications.MobileNetV3Small(
        input_shape=input_shape, include_top=False, weights=None, include_preprocessing=False
    )
    base.trainable = False
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D()(base(inputs, training=False))
    x = layers.Dropout(0.2)(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def efficient(input_shape: Shape, classes: int) -> keras.Model:
    """EfficientNet, which scales and normalizes its images itself."""
    base = keras.applications.EfficientNetB0(
        input_shape=input_shape, include_top=False, weights=None
    )
    cut = keras.Model(base.input, base.get_layer("block3a_expand_activation").output)
    inputs = keras.Input(input_shape)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(cut(inputs))
    return keras.Model(inputs, layers.Dense(classes, activation="softmax", name="pred")(x))


def with_lambda(input_shape: Shape, classes: int) -> keras.Model:
    """Preprocessing by a function in a `Lambda`, and a small one of the person's own."""
    inputs = keras.Input(input_shape)
    x = layers.Lambda(preprocess_input, name="preprocessing")(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Lambda(lambda t: t * ops.sigmoid(t))(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


@keras.saving.register_keras_serializable(package="their_models")
class LayerScale(layers.Layer):
    """As in ConvNeXt: a learnt factor for each channel; draws in `build` as people do."""

    def __init__(self, init_values: float, projection_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_values = init_values
        self.projection_dim = projection_dim
        self.mix = layers.Dense(projection_dim)

    def build(self, input_shape: Any) -> None:
        self.gamma = self.add_weight(
            shape=(self.projection_dim,), initializer="random_normal", trainable=True
        )
        self.mix.build(input_shape)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            x = x + keras.random.normal(ops.shape(x), stddev=0.01)
        return x + self.mix(x) * (self.init_values + self.gamma)

    def get_config(self) -> dict[str, Any]:
        own = {"init_values": self.init_values, "projection_dim": self.projection_dim}
        return {**super().get_config(), **own}


def custom_layer(input_shape: Shape, classes: int) -> keras.Model:
    """A registered layer, with a layer inside and noise while it trains."""
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(16, 4, strides=4)(inputs)
    x = LayerScale(0.1, 16)(x)
    x = layers.LayerNormalization(epsilon=1e-6)(x)
    x = layers.DepthwiseConv2D(5, padding="same", activation="gelu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def branches(input_shape: Shape, classes: int) -> keras.Model:
    """Several branches, joined, with a shortcut written as `+`."""
    inputs = keras.Input(input_shape)
    stem = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(inputs)
    one = layers.Conv2D(4, 1, padding="same", activation="relu")(stem)
    three = layers.Conv2D(4, 3, padding="same", activation="relu")(stem)
    pool = layers.Conv2D(4, 1)(layers.MaxPooling2D(3, strides=1, padding="same")(stem))
    x = layers.Concatenate(name="mixed")([one, three, pool]) + stem
    x = ops.relu(x)
    x = layers.SeparableConv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def recurrent(input_shape: Shape, classes: int) -> keras.Model:
    """Convolutions, then the columns of the map one after the other."""
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.TimeDistributed(layers.Flatten())(x)
    x = layers.Bidirectional(layers.GRU(8, dropout=0.1))(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def unet_encoder(input_shape: Shape, classes: int) -> keras.Model:
    """The contracting half of a U-Net, all its levels pooled into the head."""

    def block(x: Any, filters: int) -> Any:
        for _ in range(2):
            x = layers.Conv2D(filters, 3, padding="same", kernel_initializer="he_normal")(x)
            x = layers.BatchNormalization()(x)
            x = layers.LeakyReLU(negative_slope=0.1)(x)
        return x

    inputs = keras.Input(input_shape)
    x, levels = inputs, []
    for filters in (4, 8, 16):
        x = block(x, filters)
        levels.append(layers.GlobalAveragePooling2D()(x))
        x = layers.MaxPooling2D()(x)
    x = layers.Concatenate()(levels)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def mixed_precision(input_shape: Shape, classes: int) -> keras.Model:
    """The policy is set in the function, for the whole program, as the guide does."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(classes)(x)
    return keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x))


def constraints(input_shape: Shape, classes: int) -> keras.Model:
    """Weights under constraints and penalties."""
    settings: dict[str, Any] = {
        "kernel_constraint": keras.constraints.MaxNorm(0.5, axis=(0, 1, 2)),
        "kernel_regularizer": keras.regularizers.L2(1e-3),
        "padding": "same",
        "strides": 2,
        "activation": "relu",
    }
    inputs = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, name="held", **settings)(inputs)
    x = layers.Conv2D(16, 3, bias_constraint="non_neg", **settings)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(16, activation="relu", activity_regularizer="l1")(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))
