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
        raise KnobError(f"expected a list of attention knobs. Received: {value!r}")


PER_STAGE = Knob(
    "per_stage",
    "text",
    "",
    "attention knobs that every stage has of its own, a list such as [type, "
    "reduction_ratio]; stage1.type and so on set one stage's",
    check=_check,
    normalise=_normalise,
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

    def knob(self, key: str) -> Knob | None:
        match = STAGE_KEY.fullmatch(key)
        if match is None:
            return super().knob(key)
        found = super().knob(match[2])
        of_stage = found is not None and found is not PER_STAGE and found not in self.shared
        return found if of_stage else None

    def owners(self, name: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        if name == PER_STAGE.name or STAGE_KEY.fullmatch(name):
            return self.selected(settings)
        return super().owners(name, settings)

    def tuned(self, settings: Mapping[str, Setting]) -> Iterator[tuple[Knob, Domain]]:
        names = listed_knobs(settings)
        for knob, domain in super().tuned(settings):
            if knob.name not in names:
                yield knob, domain
        for stage in range(1, self.stages + 1):
            own = self._of_stage(settings, stage)
            for name, knob in super().knobs().items():
                setting = own.get(name)
                if name in names and isinstance(setting, Choice | IntRange | FloatRange):
                    yield replace(knob, name=stage_key(stage, name)), setting

    def resolve(
        self, settings: Mapping[str, Setting], values: Mapping[str, Value]
    ) -> dict[str, Value]:
        names = listed_knobs(settings)
        if not names:
            return super().resolve(settings, values)
        stages = [
            self._resolved_stage(settings, values, names, stage)
            for stage in range(1, self.stages + 1)
        ]
        types = [str(stage[self.selector.name]) for stage in stages]
        attending = [stage for stage in stages if len(stage) > 1]
        if not attending:
            return {self.selector.name: types[0]}
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
        names = listed_knobs(settings)
        if not names:
            super().declare(hp, settings)
            return
        for knob, domain in self.tuned(settings):
            match = STAGE_KEY.fullmatch(knob.name)
            stage, name = (int(match[1]), match[2]) if match else (0, knob.name)
            own = self._of_stage(settings, stage)
            decider = self.selector.name
            if stage and decider in names:
                decider = stage_key(stage, decider)
            owners = super().owners(name, own)
            alone = name == self.selector.name or owners == self.selected(own)
            # A knob of all stages has no one type that decides whether it is active.
            if alone or (not stage and self.selector.name in names):
                domain.declare(hp, self.path(knob))
            elif owners:
                with hp.conditional_scope(f"{self.name}.{decider}", list(owners)):
                    domain.declare(hp, self.path(knob))

    def _of_stage(self, settings: Mapping[str, Setting], stage: int) -> dict[str, Setting]:
        """The settings of one stage, its own keys in the place of the common ones."""
        own = {name: value for name, value in settings.items() if not STAGE_KEY.fullmatch(name)}
        for name, value in settings.items():
            match = STAGE_KEY.fullmatch(name)
            if match and int(match[1]) == stage:
                own[match[2]] = value
        return own

    def _resolved_stage(
        self,
        settings: Mapping[str, Setting],
        values: Mapping[str, Value],
        names: tuple[str, ...],
        stage: int,
    ) -> dict[str, Value]:
        own_values = {path: value for path, value in values.items()}
        for name in names:
            own_values.pop(f"{self.name}.{name}", None)
            sampled = values.get(f"{self.name}.{stage_key(stage, name)}")
            if sampled is not None:
                own_values[f"{self.name}.{name}"] = sampled
        return super().resolve(self._of_stage(settings, stage), own_values)


def settings_in(attention: Mapping[str, Value], stage: int) -> dict[str, Value]:
    """The resolved attention settings that hold in one stage."""
    if PER_STAGE.name not in attention:
        return dict(attention)
    found: dict[str, Value] = {}
    for key, value in attention.items():
        match = STAGE_KEY.fullmatch(key)
        if match is None:
            found.setdefault(key, value)
        elif int(match[1]) == stage:
            found[match[2]] = value
    return found
