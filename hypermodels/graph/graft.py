"""Grafts a functional Keras model onto a tensor, so that the whole stays one flat graph.

This is how a network of `keras.applications` becomes the body of a backbone: every layer
is made anew and called on our tensors. What Keras named by itself (`conv2d_17`, numbered
by a counter of the whole process) is renamed by its place in the model alone, because
initial weights, sites and weight files go by layer names.

A model inside the model stays one layer: names within it are Keras's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras

from hypermodels.errors import BackboneError, reason_of
from hypermodels.graph.passing import passed_through
from hypermodels.graph.remake import made_anew
from hypermodels.graph.weights import copy_layer


def canonical_names(model: keras.Model) -> dict[str, str]:
    """Names of a model's operations that do not depend on what was built before it.

    Args:
        model: Functional `keras.Model`.

    Returns:
        A dict from the name of every layer but the input, and of every bare operation such
        as `x + y`, to the one it is grafted under, in the model's order: a name that Keras
        gave becomes `<class>_<place>` (`conv2d_001`, counted from 1 among those of its
        class); one that a person gave stays as it is.
    """
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for operation in model.operations:
        if isinstance(operation, keras.layers.InputLayer):
            continue
        kind = _snake_case(type(operation).__name__)
        name = operation.name
        if re.fullmatch(rf"{kind}(_\d+)?", name):
            seen[kind] += 1
            name = f"{kind}_{seen[kind]:03d}"
        names[operation.name] = name
    return names


def graft(
    model: keras.Model,
    inputs: Any,
    *,
    changed: Mapping[str, Mapping[str, Any]] | None = None,
    dropped: Collection[str] = (),
    joined: Mapping[str, Collection[str]] | None = None,
    replaced: Mapping[str, Callable[[Any], Any]] | None = None,
) -> Any:
    """Applies a functional model's layers, made anew, to a tensor.

    Args:
        model: Functional `keras.Model` with one input and one output. It is left as it
            is, and its weights are not copied.
        inputs: Keras tensor that takes the place of the model's input; its height and
            width need not be those that the model was made for.
        changed: Mapping from canonical names to config entries that replace the layer's
            own (`{"conv2d_001": {"strides": 1}}`).
        dropped: Canonical names of layers that are left out: what they take is passed on.
        joined: Mapping from a new name to the canonical names of layers that take the same
            one tensor: an identity layer of that name goes before them, so that there is
            one place through which all of a block's branches are reached.
        replaced: Mapping from canonical names to what is called on the layer's input (a
            list, where it takes several) in its place.

    Returns:
        The output tensor.

    Raises:
        BackboneError: If the model is not functional with one input and one output, or a
            name in the other arguments is none of its layers', or joined layers take
            different tensors.
    """
    _check_single(model)
    changes, instead = changed or {}, replaced or {}
    names = canonical_names(model)
    known = list(names.values())
    entrance = {name: join for join, heads in (joined or {}).items() for name in heads}
    unknown = sorted({*changes, *dropped, *entrance, *instead} - set(known))
    if unknown:
        raise BackboneError(
            f"the model {model.name!r} has no layer called {', '.join(unknown)}. "
            f"It has {len(known)}, such as {', '.join(known[:5])}."
        )
    made: dict[int, str] = {}
    joins: dict[str, tuple[Any, Any]] = {}

    def make(operation: Any) -> Any:
        name = names[operation.name]
        fresh = made_anew(operation, name=name, changed=changes.get(name))
        made[id(fresh)] = name
        return fresh

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        name = made[id(operation)]
        if name in entrance:
            join, tensor = entrance[name], args[0]
            if join not in joins:
                joins[join] = tensor, keras.layers.Identity(name=join)(tensor)
            if joins[join][0] is not tensor:
                raise BackboneError(
                    f"the layers that {join!r} joins must take one tensor. Received: "
                    f"{', '.join((joined or {})[join])} of the model {model.name!r}."
                )
            args = (joins[join][1], *args[1:])
        if name in instead:
            return instead[name](args[0])
        return args[0] if name in dropped else _called(operation, args, kwargs)

    return passed_through(model, inputs, make, call)


def copy_weights(
    source: keras.Model, target: keras.Model, *, except_for: Collection[str] = ()
) -> tuple[str, ...]:
    """Copies the weights of a model to a network into which it was grafted.

    Args:
        source: The functional model that was grafted.
        target: The network, which has its layers under their canonical names.
        except_for: Canonical names of layers that keep the weights they have.

    Returns:
        The canonical names of the layers whose weights were copied.
    """
    there = {layer.name: layer for layer in target.layers}
    names = canonical_names(source)
    copied = []
    for layer in source.layers:
        name = names.get(layer.name, "")
        if layer.weights and name in there and name not in except_for:
            copy_layer(layer, there[name])
            copied.append(name)
    return tuple(copied)


def bn_momentum_overrides(model: keras.Model) -> dict[str, dict[str, Any]]:
    """The changes that make every batch norm's statistics usable after a short epoch.

    See `backbones/blocks.py`: with the momentum of 0.99 that `keras.applications` has, the
    validation scores of a first rung are noise.
    """
    names = canonical_names(model)
    return {
        names[layer.name]: {"momentum": 0.9}
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def _called(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return operation(*args, **kwargs)
    except Exception as error:  # the layer may be of a person's own class
        raise BackboneError(
            f"the layer {operation.name} (class {type(operation).__name__}) cannot be called on "
            f"what it takes: {reason_of(error)}"
        ) from error


def _check_single(model: keras.Model) -> None:
    """Refuses a model that is not functional with one input and one output."""
    functional = hasattr(model, "operations") and not isinstance(model, keras.Sequential)
    if not functional or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise BackboneError(
            "only a functional Keras model with one input and one output can be a backbone. "
            f"Received: a {type(model).__name__} called {model.name!r}. "
            "Build it with keras.Model(inputs, outputs)."
        )


def _snake_case(name: str) -> str:
    """What Keras makes of a class's name when it names its instances."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
