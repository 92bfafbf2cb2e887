"""Keras and KerasTuner in the driver, without TensorFlow.

The driver needs KerasTuner's classes and Keras's symbolic shapes, never a tensor. Keras's
NumPy backend gives both in a second and 200 MB less than TensorFlow, but since 3.10 it
imports jax for a few operations (`nn.conv`, `math.fft`) that the driver does not use. Empty
stand-ins take its place for the import alone, whether jax is installed or not.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import types
from collections.abc import Iterator

from search.imports.scikit_learn import without_scikit_learn


def import_keras_without_tensorflow() -> None:
    """Imports `keras` and `keras_tuner` on the NumPy backend, unless `keras` is loaded.

    A program that has imported Keras on a backend of its own keeps it. The environment
    is left as it was, so that worker processes choose their own backend.
    """
    if "keras" in sys.modules:
        return
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "numpy"
    try:
        with _stand_in_for_jax(), without_scikit_learn():
            import keras  # noqa: F401
            import keras_tuner  # noqa: F401
        _forgo_tensorflow()
    finally:
        if before is None:
            del os.environ["KERAS_BACKEND"]
        else:
            os.environ["KERAS_BACKEND"] = before


def keras_backend() -> str:
    """The Keras backend of the workers: what Keras itself would choose in a new process."""
    chosen = os.environ.get("KERAS_BACKEND")
    if chosen:
        return chosen
    home = os.environ.get("KERAS_HOME") or os.path.join(os.path.expanduser("~"), ".keras")
    try:
        with open(os.path.join(home, "keras.json"), encoding="utf-8") as file:
            configured = json.load(file).get("backend")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
    return configured if isinstance(configured, str) and configured else "tensorflow"


def _forgo_tensorflow() -> None:
    """Tells Keras that there is no TensorFlow in this process.

    On any backend, Keras imports it as soon as a layer's config is written, only to see
    whether a value is one of its classes.
    """
    from keras.src.utils import module_utils

    module_utils.tensorflow._available = False


@contextlib.contextmanager
def _stand_in_for_jax() -> Iterator[None]:
    if "jax" in sys.modules:
        yield
        return
    jax = types.ModuleType("jax")
    lax = types.ModuleType("jax.lax")
    jax.lax = lax  # type: ignore[attr-defined]
    jax.monitoring = types.SimpleNamespace(record_scalar=None)  # type: ignore[attr-defined]
    jax_math = types.ModuleType("keras.src.backend.jax.math")
    jax_math.fft = jax_math.fft2 = None  # type: ignore[attr-defined]
    modules = {"jax": jax, "jax.lax": lax, jax_math.__name__: jax_math}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            sys.modules.pop(name, None)
