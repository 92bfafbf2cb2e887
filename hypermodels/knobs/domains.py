"""What a knob is tuned over: a list of values, whole numbers, or real ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hypermodels.knobs.knob import Knob, KnobError, Value, as_written


@dataclass(frozen=True)
class Choice:
    """A knob tuned over a list of values; the first is the default of presets."""

    values: tuple[Value, ...]

    @property
    def default(self) -> Value:
        return self.values[0]

    def declare(self, hp: Any, name: str) -> None:
        """Declares the knob in a `keras_tuner.HyperParameters`."""
        if all(isinstance(value, bool) for value in self.values):
            # kt.Choice([True, False]) silently becomes integers.
            hp.Boolean(name, default=bool(self.values[0]))
            return
        values = list(self.values)
        if any(isinstance(value, float) for value in values):
            values = [float(value) for value in values]
        hp.Choice(name, values, default=values[0])

    def sample(self, uniform: float) -> Value:
        """Maps a uniform number in `[0, 1)` to a value."""
        return self.values[min(int(uniform * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True)
class IntRange:
    """A knob tuned over the whole numbers from `low` to `high`, both included."""

    low: int
    high: int
    step: int = 1

    @property
    def values(self) -> tuple[int, ...]:
        return tuple(range(self.low, self.high + 1, self.step))

    @property
    def default(self) -> int:
        return self.values[len(self.values) // 2]

    def declare(self, hp: Any, name: str) -> None:
        """Declares the knob in a `keras_tuner.HyperParameters`."""
        hp.Int(name, self.low, self.high, step=self.step, default=self.default)

    def sample(self, uniform: float) -> int:
        """Maps a uniform number in `[0, 1)` to a value."""
        return self.values[min(int(uniform * len(self.values)), len(self.values) - 1)]


@dataclass(frozen=True)
class FloatRange:
    """A knob tuned over the reals from `low` to `high`, evenly or evenly in the logarithm."""

    low: float
    high: float
    sampling: Literal["linear", "log"] = "linear"

    @property
    def default(self) -> float:
        return self.sample(0.5)

    def declare(self, hp: Any, name: str) -> None:
        """Declares the knob in a `keras_tuner.HyperParameters`."""
        hp.Float(name, self.low, self.high, sampling=self.sampling, default=self.default)

    def sample(self, uniform: float) -> float:
        """Maps a uniform number in `[0, 1)` to a value, rounded to six significant digits.

        The rounding makes the value in the journal, in the summary and in an exported
        space the very value that was trained.
        """
        if self.sampling == "log":
            value = math.exp(
                math.log(self.low) + uniform * (math.log(self.high) - math.log(self.low))
            )
        else:
            value = self.low + uniform * (self.high - self.low)
        return min(max(float(f"{value:.6g}"), self.low), self.high)


Domain = Choice | IntRange | FloatRange
Setting = Value | Domain


def is_tuned(setting: Setting) -> bool:
    """Whether `setting` is a domain to search, not a fixed value."""
    return isinstance(setting, Choice | IntRange | FloatRange)


UNTUNABLE = "cannot be tuned; give one value"
_RANGES = {"integer": "int", "number": "float"}
_STEP = Knob("step", "integer", 1, "between two values of a range", minimum=1)


def accept_setting(knob: Knob, setting: Any) -> Setting:
    """A value or a domain as a knob takes it.

    Raises:
        KnobError: If it cannot, with where in the setting it is wrong.
    """
    if not isinstance(setting, Choice | IntRange | FloatRange):
        return knob.accept(setting)
    if not knob.tunable:
        raise KnobError(UNTUNABLE)
    if isinstance(setting, Choice):
        if not isinstance(setting.values, tuple | list) or not setting.values:
            raise KnobError(
                f"choice takes a list of values. Received: {as_written(setting.values)}"
            )
        return Choice(_accept_each(knob, setting.values, "choice"))
    return _accept_range(knob, setting)


def _accept_range(knob: Knob, setting: IntRange | FloatRange) -> Domain:
    kind, taken = "int" if isinstance(setting, IntRange) else "float", _RANGES.get(knob.kind)
    if kind != taken:
        use = f"{taken} or choice" if taken else "choice"
        raise KnobError(f"cannot be tuned with {kind}; use {use}")
    # The ends bound the values and need not be values: of {int: [8, 21], step: 6} 21 is none.
    bare = replace(knob, check=None)
    low, high = _accept_each(bare, (setting.low, setting.high), kind)
    if not low < high:  # type: ignore[operator]
        raise KnobError(f"the lowest value {low} is not below {high}", (kind,))
    if isinstance(setting, FloatRange):
        if setting.sampling not in ("linear", "log"):
            raise KnobError(
                f"expected linear or log. Received: {as_written(setting.sampling)}", ("sampling",)
            )
        if setting.sampling == "log" and float(low) <= 0:
            raise KnobError(f"log sampling needs values above 0. Received: {low}", (kind,))
        return FloatRange(float(low), float(high), setting.sampling)
    try:
        step = _STEP.accept(setting.step)
    except KnobError as error:
        raise KnobError(str(error), ("step",)) from error
    integers = IntRange(int(low), int(high), int(step))
    for value in integers.values if knob.check else ():
        try:
            knob.accept(value)
        except KnobError as error:
            raise KnobError(
                f"the range has {value}: {error}. Set `step`, or use choice"
            ) from error
    return integers


def _accept_each(knob: Knob, values: Sequence[Any], key: str) -> tuple[Value, ...]:
    """Values that stand below a key, as a knob takes them; of those it does not, all are named."""
    accepted, errors = [], []
    for index, value in enumerate(values):
        try:
            accepted.append(knob.accept(value))
        except KnobError as error:
            errors.append(KnobError(str(error), (key, index)))
    if errors:
        raise KnobError(str(errors[0]), errors[0].location, errors[1:])
    return tuple(accepted)
