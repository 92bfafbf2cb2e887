"""Makes a layer anew: the same class with the same settings, and weights of its own.

Keras makes a layer anew from its config, and a config carries names: of classes, of
functions. A person's own class or function is known to the network that holds it and
perhaps to nobody else. So whatever a layer holds is offered to Keras under its name, and
what a config cannot carry (the function of a `Lambda`, an activation that has the name of
one of Keras's) is handed from the old layer to the new one.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from hypermodels.errors import BackboneError, reason_of
from hypermodels.seeds import derive_seed, drawn_from, seeded

_DEPTH = 5
"""How deep a layer's attributes are searched for a person's own classes and functions."""

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
_PLAIN: Mapping[str, Any] = {
    "activation": keras.activations.linear,
    "initializer": keras.initializers.Zeros(),
    "regularizer": None,
    "constraint": None,
}
"""What stands for a function without a name while a config is made, by the attribute's end."""

_GRAPH_LINKS = ("_inbound_nodes", "_outbound_nodes")
"""Attributes that lead from a layer to the rest of its graph."""


def made_anew(
    operation: Any, *, name: str, seed: int | None = None, changed: Mapping[str, Any] | None = None
) -> Any:
    """Makes a layer or a bare operation of a functional graph anew.

    Args:
        operation: A `keras.Layer`, a model that is used as one, or an operation.
        name: The new layer's name.
        seed: Integer; every seed in the layer's config is derived from it and the name,
            and so is what its class draws without one. `None` leaves both as they are.
        changed: Config entries that replace the layer's own.

    Returns:
        The new layer. A functional or sequential model is made anew layer by layer.

    Raises:
        BackboneError: If the layer cannot be made anew; the message names it and says
            what its class lacks.
    """
    try:
        # Layers within a layer take their seeds while it is made.
        with contextlib.nullcontext() if seed is None else drawn_from(seed, name, "made"):
            if _is_graph(operation):
                return _graph_anew(operation, name, seed)
            if isinstance(operation, keras.layers.Lambda):
                return _lambda_anew(operation, name)
            return _operation_anew(operation, name, seed, changed or {})
    except BackboneError:
        raise
    except Exception as error:  # a person's class raises whatever it likes
        raise BackboneError(
            f"the layer {operation.name} (class {type(operation).__name__}) cannot be made "
            f"anew, which every trial does: {reason_of(error)}. Give the class a "
            "get_config() that returns what its __init__ takes, and let __init__ pass **kwargs "
            "on to its base"
        ) from error


def objects_of(operation: Any) -> dict[str, Any]:
    """The classes and functions in a layer or a model that are not Keras's, by name.

    Returns:
        A dict as `keras.saving.custom_object_scope` takes it.
    """
    found: dict[str, Any] = {}
    for held in _held_by(operation, _DEPTH, set()):
        found.setdefault(held.__name__, held)
    return found


def _is_graph(operation: Any) -> bool:
    """Whether an operation is a model that is nothing but its layers."""
    kind = type(operation)
    return kind.__name__ in ("Functional", "Sequential") and kind.__module__.startswith("keras.")


def _graph_anew(model: Any, name: str, seed: int | None) -> Any:
    # Names within a model are the person's or Keras's own, and stay.
    inner = None if seed is None else derive_seed(seed, name)
    fresh = keras.models.clone_model(
        model, clone_function=lambda layer: made_anew(layer, name=layer.name, seed=inner)
    )
    fresh.name = name
    if not model.trainable:
        fresh.trainable = False
    return fresh


def _lambda_anew(layer: Any, name: str) -> Any:
    return type(layer)(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        name=name,
        dtype=layer.dtype_policy,
    )


def _operation_anew(
    operation: Any, name: str, seed: int | None, changed: Mapping[str, Any]
) -> Any:
    with keras.saving.custom_object_scope(objects_of(operation)):
        try:
            config = {**_config_without_lambdas(operation), **changed}
            fresh = _from_config(operation, _reseeded(config, seed, name), name)
        except Exception:
            if changed or not _has_constructor_arguments(operation):
                raise
            fresh = _from_constructor(operation, name, seed)
    _check_settings(operation, fresh)
    _hand_on(operation, fresh)
    return fresh


