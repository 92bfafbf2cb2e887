"""Attention whose type, ratio or kernel is set or tuned for each stage on its own.

`per_stage: [type, reduction_ratio]` makes `stage1.type`, `stage1.reduction_ratio`,
`stage2.type` ... out of `type` and `reduction_ratio`, each tuned over what stands there,
or set by a key of its own (`stage1.type: none`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypermodels.knobs import (
    Choice,
    Domain,
    FloatRange,
    IntRange,
    Knob,
    KnobError,
    Section,
    Setting,
    Value,
)

STAGE_KEY = re.compile(r"stage([1-9]\d?)\.(\w+)")


def _normalise(received: Any) -> Any:
    if isinstance(received, list | tuple):
        return ",".join(str(name) for name in received)
    return received


def _check(value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"(\w+(,\w+)*)?", value):
        raise KnobError(
            "expected a list of attention knobs such as [type, reduction_ratio]. "
            f"Received: {value!r}"
        )


PER_STAGE = Knob(
    "per_stage",
    "text",
    "",
    "attention knobs that every stage has of its own, a list such as [type, "
    "reduction_ratio]; stage1.type and so on set one stage's",
    check=_check,
    normalise=_normalise,
    tunable=False,
    forms=(
        {"type": "string", "pattern": r"^(\w+(,\w+)*)?$"},
        {"type": "array", "items": {"type": "string", "minLength": 1}},
    ),
)


def stage_key(stage: int, name: str) -> str:
    """The key of one stage's knob, e.g. `stage1.type`."""
    return f"stage{stage}.{name}"


