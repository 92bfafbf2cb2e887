"""Copying weights from layer to layer, the statistics of `Normalization` included.

`keras.layers.Normalization` computes with constants that it makes of its weights when they
are adapted or loaded from a file; `set_weights` alone leaves the old ones in use.
"""

from __future__ import annotations

import keras


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
