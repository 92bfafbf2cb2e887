"""Passes a tensor through new copies of the layers of a functional Keras model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def passed_through(
    model: keras.Model, tensor: Any, make: Callable[[Any], Any], call: Callable[..., Any]
) -> Any:
    """Applies a functional model of one output, made anew, to a tensor.

    Args:
        model: Functional `keras.Model`; it is left as it is.
        tensor: Takes the place of the model's input.
        make: Makes a layer or a bare operation of the model anew.
        call: Called with what `make` gave and the arguments of its call in the model;
            gives what is passed on.

    Returns:
        The output tensor.
    """
    output = tensor

    def noted(operation: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal output  # the output's own call is the last, for there is but one output
        output = call(operation, *args, **kwargs)
        return output

    keras.models.clone_model(
        model,
        input_tensors=keras.tree.map_structure(lambda _: tensor, model.input),
        clone_function=make,
        call_function=noted,
    )
    return output