_NO_SETTINGS = ("name", "trainable", "dtype", "seed", "activity_regularizer")


def _check_settings(old: Any, new: Any) -> None:
    """Refuses a layer that was made with other settings than the one it stands for.

    Keras notes what a layer is made with, where that is plain values.
    """
    then, now = (
        getattr(getattr(each, "_auto_config", None), "config", None) for each in (old, new)
    )
    if _is_of_keras(type(old)) or then is None or now is None:
        return
    lost = [
        f"{key} is {now[key]!r} instead of {value!r}"
        for key, value in then.items()
        if key not in _NO_SETTINGS and key in now and now[key] != value
    ]
    if lost:
        raise BackboneError(
            f"the layer {old.name} (class {type(old).__name__}) is made anew with other settings "
            f"({', '.join(lost)}): its get_config() leaves them out. Have get_config() return "
            "all that __init__ takes"
        )


def _config_without_lambdas(operation: Any) -> dict[str, Any]:
    """A layer's config with something plain where it holds a function without a name."""
    held = {
        key: each
        for key, each in _attributes(operation)
        if isinstance(each, types.FunctionType)
        and each.__name__ == "<lambda>"
        and key.rpartition("_")[2] in _PLAIN
    }
    try:
        for key in held:
            setattr(operation, key, _PLAIN[key.rpartition("_")[2]])
        return dict(operation.get_config())
    finally:
        for key, each in held.items():
            setattr(operation, key, each)


def _reseeded(config: dict[str, Any], seed: int | None, name: str) -> dict[str, Any]:
    return config if seed is None else dict(seeded(config, seed, name))


def _from_config(operation: Any, config: dict[str, Any], name: str) -> Any:
    # Not every bare operation takes a name; its own config says whether it does.
    if isinstance(operation, keras.layers.Layer) or "name" in config:
        return type(operation).from_config({**config, "name": name})
    fresh = type(operation).from_config(config)
    fresh.name = name
    return fresh


def _has_constructor_arguments(operation: Any) -> bool:
    """Whether Keras took note of what a layer was made with: plain values alone."""
    return getattr(operation, "_auto_config", None) is not None


def _from_constructor(layer: Any, name: str, seed: int | None) -> Any:
    """A layer whose class has no usable config: made as it was made the first time."""
    fresh = type(layer)(**_reseeded(dict(layer._auto_config.config), seed, name))
    fresh.name = name
    if isinstance(layer, keras.layers.Layer):
        fresh.dtype_policy = layer.dtype_policy
        fresh.trainable = layer.trainable
    return fresh


def _hand_on(old: Any, new: Any) -> None:
    """Gives `new` the functions of `old` that went by the name of another in the config."""
    for key, held in _attributes(old):
        got = vars(new).get(key)
        # A function that the class's own code makes is another object with the same code,
        # and belongs to its layer.
        own = getattr(got, "__code__", None) is getattr(held, "__code__", held)
        if isinstance(held, _FUNCTIONS) and key in vars(new) and got is not held and not own:
            setattr(new, key, held)


def _held_by(held: Any, depth: int, seen: set[int]) -> Iterator[Any]:
    """Yields the classes and functions of others that an object holds."""
    if depth < 0 or id(held) in seen:
        return
    seen.add(id(held))
    if isinstance(held, _FUNCTIONS):
        if not _is_of_keras(held):
            yield held
    elif isinstance(held, dict):
        for each in held.values():
            yield from _held_by(each, depth - 1, seen)
    elif isinstance(held, list | tuple):
        for each in held:
            yield from _held_by(each, depth, seen)
    elif hasattr(held, "get_config") and not isinstance(held, type):
        if not _is_of_keras(type(held)):
            yield type(held)
        for _, each in _attributes(held):
            yield from _held_by(each, depth - 1, seen)


def _attributes(held: Any) -> Iterator[tuple[str, Any]]:
    """What an object was given: not its methods, which Keras wraps, nor its neighbors."""
    for key, each in list(vars(held).items()):
        if key not in _GRAPH_LINKS and not callable(getattr(type(held), key, None)):
            yield key, each


def _is_of_keras(held: Any) -> bool:
    root = str(getattr(held, "__module__", None) or "").partition(".")[0]
    return root in ("keras", "hypermodels")
