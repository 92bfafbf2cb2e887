"""What can be set: knobs, the sections that group them, and the domains they are tuned over.

A `Knob` is declared once, by the mechanism, backbone or recipe that owns it. Everything
else that speaks of it is made from that declaration: the validation of a space, its JSON
Schema, the KerasTuner hyperparameter, the column of the summary.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Value = str | int | float | bool
Kind = Literal["choice", "integer", "number", "boolean", "text"]


class KnobError(ValueError):
    """A value that a knob cannot take; the message says what it can take."""


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
        normalise: Callable that turns what YAML gave into the knob's value (a list of
            stages into `"2,3"`), or `None`.
        tunable: Whether a space may tune it.
    """

    name: str
    kind: Kind
    default: Value
    summary: str
    choices: tuple[Value, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    check: Callable[[Any], None] | None = field(default=None, compare=False)
    normalise: Callable[[Any], Any] | None = field(default=None, compare=False)
    tunable: bool = True

    def accept(self, received: Any) -> Value:
        """Returns `received` as this knob's value.

        Raises:
            KnobError: If the knob cannot take it.
        """
        value = self.normalise(received) if self.normalise else received
        if self.kind == "boolean":
            if not isinstance(value, bool):
                raise KnobError(f"expected true or false. Received: {as_written(received)}")
        elif self.kind == "choice":
            if isinstance(value, bool) or value not in self.choices:
                raise KnobError(
                    f"expected one of {listed(self.choices)}. Received: {as_written(received)}"
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


@dataclass(frozen=True)
class Section:
    """A group of knobs of which one, the selector, decides which others are active.

    The attention type decides whether there is a spatial kernel; the optimizer whether
    there is a momentum. A knob that the selected variant lacks is absent from the
    configuration, so that `none` is one configuration and not hundreds.

    Args:
        name: String, the key in the space, e.g. `"attention"`.
        selector: The deciding `Knob`, a `"choice"`.
        variants: Mapping from each value of the selector to the knobs it activates.
        implied: Mapping from a knob that stands for the selector to the value it implies:
            whoever writes `application:` need not write `family: application`.
    """

    name: str
    selector: Knob
    variants: Mapping[str, tuple[Knob, ...]]
    implied: Mapping[str, str] = field(default_factory=dict)

    def path(self, knob: Knob) -> str:
        """The knob's full name: YAML path, hyperparameter name and summary column."""
        return f"{self.name}.{knob.name}"

    def knobs(self) -> dict[str, Knob]:
        """All knobs by name, the selector first; of knobs that share a name, the first."""
        found = {self.selector.name: self.selector}
        for knobs in self.variants.values():
            for knob in knobs:
                found.setdefault(knob.name, knob)
        return found

    def knob(self, key: str) -> Knob | None:
        """The knob that a key of the space sets, or `None` if it sets none."""
        return self.knobs().get(key)

    def accept(self, settings: Mapping[str, Any]) -> dict[str, Setting]:
        """Returns `settings` with every value as its knob takes it.

        Knobs of one name may differ from variant to variant (the depths of two backbone
        families); a value must suit every variant that `settings` can select.

        Args:
            settings: Mapping from knob name to a value or a domain.

        Returns:
            A dict of the same keys.

        Raises:
            KnobError: If there is no such knob, or it cannot take a value.
        """
        known = self.knobs()
        accepted: dict[str, Setting] = {}
        for name in sorted(settings, key=lambda name: not self.decides(name)):
            first_of_name = self.knob(name)
            if first_of_name is None:
                near = difflib.get_close_matches(name, known, 1)
                meant = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
                raise KnobError(f"{self.name} has no knob called {name}. {meant}")
            takers = [
                knob
                for variant in self.selected_for(name, accepted)
                for knob in self.variants[variant]
                if knob.name == first_of_name.name
            ]
            for knob in takers or [first_of_name]:
                try:
                    accepted[name] = _accept_setting(knob, settings[name])
                except KnobError as error:
                    raise KnobError(f"{self.name}.{name}: {error}") from error
        return accepted

    def decides(self, key: str) -> bool:
        """Whether it depends on a key which others are active; such keys are read first."""
        return key == self.selector.name or key in self.implied

    def selected_for(self, key: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        """The variants that `settings` can select where the knob of a key acts."""
        return self.selected(settings)

    def selected(self, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        """The variants that `settings` can select."""
        setting = self._selection(settings)
        values = setting.values if isinstance(setting, Choice) else (setting,)
        return tuple(str(value) for value in values)

    def _selection(self, settings: Mapping[str, Setting]) -> Setting:
        """What the selector is set to; where it is not, a knob may imply it."""
        default: Setting = next(
            (value for name, value in self.implied.items() if name in settings),
            self.selector.default,
        )
        return settings.get(self.selector.name, default)

    def owners(self, name: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        """The selectable variants in which the knob called `name` is active."""
        return tuple(
            variant
            for variant in self.selected(settings)
            if any(knob.name == name for knob in self.variants[variant])
        )

    def tuned(self, settings: Mapping[str, Setting]) -> Iterator[tuple[Knob, Domain]]:
        """The tuned knobs in the order they are declared, the selector first."""
        for name, knob in self.knobs().items():
            setting = settings.get(name)
            if isinstance(setting, Choice | IntRange | FloatRange):
                yield knob, setting

    def resolve(
        self, settings: Mapping[str, Setting], values: Mapping[str, Value]
    ) -> dict[str, Value]:
        """The section's final values: every active knob, no inactive one.

        Args:
            settings: What the space fixes or tunes, by knob name.
            values: The sampled value of each tuned knob, by full name.

        Returns:
            A dict from knob name to value; the selector first.
        """

        def value_of(knob: Knob) -> Value:
            setting = settings.get(knob.name, knob.default)
            if isinstance(setting, Choice | IntRange | FloatRange):
                return values.get(self.path(knob), setting.default)
            return setting

        selection = self._selection(settings)
        variant = str(value_of(self.selector) if self.selector.name in settings else selection)
        active = self.variants[variant]
        return {self.selector.name: variant} | {knob.name: value_of(knob) for knob in active}

    def declare(self, hp: Any, settings: Mapping[str, Setting]) -> None:
        """Declares the tuned knobs in a `keras_tuner.HyperParameters`, each in its scope."""
        for knob, domain in self.tuned(settings):
            owners = self.owners(knob.name, settings)
            if knob is self.selector or owners == self.selected(settings):
                domain.declare(hp, self.path(knob))
            elif owners:
                with hp.conditional_scope(self.path(self.selector), list(owners)):
                    domain.declare(hp, self.path(knob))


def _accept_setting(knob: Knob, setting: Any) -> Setting:
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


def as_written(value: Any) -> str:
    """A received value as a person wrote it: `true`, `nothing`, `20`, `'some text'`."""
    if value is None:
        return "nothing"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def listed(values: tuple[Value, ...] | list[Value]) -> str:
    """Values as a person reads them in a message: `avg, max, avg+max`."""
    return ", ".join(
        str(value).lower() if isinstance(value, bool) else str(value) for value in values
    )
