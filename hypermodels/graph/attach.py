"""Puts layers into any functional Keras model.

The graph is rebuilt layer by layer with `keras.models.clone_model`; where a tap is
reached, an attention layer is called on the tensor that passes. Every layer of the new
model is a fresh one whose initial weights are derived from the seed and its name (sharing
layers would leave `get_layer(name).output` pointing into the old graph).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import keras

from hypermodels.errors import PlacementError
from hypermodels.graph.remake import made_anew
from hypermodels.graph.taps import Tap
from hypermodels.graph.weights import copy_layer, copy_statistics
from hypermodels.seeds import drawn_from


def attach(
    model: keras.Model,
    attention: Mapping[Tap, keras.layers.Layer | None],
    *,
    seed: int,
    copy_weights: bool = False,
    except_for: Collection[str] = (),
) -> keras.Model:
    """Rebuilds a functional model with layers at the given taps.

    Args:
        model: Functional `keras.Model`. It is left as it is.
        attention: Mapping from each tap to the layer to call there. `None` inserts nothing;
            at a tap of side `"instead"` it takes the tapped layer out.
        seed: Integer; every layer's initial weights are derived from it and from the
            layer's name.
        copy_weights: Boolean. If `True`, weights are copied from `model` by layer name
            (a pretrained network), and only the given layers start anew. What `Normalization`
            layers know of the data is copied in any case.
        except_for: Names of layers whose weights are not copied.

    Returns:
        A new functional model; with an empty mapping, a re-seeded copy.

    Raises:
        PlacementError: If the model is not functional, a tap's layer is not in it, or a
            tap was not passed exactly once.
    """
    if not hasattr(model, "operations") or not getattr(model, "_functional", True):
        raise PlacementError(
            f"attention is placed into functional Keras models. Received: a "
            f"{type(model).__name__}. Build it with keras.Model(inputs, outputs)."
        )
    names = {layer.name for layer in model.layers}
    missing = sorted({tap.layer for tap in attention} - names)
    if missing:
        raise PlacementError(
            f"the model {model.name!r} has no layer called {', '.join(missing)}. "
            f"It has {len(names)} layers, such as {', '.join(sorted(names)[:5])}."
        )
    passed: Counter[Tap] = Counter()
    clones: dict[str, Any] = {}

    def gated(tap: Tap, tensor: Any) -> Any:
        if tap not in attention:
            return tensor
        passed[tap] += 1
        layer = attention[tap]
        return tensor if layer is None else layer(tensor)

    def clone(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.Layer):
            return layer  # an operation such as `x + y`: it has no weights
        if layer.name not in clones:  # a layer that is called twice stays one layer
            clones[layer.name] = made_anew(layer, name=layer.name, seed=seed)
        return clones[layer.name]

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        several = bool(args) and isinstance(args[0], list | tuple)
        tensors = list(args[0]) if several else list(args[:1])
        for index in range(len(tensors)):
            tensors[index] = gated(Tap(layer.name, "input", index), tensors[index])
            instead = Tap(layer.name, "instead", index)
            if instead in attention:
                return gated(instead, tensors[index])
        args = (type(args[0])(tensors), *args[1:]) if several else (*tensors, *args[1:])
        with drawn_from(seed, layer.name):  # the layer makes its weights here
            outputs = layer(*args, **kwargs)
        return gated(Tap(layer.name, "output"), outputs)

    rebuilt = keras.models.clone_model(model, clone_function=clone, call_function=call)
    wrong = {tap: passed[tap] for tap in attention if passed[tap] != 1}
    if wrong:
        details = ", ".join(
            f"{tap.side} {tap.index} of {tap.layer} {count} times" for tap, count in wrong.items()
        )
        raise PlacementError(
            f"every site must be passed exactly once, but the model passes {details}."
        )
    copy = copy_layer if copy_weights else copy_statistics
    kept = {layer.name for layer in rebuilt.layers} - set(except_for)
    for layer in model.layers:
        if layer.weights and layer.name in kept:
            copy(layer, rebuilt.get_layer(layer.name))
    return rebuilt
