"""Compiles a function of tensors into a few loops, where the backend does not do so itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Has TensorFlow compile `function` with XLA; other backends call it as it is.

    On a CPU, TensorFlow runs one operation after the other, and each reads and writes a
    whole feature map. Compiled, a chain of them is one pass. What is compiled is shared by
    all layers whose maps have one shape, as it is a function of the process, not of a layer.

    Args:
        function: A function of tensors, with `keras.ops` alone; what is not a tensor among
            its arguments is fixed when it is compiled.
    """

    @functools.cache
    def made() -> Callable[..., Any]:
        if keras.config.backend() != "tensorflow":
            return function
        import tensorflow as tf

        jit: Callable[..., Any] = tf.function(function, jit_compile=True, autograph=False)
        return jit

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return made()(*args, **kwargs)

    return call
