"""Weights of layers: copied from one to another, or never drawn.

`keras.layers.Normalization` computes with constants that it makes of its weights when they
are adapted or loaded from a file; `set_weights` alone leaves the old ones in use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras

_WAITING = "uninitialized_variables"
"""Keras's own list of weights that are to be drawn later."""


@contextlib.contextmanager
def without_initial_values() -> Iterator[None]:
    """The weights of models that are built in the block have shapes and no values.

    Drawing them is most of what building a network costs, and the network that is then
    made of one (`placement.attach`) has weights of its own.
    """
    from keras.src.backend.common import global_state

    # Keras puts such weights down for later. It would draw them all in the next scope of
    # this kind that does give values, so what is put down here is taken back.
    waiting = list(global_state.get_global_attribute(_WAITING, []))
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(_WAITING, waiting)


def has_statistics(layer: keras.layers.Layer) -> bool:
    """Whether a layer is a `Normalization`, or has one within."""
    inner = layer.layers if isinstance(layer, keras.Model) else ()
    return isinstance(layer, keras.layers.Normalization) or any(map(has_statistics, inner))


def copy_layer(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Gives `target` the weights of `source`, a layer of the same configuration."""
    target.set_weights(source.get_weights())
    _refresh(target)


def copy_statistics(source: keras.layers.Layer, target: keras.layers.Layer) -> None:
    """Copies what `Normalization` layers know of the data: it is not drawn from a seed.

    Args:
        source: A layer, or a model with layers of its own.
        target: One of the same configuration.
    """
    if isinstance(source, keras.layers.Normalization):
        copy_layer(source, target)
    elif isinstance(source, keras.Model):
        for theirs, ours in zip(source.layers, target.layers, strict=True):
            copy_statistics(theirs, ours)


def _refresh(layer: keras.layers.Layer) -> None:
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()
    elif isinstance(layer, keras.Model):
        for each in layer.layers:
            _refresh(each)
