"""A group of knobs. One of them, the selector, decides which others are active."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hypermodels.knobs.domains import (
    Choice,
    Domain,
    FloatRange,
    IntRange,
    Setting,
    accept_setting,
)
from hypermodels.knobs.knob import IdleError, Knob, KnobError, Value
from hypermodels.knobs.renamed import NEW_NAMES, renaming_notice, with_new_names


@dataclass(frozen=True)
class Section:
    """A group of knobs. One of them, the selector, decides which others are active.

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

    def accept(
        self,
        settings: Mapping[str, Any],
        take: Callable[[Knob, Any], Setting] = accept_setting,
        refuse: Callable[[str, KnobError], None] | None = None,
        *,
        idle: bool = True,
    ) -> dict[str, Setting]:
        """Returns `settings` with every value as its knob takes it.

        Knobs of one name may differ from variant to variant (the depths of two backbone
        families); a value must suit every variant that `settings` can select.

        Args:
            settings: Mapping from knob name to a value or a domain.
            take: Callable that returns what a knob takes, or raises `KnobError`.
            refuse: Callable that is told of what is left out, by its key, or `None` to end
                with the first.
            idle: Boolean, whether a knob may be set that no chosen variant has.

        Returns:
            A dict of the same keys, those that decide first.

        Raises:
            KnobError: If there is no such knob, or it cannot take a value.
        """
        settings = self._under_new_names(settings)
        refuse = refuse or self._raise
        selector = self.selector.name
        accepted: dict[str, Setting] = {}
        for name in sorted(settings, key=lambda name: not self.decides(name)):
            try:
                takers = self._takers(name, accepted)
                known = selector not in settings or selector in accepted
                if not idle and known and not self.owners(name, accepted):
                    raise IdleError(
                        f"has no effect: no chosen {self.name} {selector} has it "
                        f"({', '.join(self.selected_for(name, accepted))}). Remove it, or choose "
                        f"another {selector}"
                    )
                found = [take(knob, settings[name]) for knob in takers]
            except KnobError as error:
                refuse(name, error)
            else:
                accepted[name] = found[-1]
        return accepted

    def _under_new_names(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        for old in settings.keys() & NEW_NAMES.keys():
            if NEW_NAMES[old] not in self.knobs():
                continue
            if NEW_NAMES[old] in settings:
                raise KnobError(
                    f"{self.name}.{old} is now called {NEW_NAMES[old]}, which is set too"
                )
            warnings.warn(renaming_notice(f"{self.name}.{old}"), FutureWarning, stacklevel=4)
            settings = with_new_names(settings)
        return settings

    def _takers(self, name: str, settings: Mapping[str, Setting]) -> list[Knob]:
        """The knobs of a name in all variants that can be selected; in none, the first of all."""
        first = self.knob(name)
        if first is None:
            known = self.knobs()
            near = difflib.get_close_matches(name, known, 1)
            meant = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
            raise KnobError(f"{self.name} has no knob called {name}. {meant}")
        variants = self.selected_for(name, settings)
        knobs = [knob for variant in variants for knob in self.variants[variant]]
        return [knob for knob in knobs if knob.name == first.name] or [first]

    def _raise(self, name: str, error: KnobError) -> None:
        known = self.knob(name) is not None
        raise KnobError(
            f"{self.name}.{name}{error.key}: {error}" if known else str(error)
        ) from error

    def decides(self, key: str) -> bool:
        """Whether `key` selects the variant. Selector keys are read first."""
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
            if name == self.selector.name
            or any(knob.name == name for knob in self.variants[variant])
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
        return {self.selector.name: variant} | {
            knob.name: value_of(knob)
            for knob in active
            if knob.name in settings or not knob.absent_unless_set
        }

    def declare(self, hp: Any, settings: Mapping[str, Setting]) -> None:
        """Declares the tuned knobs in a `keras_tuner.HyperParameters`, each in its scope."""
        for knob, domain in self.tuned(settings):
            owners = self.owners(knob.name, settings)
            decider = self.decider(knob.name, settings)
            if owners and (decider is None or owners == self.selected_for(knob.name, settings)):
                domain.declare(hp, self.path(knob))
            elif owners:
                with hp.conditional_scope(f"{self.name}.{decider}", list(owners)):
                    domain.declare(hp, self.path(knob))

    def decider(self, key: str, settings: Mapping[str, Setting]) -> str | None:
        """The key whose value decides whether another one's knob is active, if one does."""
        return self.selector.name
