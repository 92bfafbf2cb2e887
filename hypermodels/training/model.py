"""The model that is trained: a network at its recipe's precision, compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

from hypermodels.image import ImageSpec
from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model


def training_model(
    configuration: Configuration, image: ImageSpec, budget: Budget, *, seed: int
) -> keras.Model:
    """Builds and compiles the model of a configuration.

    Args:
        configuration: The `Configuration`.
        image: The `ImageSpec`.
        budget: The `Budget` over which the learning rate schedule is stretched.
        seed: Integer, the search seed; see `build_network`.

    Returns:
        A compiled `keras.Model`. Its weights are `float32` at any precision, so they fit
        the network that `build_network` makes, which computes in `float32`.
    """
    with _precision(str(configuration.recipe["precision"])):
        model = build_network(configuration, image, seed=seed)
    compile_model(model, configuration.recipe, budget)
    return model


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    """Sets the dtype policy in the block; `float32` leaves Keras's own."""
    before = keras.config.dtype_policy()
    if name != "float32":
        keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
