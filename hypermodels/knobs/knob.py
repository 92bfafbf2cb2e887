"""A knob: something that can be set, with what it can be set to.

A `Knob` is declared once, by the mechanism, backbone or recipe that owns it. Everything
else that speaks of it is made from that declaration: the validation of a space, its JSON
Schema, the KerasTuner hyperparameter, the column of the summary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Value = str | int | float | bool
Kind = Literal["choice", "integer", "number", "boolean", "text"]


class KnobError(ValueError):
    """A setting that a knob cannot take; the message says what it can take.

    Args:
        message: String, a sentence without its full stop.
        location: Where in the setting it is wrong, by the keys of a space: `("choice", 2)` is
            the third value on offer, `("step",)` the step, and nothing the whole.
        others: What else is wrong with the same setting.
    """

    def __init__(
        self,
        message: str,
        location: tuple[str | int, ...] = (),
        others: Sequence[KnobError] = (),
    ) -> None:
        super().__init__(message)
        self.location = location
        self.others = tuple(others)

    @property
    def key(self) -> str:
        """What follows the knob's path where a key beside the domain is wrong: `.step`."""
        beside = len(self.location) == 1 and self.location[0] not in ("choice", "int", "float")
        return f".{self.location[0]}" if beside else ""


class IdleError(KnobError):
    """A setting without effect: no chosen variant has the knob."""


@dataclass(frozen=True)
class Knob:
    """One setting that a space may fix or tune.

    Args:
        name: String, the key in the space, e.g. `"reduction_ratio"`.
        kind: `"choice"` (one of `choices`), `"integer"`, `"number"`, `"boolean"`, or
            `"text"` (whatever `check` lets pass).
        default: The value where the space says nothing.
        summary: String, one line for the schema and the docs.
        choices: Tuple of the values a `"choice"` knob knows.
        minimum: Least value of an `"integer"` or `"number"` knob.
        maximum: Greatest value of an `"integer"` or `"number"` knob.
        check: Callable that raises `KnobError` for a value that no bound can express
            (a depth that fits no formula), or `None`.
        normalize: Callable that turns what YAML gave into the knob's value (a list of
            stages into `"2,3"`), or `None`.
        tunable: Whether a space may tune it.
        label: String that stands before a value in a table (`"r="`); `None` is the name
            before a number and nothing before a word, which speaks for itself.
        forms: JSON Schemas of what a `"text"` knob takes, for editors.
        may_be_infeasible: Whether a value may fit no network on offer, so that each is tried.
        selects_sites: Whether it decides, with others, where attention goes.
        absent_unless_set: Whether configurations lack it where the space says nothing of it,
            as those of runs do that are older than the knob.
    """

    name: str
    kind: Kind
    default: Value
    summary: str
    choices: tuple[Value, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[Any], None] | None = field(default=None, compare=False)
    normalize: Callable[[Any], Any] | None = field(default=None, compare=False)
    tunable: bool = True
    label: str | None = None
    forms: tuple[Mapping[str, Any], ...] = field(default=(), compare=False)
    may_be_infeasible: bool = False
    selects_sites: bool = False
    absent_unless_set: bool = False

    def accept(self, received: Any) -> Value:
        """Returns `received` as this knob's value.

        Raises:
            KnobError: If the knob cannot take it.
        """
        value = self.normalize(received) if self.normalize else received
        if self.kind == "boolean":
            if not isinstance(value, bool):
                raise KnobError(f"expected true or false. Received: {as_written(received)}")
        elif self.kind == "choice":
            if isinstance(value, bool) or value not in self.choices:
                raise KnobError(
                    f"expected one of {join_values(self.choices)}. "
                    f"Received: {as_written(received)}"
                )
            value = self.choices[self.choices.index(value)]  # 7.0 is the choice 7
        elif self.kind != "text":
            value = self._accept_number(value, received)
        if self.check:
            self.check(value)
        accepted: Value = value
        return accepted

    def _accept_number(self, value: Any, received: Any) -> Value:
        if self.kind == "integer" and isinstance(value, float) and value.is_integer():
            value = int(value)  # 1e6 is a whole number
        types = (int,) if self.kind == "integer" else (int, float)
        # A whole number of any size is finite, and may be too large to be a float.
        known = isinstance(value, types) and not isinstance(value, bool)
        low, high = self.minimum, self.maximum
        if (
            not known
            or not (isinstance(value, int) or math.isfinite(value))
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            what = "a whole number" if self.kind == "integer" else "a number"
            raise KnobError(f"expected {what}{self._bounds()}. Received: {as_written(received)}")
        accepted: Value = value if self.kind == "integer" else float(value)
        return accepted

    def _bounds(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return f" from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f" of at least {self.minimum:g}"
        return f" of at most {self.maximum:g}" if self.maximum is not None else ""


def as_written(value: Any) -> str:
    """A received value as a person wrote it: `true`, `nothing`, `20`, `'some text'`."""
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def join_values(values: tuple[Value, ...] | list[Value]) -> str:
    """Values as a person reads them in a message: `avg, max, avg+max`."""
    return ", ".join(
        str(value).lower() if isinstance(value, bool) else str(value) for value in values
    )
