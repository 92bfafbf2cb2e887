"""A setting of a space as YAML has it: one value, or a mapping with `choice`, `int` or `float`."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any

from hypermodels.knobs import (
    UNTUNABLE,
    Choice,
    Domain,
    FloatRange,
    IdleError,
    IntRange,
    Knob,
    KnobError,
    Setting,
    Value,
    accept_setting,
    as_written,
)
from search.errors import did_you_mean
from search.space.yaml_nodes import Node

_BESIDE: dict[str, tuple[str, ...]] = {"choice": (), "int": ("step",), "float": ("sampling",)}
"""The keys of a domain, and those that may stand beside each."""


def read_setting(knob: Knob, node: Node) -> Setting:
    """What a knob is set to or tuned over.

    Raises:
        KnobError: If the knob cannot take it, with where in the node it is wrong.
    """
    if not isinstance(node.value, dict) or not knob.tunable:
        return read_value(knob, node)
    setting = accept_setting(knob, _domain(node.plain()))
    if not isinstance(setting, Choice):
        return setting
    twice = sorted(str(value) for value, count in Counter(setting.values).items() if count > 1)
    if twice:
        raise KnobError(f"choice has {twice[0]} twice", ("choice",))
    return setting if len(setting.values) > 1 else setting.default


def read_value(knob: Knob, node: Node) -> Value:
    """What a knob that cannot be tuned is set to; see `read_setting`."""
    if isinstance(node.value, dict) and node.value.keys() & _BESIDE.keys():
        raise KnobError(UNTUNABLE)
    return knob.accept(node.plain())


def _domain(content: dict[str, Any]) -> Domain:
    """The domain that a mapping stands for, whatever its values are."""
    kinds = [key for key in content if key in _BESIDE]
    if len(kinds) != 1:
        raise KnobError(
            f"a tuned key has exactly one of choice, int or float. Received: {content!r}"
        )
    kind = kinds[0]
    for key in content:
        if key != kind and key not in _BESIDE[kind]:
            meant = did_you_mean(key, _BESIDE[kind])
            raise KnobError(f"unknown key beside {kind}{meant and '.'}{meant}", (key,))
    given = content.pop(kind)
    if kind == "choice":
        return Choice(given)
    if not isinstance(given, list) or len(given) != 2:
        raise KnobError(f"{kind} takes [lowest, highest]. Received: {as_written(given)}", (kind,))
    return IntRange(*given, **content) if kind == "int" else FloatRange(*given, **content)


def advice(knob: Knob, error: KnobError, node: Node) -> str:
    """What may help with a value that a knob does not take, as a sentence after the error's."""
    if isinstance(error, IdleError) or (error.location and isinstance(error.location[-1], str)):
        return ""  # it is not about one value
    received = node.plain()
    words = [str(choice) for choice in knob.choices]
    if isinstance(received, list) and knob.tunable and _all_taken(knob, received):
        return f" To search over several values, write {{choice: {as_written(received)}}}."
    if isinstance(received, str):
        return did_you_mean(received, words)
    if isinstance(received, bool) and node.written.lower() not in ("", "true", "false"):
        read = f" YAML reads {node.written} as {str(received).lower()}; if it is a name, put it in"
        return f"{read} quotes.{did_you_mean(node.written, words)}"
    return ""


def _all_taken(knob: Knob, values: list[Any]) -> bool:
    with contextlib.suppress(KnobError):
        return bool([knob.accept(value) for value in values])
    return False
