"""Attention whose type, ratio or kernel is set or tuned for each stage on its own.

`per_stage: [type, reduction_ratio]` makes `stage1.type`, `stage1.reduction_ratio`,
`stage2.type` ... out of `type` and `reduction_ratio`, each tuned over what stands there,
or set by a key of its own (`stage1.type: none`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

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

T = TypeVar("T")
_NUMBER = r"[1-9]\d?"
_KEY = re.compile(rf"stage({_NUMBER})\.(\w+)")


def _normalize(received: Any) -> Any:
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
    normalize=_normalize,
    tunable=False,
    forms=(
        {"type": "string", "pattern": r"^(\w+(,\w+)*)?$"},
        {"type": "array", "items": {"type": "string", "minLength": 1}},
    ),
)


@dataclass(frozen=True)
class ByStage(Generic[T]):
    """Attention settings taken apart; whoever asks about stages asks here.

    Args:
        listed: The knobs that every stage has of its own.
        common: The settings that have no stage, by knob name.
        own: The settings that stand for one stage alone, by stage and knob name.
    """

    listed: tuple[str, ...]
    common: Mapping[str, T]
    own: Mapping[int, Mapping[str, T]]

    def of(self, stage: int) -> dict[str, T]:
        """The settings of one stage, as if they were of all."""
        return {**self.common, **self.own.get(stage, {})}

    def apart(self, stage: int) -> set[str]:
        """The knobs that a stage sets itself."""
        return {*self.listed, *self.own.get(stage, {})}


def by_stage(settings: Mapping[str, T]) -> ByStage[T]:
    """Takes attention settings apart, those of a space or resolved ones."""
    common = dict(settings)
    names = str(common.pop(PER_STAGE.name, ""))
    own: dict[int, dict[str, T]] = {}
    for key in settings:
        stage, name = _parts(key)
        if stage:
            own.setdefault(stage, {})[name] = common.pop(key)
    return ByStage(tuple(names.split(",")) if names else (), common, own)


def _parts(key: str) -> tuple[int, str]:
    """The stage and the knob that a key names; the stage is 0 where it is of all."""
    match = _KEY.fullmatch(key)
    return (int(match[1]), match[2]) if match else (0, key)


def stage_pattern(name: str) -> str:
    """The regular expression of the keys that set a knob of one stage."""
    return rf"^stage{_NUMBER}\.{name}$"


def stage_key(stage: int, name: str) -> str:
    """The key of one stage's knob, e.g. `stage1.type`."""
    return f"stage{stage}.{name}"


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
        stage, name = _parts(key)
        return self.stage_knobs().get(name) if stage else super().knob(name)

    def decides(self, key: str) -> bool:
        return super().decides(_parts(key)[1])

    def selected_for(self, key: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        stage, _ = _parts(key)
        return self.selected(by_stage(settings).of(stage) if stage else settings)

    def selected(self, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        """The variants that `settings` can select for all stages, or for one of them."""
        chosen: dict[str, None] = {}
        for key, setting in settings.items():
            if self.decides(key):
                chosen |= dict.fromkeys(super().selected({self.selector.name: setting}))
        return tuple(chosen) or super().selected(settings)

    def owners(self, name: str, settings: Mapping[str, Setting]) -> tuple[str, ...]:
        if name == PER_STAGE.name:
            return self.selected(settings)
        stage, knob = _parts(name)
        return super().owners(knob, by_stage(settings).of(stage) if stage else settings)

    def tuned(self, settings: Mapping[str, Setting]) -> Iterator[tuple[Knob, Domain]]:
        parts = by_stage(settings)
        for knob, domain in super().tuned(parts.common):
            if knob.name not in parts.listed:
                yield knob, domain
        for stage in range(1, self.stages + 1):
            here = parts.of(stage)
            for name, knob in self.stage_knobs().items():
                setting, key = here.get(name), stage_key(stage, name)
                active = name in parts.apart(stage) and self.owners(key, settings)
                if active and isinstance(setting, Choice | IntRange | FloatRange):
                    yield replace(knob, name=key), setting

    def resolve(
        self, settings: Mapping[str, Setting], values: Mapping[str, Value]
    ) -> dict[str, Value]:
        parts = by_stage(settings)
        if not parts.listed:
            return super().resolve(settings, values)
        stages = [self._resolved(parts, values, stage) for stage in range(1, self.stages + 1)]
        attending = [stage for stage in stages if len(stage) > 1]
        if not attending:
            return {self.selector.name: stages[0][self.selector.name]}
        # The first of the types stands for all, so that what is exported is a space again.
        first = attending[0]
        shared = {knob.name: first[knob.name] for knob in self.shared}
        return {
            self.selector.name: first[self.selector.name],
            **shared,
            PER_STAGE.name: ",".join(parts.listed),
            **{
                stage_key(number, name): value
                for number, stage in enumerate(stages, 1)
                for name, value in stage.items()
                if name not in shared
            },
        }

    def decider(self, key: str, settings: Mapping[str, Setting]) -> str | None:
        parts, selector = by_stage(settings), self.selector.name
        stage, _ = _parts(key)
        if stage:
            return stage_key(stage, selector) if selector in parts.apart(stage) else selector
        differs = selector in parts.listed or any(selector in own for own in parts.own.values())
        return None if parts.listed and differs else selector

    def _resolved(
        self, parts: ByStage[Setting], values: Mapping[str, Value], stage: int
    ) -> dict[str, Value]:
        """The values of one stage: what it has of its own is sampled under its own name."""
        sampled = dict(values)
        for name in parts.apart(stage):
            sampled.pop(f"{self.name}.{name}", None)
            own = f"{self.name}.{stage_key(stage, name)}"
            if own in values:
                sampled[f"{self.name}.{name}"] = values[own]
        return super().resolve(parts.of(stage), sampled)


def settings_in(attention: Mapping[str, Value], stage: int) -> dict[str, Value]:
    """The resolved attention settings that hold in one stage."""
    # Most configurations have none of their own, and a search asks of every site.
    return by_stage(attention).of(stage) if PER_STAGE.name in attention else dict(attention)
