"""Networks with layers and functions of a person's own; some are not what they seem."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

Shape = tuple[int, int, int]


def own_activation(x: Any) -> Any:
    return ops.tanh(x) + 0.1 * x


def relu(x: Any) -> Any:
    """Has the name of one of Keras's, and is another."""
    return ops.maximum(x, 0.5)


class Scale(layers.Layer):
    """No `get_config`, and a constructor that takes nothing but what it needs."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def call(self, x: Any) -> Any:
        return x * self.by


class Inner(layers.Layer):
    """Makes a layer in its constructor, and weights of its own in `build`."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units)

    def build(self, shape: Any) -> None:
        self.dense.build(shape)
        self.tilt = self.add_weight(shape=(self.units,), initializer="random_normal")
        self.shift = self.add_weight(
            shape=(self.units,),
            initializer=lambda shape, dtype: ops.convert_to_tensor(
                [random.random() + np.random.rand() for _ in range(shape[0])], dtype
            ),
        )

    def call(self, x: Any) -> Any:
        return self.dense(x) * (1 + self.tilt) + self.shift

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


class Forgetful(layers.Layer):
    """Its `get_config` leaves out what it was made with."""

    def __init__(self, by: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.by = by

    def call(self, x: Any) -> Any:
        return x * self.by

    def get_config(self) -> dict[str, Any]:
        return super().get_config()


class TakesAFunction(layers.Layer):
    """Made with something that is no plain value, and without a config."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


class ForgetfulDropout(layers.Layer):
    """Its `get_config` leaves out what shows only while it trains."""

    def __init__(self, rate: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout = layers.Dropout(rate)

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.dropout(x, training=training)

    def get_config(self) -> dict[str, Any]:
        return super().get_config()


class OwnVariable(layers.Layer):
    """Keeps a number where Keras does not find it."""

    def __init__(self, **kwargs: Any) -> None:
        import tensorflow as tf

        super().__init__(**kwargs)
        self.mean = tf.Variable(0.0, trainable=False)

    def call(self, x: Any, training: bool | None = None) -> Any:
        if training:
            self.mean.assign(0.5 * self.mean + keras.ops.mean(x))
        return x * (1.0 + self.mean)


class OwnGenerator(layers.Layer):
    """Draws with a generator of TensorFlow's."""

    def __init__(self, **kwargs: Any) -> None:
        import tensorflow as tf

        super().__init__(**kwargs)
        self.generator = tf.random.Generator.from_seed(1)

    def call(self, x: Any, training: bool | None = None) -> Any:
        return x + self.generator.normal(ops.shape(x)) if training else x


class Augmenting(layers.Layer):
    """Augmentation layers within a layer that does not ask whether it trains."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.flip = layers.RandomFlip("horizontal")
        self.turn = layers.RandomRotation(0.2)

    def call(self, x: Any) -> Any:
        return self.turn(self.flip(x))


class Unseeded(layers.Layer):
    """Draws with Keras, without a generator of its own, while it trains."""

    def call(self, x: Any, training: bool | None = None) -> Any:
        return x + keras.random.normal(ops.shape(x)) if training else x


class Noise(layers.Layer):
    """Draws whether it trains or not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(3)

    def call(self, x: Any) -> Any:
        return x + keras.random.normal(ops.shape(x), seed=self.generator)


class TensorFlowNoise(layers.Layer):
    """Draws with TensorFlow, while it trains."""

    def call(self, x: Any, training: bool = False) -> Any:
        import tensorflow as tf

        return x + tf.random.normal(tf.shape(x)) if training else x


def network(
    middle: Callable[[Any], Any] = lambda x: x,
    end: Callable[[Any, int], Any] | None = None,
    first: Callable[[Any], Any] = lambda x: x,
) -> Callable[[Shape, int], keras.Model]:
    """A function that builds a small network with something in its place."""

    def function(input_shape: Shape, classes: int) -> keras.Model:
        inputs = keras.Input(input_shape)
        x = layers.Conv2D(8, 3, strides=2, padding="same", name="conv")(first(inputs))
        x = layers.GlobalAveragePooling2D()(middle(x))
        finish = end or (lambda x, classes: layers.Dense(classes, activation="softmax")(x))
        return keras.Model(inputs, finish(x, classes))

    return function


def _nested(x: Any) -> Any:
    """A model in a model in a model, with what no config can carry at the bottom."""
    shape = x.shape[1:]
    bottom = keras.Sequential([Scale(0.5), layers.Lambda(lambda t: t + 1.0), Inner(8)])
    inner = keras.Input(shape)
    middle = keras.Model(inner, bottom(layers.Conv2D(8, 1, activation=own_activation)(inner)))
    return middle(x)


def _frozen(x: Any) -> Any:
    layer = layers.Conv2D(8, 1, name="held", trainable=False)
    return layer(x)


def _frozen_within(x: Any) -> Any:
    inner = keras.Input(x.shape[1:])
    model = keras.Model(inner, layers.Conv2D(8, 1, name="held_within")(inner))
    model.trainable = False
    return model(x)


def _through_python(x: Any) -> Any:
    import tensorflow as tf

    doubled = tf.numpy_function(lambda array: array * 2, [x], tf.float32)
    return tf.ensure_shape(doubled, x.shape)


# ---- that work --------------------------------------------------------------------------------

unregistered = network(Inner(8))
without_config = network(Scale(0.5))
activation = network(layers.Conv2D(8, 1, activation=own_activation))
borrowed_name = network(layers.Conv2D(8, 1, activation=relu))
function_layer = network(layers.Lambda(own_activation))
closure = network(layers.Lambda(lambda x, by=3.0: x * by + np.pi))
nested = network(_nested)
time_distributed = network(layers.TimeDistributed(Inner(8)))
wrapped = network(lambda x: layers.Activation(own_activation)(x) + x)
own_softmax = network(
    end=lambda x, classes: layers.Dense(classes, activation=lambda t: ops.softmax(t * 2))(x)
)
normalizer = network(
    end=lambda x, classes: layers.Lambda(lambda t: t / ops.sum(t, axis=-1, keepdims=True))(
        layers.Dense(classes, activation="sigmoid")(x)
    )
)
custom_initializer = network(
    layers.Conv2D(
        8,
        1,
        kernel_initializer=lambda shape, dtype: ops.ones(shape, dtype) * 0.1,
        kernel_regularizer=lambda kernel: 0.01 * ops.sum(ops.square(kernel)),
        activation=lambda x: ops.leaky_relu(x, 0.3),
    )
)

augments_within = network(first=Augmenting())
unseeded_noise = network(Unseeded())

# ---- that are refused -----------------------------------------------------------------------

forgetful = network(Forgetful(3.0))
forgetful_dropout = network(ForgetfulDropout(0.9))
own_variable = network(OwnVariable())
own_generator = network(OwnGenerator())
mixes_images = network(lambda x: x - ops.mean(x, axis=0, keepdims=True))


def ends_the_program(input_shape: Shape, classes: int) -> keras.Model:
    raise SystemExit("usage: train.py DATA")


a_model = network()((16, 16, 3), 5)
takes_a_function = network(TakesAFunction(own_activation))
noisy = network(Noise())
tensorflow_noise = network(TensorFlowNoise())
python_function = network(
    lambda x: layers.Lambda(_through_python, output_shape=x.shape[1:], name="doubled")(x)
)
relu_scores = network(end=lambda x, classes: layers.ReLU()(layers.Dense(classes)(x)))
sigmoid_scores = network(
    end=lambda x, classes: layers.Lambda(ops.sigmoid)(layers.Dense(classes)(x))
)
not_a_number = network(
    end=lambda x, classes: layers.Lambda(lambda t: ops.log(t - 1e9))(layers.Dense(classes)(x))
)
frozen = network(_frozen)
frozen_within = network(_frozen_within)
half = network(lambda x: layers.Conv2D(8, 1, dtype="mixed_float16", name="half")(x))
narrow = network(lambda x: layers.Conv2D(8, 1, dtype="bfloat16", name="narrow")(x))

# ---- of which something is said -----------------------------------------------------------------

rescaled = network(first=layers.Rescaling(1 / 255))
standardized = network(first=layers.Normalization(mean=0.5, variance=0.1))
rescaled_within = network(first=keras.Sequential([layers.Rescaling(1 / 255)]))