def listed_knobs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The knobs that every stage has of its own."""
    value = str(settings.get(PER_STAGE.name, ""))
    return tuple(value.split(",")) if value else ()


@dataclass(frozen=True)
class StagedSection(Section):
    """A section whose knobs can differ from stage to stage.

    Args:
        shared: The knobs that are always one for all stages: where attention goes.
        stages: Integer, how many stages there are to set.
    """

    shared: tuple[Knob, ...] = ()
    stages: int = 0

    def knobs(self) -> dict[str, Knob]:
        return {**super().knobs(), PER_STAGE.name: PER_STAGE}

    def stage_knobs(self) -> dict[str, Knob]:
        """The knobs that can differ from stage to stage, by name."""
        return {name: knob for name, knob in super().knobs().items() if knob not in self.shared}

    def knob(self, key: str) -> Knob | None:
        match = STAGE_KEY.fullmatch(key)
        return self.stage_knobs().get(match[2]) if match else super().knob(key)

    def decides(self, key: str) -> bool:
        match = STAGE_KEY.fullmatch(key)
        return super().decides(match[2] if match else key)

    def selected_for(self, key: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        match = STAGE_KEY.fullmatch(key)
        return self.selected(self.of_stage(settings, int(match[1])) if match else settings)

    def selected(self, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        """The variants that `settings` can select for all stages, or for one of them."""
        chosen: dict[str, None] = {}
        for key, setting in settings.items():
            if self.decides(key):
                chosen |= dict.fromkeys(super().selected({self.selector.name: setting}))
        return tuple(chosen) or super().selected(settings)

    def owners(self, name: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        if name == PER_STAGE.name or self.decides(name):
            return self.selected_for(name, settings)
        match = STAGE_KEY.fullmatch(name)
        if match:
            return super().owners(match[2], self.of_stage(settings, int(match[1])))
        return super().owners(name, settings)

    def tuned(self, settings: Mapping[str, Setting]) -> Iterator[tuple[Knob, Domain]]:
        names = listed_knobs(settings)
        for knob, domain in super().tuned(settings):
            if knob.name not in names:
                yield knob, domain
        for stage in range(1, self.stages + 1):
            own, here = self.of_stage(settings, stage), self._own_names(settings, stage)
            for name, knob in self.stage_knobs().items():
                setting, key = own.get(name), stage_key(stage, name)
                active = name in here and self.owners(key, settings)
                if active and isinstance(setting, Choice | IntRange | FloatRange):
                    yield replace(knob, name=key), setting

    def resolve(
        self, settings: Mapping[str, Setting], values: Mapping[str, Value]
    ) -> dict[str, Value]:
        names = listed_knobs(settings)
        if not names:
            return super().resolve(settings, values)
        stages = [
            self._resolved_stage(settings, values, stage) for stage in range(1, self.stages + 1)
        ]
        attending = [stage for stage in stages if len(stage) > 1]
        if not attending:
            return {self.selector.name: stages[0][self.selector.name]}
        # The first of the types stands for all, so that what is exported is a space again.
        first = attending[0]
        shared = {knob.name: first[knob.name] for knob in self.shared}
        return {
            self.selector.name: first[self.selector.name],
            **shared,
            PER_STAGE.name: ",".join(names),
            **{
                stage_key(number, name): value
                for number, stage in enumerate(stages, 1)
                for name, value in stage.items()
                if name not in shared
            },
        }

    def declare(self, hp: Any, settings: Mapping[str, Setting]) -> None:
        if not listed_knobs(settings):
            super().declare(hp, settings)
            return
        for knob, domain in self.tuned(settings):
            owners = self.owners(knob.name, settings)
            decider = self._decider(knob.name, settings)
            everywhere = owners == self.selected_for(knob.name, settings)
            if owners and (everywhere or decider is None):
                domain.declare(hp, self.path(knob))
            elif owners:
                with hp.conditional_scope(f"{self.name}.{decider}", list(owners)):
                    domain.declare(hp, self.path(knob))

    def of_stage(self, settings: Mapping[str, Setting], stage: int) -> dict[str, Setting]:
        """The settings of one stage, its own keys in the place of the common ones."""
        own = {name: value for name, value in settings.items() if not STAGE_KEY.fullmatch(name)}
        return {**own, **_keys_of(settings, stage)}

    def _decider(self, key: str, settings: Mapping[str, Setting]) -> str | None:
        """The key whose value decides whether another one's knob is active, if one does."""
        match, selector = STAGE_KEY.fullmatch(key), self.selector.name
        if match and selector in self._own_names(settings, int(match[1])):
            return stage_key(int(match[1]), selector)
        apart = any(self.decides(other) and other != selector for other in settings)
        if not match and (apart or selector in listed_knobs(settings)):
            return None
        return selector

    def _own_names(self, settings: Mapping[str, Setting], stage: int) -> set[str]:
        """The knobs of which a stage does not follow the common setting."""
        return {*listed_knobs(settings), *_keys_of(settings, stage)}

    def _resolved_stage(
        self, settings: Mapping[str, Setting], values: Mapping[str, Value], stage: int
    ) -> dict[str, Value]:
        sampled = dict(values)
        for name in self._own_names(settings, stage):
            sampled.pop(f"{self.name}.{name}", None)
            own = f"{self.name}.{stage_key(stage, name)}"
            if own in values:
                sampled[f"{self.name}.{name}"] = values[own]
        return super().resolve(self.of_stage(settings, stage), sampled)


def _keys_of(settings: Mapping[str, Any], stage: int) -> dict[str, Any]:
    """What is set for one stage alone, by the knob's name."""
    matches = {key: STAGE_KEY.fullmatch(key) for key in settings}
    return {
        match[2]: settings[key]
        for key, match in matches.items()
        if match and int(match[1]) == stage
    }


def settings_in(attention: Mapping[str, Value], stage: int) -> dict[str, Value]:
    """The resolved attention settings that hold in one stage."""
    if PER_STAGE.name not in attention:
        return dict(attention)
    # Of resolved settings, only those of single stages have a dot.
    prefix = f"stage{stage}."
    common = {key: value for key, value in attention.items() if "." not in key}
    own = {key[len(prefix) :]: value for key, value in attention.items() if key.startswith(prefix)}
    return {**common, **own}
