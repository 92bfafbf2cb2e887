"""What a knob is tuned over: a list of values, whole numbers, or real ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from hypermodels.knobs.knob import Knob, KnobError, Value


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


def accept_setting(knob: Knob, setting: Any) -> Setting:
    """A value or a domain as a knob takes it.

    Raises:
        KnobError: If it cannot.
    """
    if is_tuned(setting) and not knob.tunable:
        raise KnobError(f"cannot be tuned; give one value. Received: {setting}")
    if isinstance(setting, Choice):
        if not setting.values:
            raise KnobError("expected at least one value to choose from")
        return Choice(tuple(knob.accept(value) for value in setting.values))
    if isinstance(setting, IntRange | FloatRange):
        kinds = ("integer",) if isinstance(setting, IntRange) else ("number",)
        if knob.kind not in kinds:
            raise KnobError(f"cannot be tuned over a range of {kinds[0]}s: {setting}")
        log = isinstance(setting, FloatRange) and setting.sampling == "log"
        for value in (setting.low, setting.high):
            replace(knob, check=None).accept(value)
        if setting.low >= setting.high or (log and setting.low <= 0):
            raise KnobError(f"expected low < high{', both above 0' if log else ''}: {setting}")
        if isinstance(setting, IntRange) and setting.step < 1:
            raise KnobError(f"expected a step of at least 1: {setting}")
        if isinstance(setting, IntRange) and knob.check:
            for value in setting.values:
                knob.check(value)
        return setting
    return knob.accept(setting)
