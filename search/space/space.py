"""A validated, frozen space: what a search may vary, and how it is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

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
    is_tuned,
)
from hypermodels.settings.configuration import Configuration, sections
from hypermodels.settings.presets import preset
from search.algorithms.brackets import MAX_TRIALS, first_rung_trials
from search.errors import SpaceError
from search.space.definition import PLAIN_SECTIONS
from search.space.settings import (
    ConfirmSettings,
    Constraints,
    DataSettings,
    SearchSettings,
    direction_of,
)


@dataclass(frozen=True)
class Space:
    """What a search may vary and how it is run.

    Args:
        settings: Mapping from `backbone`, `attention` and `recipe` to their settings: a
            value where the space fixes, a domain where it tunes.
        data: The section `data`.
        search: The section `search`.
        constraints: The section `constraints`.
        presets: Names of attention settings that every search tries: published ones, and those
            of `own_presets`.
        source: String, the file or the shipped name, for messages.
        confirm: The section `confirm`.
        own_presets: Attention settings that the space itself gives a name.
        notices: Sentences on what somebody who wrote the space should know.
    """

    settings: Mapping[str, Mapping[str, Setting]]
    data: DataSettings
    search: SearchSettings
    constraints: Constraints
    presets: tuple[str, ...]
    source: str
    confirm: ConfirmSettings = ConfirmSettings(seeds=0, top=3, margin=0.005, epochs=0)
    own_presets: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    notices: tuple[str, ...] = field(default=(), compare=False)

    @property
    def maximize(self) -> bool:
        """Whether a greater objective is better."""
        return direction_of(self.search.objective) == "max"

    def tuned(self) -> dict[str, tuple[Section, Knob, Domain]]:
        """The tuned knobs by full name, in the order of the space."""
        return {
            section.path(knob): (section, knob, domain)
            for section in sections(self.settings)
            for knob, domain in section.tuned(self.settings[section.name])
        }

    def check_size(self) -> None:
        """Makes sure that the search has no more trials than a journal and a driver can hold.

        Raises:
            SpaceError: If it has.
        """
        search = self.search
        epochs, factor, iterations = search.max_epochs, search.factor, search.hyperband_iterations
        count = first_rung_trials(epochs, factor, iterations)
        if count > MAX_TRIALS:
            given = f"max_epochs {epochs}, factor {factor}, hyperband_iterations {iterations}"
            raise SpaceError(
                f"{self.source}: the search would begin with {count:,} trials ({given}); at most "
                f"{MAX_TRIALS:,} are possible. Choose fewer max_epochs, a larger factor or fewer "
                "hyperband_iterations."
            )

    def configuration(self, values: Mapping[str, Value]) -> Configuration:
        """The configuration of some sampled values, by full knob name."""
        return Configuration.resolve(self.settings, values)

    def preset_configuration(self, name: str) -> Configuration:
        """The configuration of a preset: its attention, the defaults of all tuned knobs."""
        attention = self.own_presets.get(name) or preset(name)
        return Configuration.resolve({**self.settings, "attention": attention})

    def override(self, section: Literal["data", "search"], **values: Value | None) -> Space:
        """A copy with some keys of `data` or `search` replaced; `None` leaves a key."""
        knobs = {knob.name: knob for knob in PLAIN_SECTIONS[section]}
        changed = {}
        for name, value in values.items():
            if value is not None:
                try:
                    changed[name] = knobs[name].accept(value)
                except KnobError as error:
                    raise SpaceError(f"{section}.{name}: {error}.") from error
        settings: Any = dataclasses.replace(getattr(self, section), **changed)
        return dataclasses.replace(self, **{section: settings})

    def to_dict(self) -> dict[str, Any]:
        """The space as plain values, every default written out; equal spaces are equal."""

        def plain(setting: Setting) -> Any:
            if isinstance(setting, Choice):
                return {"choice": list(setting.values)}
            if isinstance(setting, IntRange):
                return {"int": [setting.low, setting.high], "step": setting.step}
            if isinstance(setting, FloatRange):
                return {"float": [setting.low, setting.high], "sampling": setting.sampling}
            return setting

        tuned = {
            name: {key: plain(setting) for key, setting in settings.items()}
            for name, settings in self.settings.items()
        }
        return {
            **tuned,
            "data": asdict(self.data),
            "search": asdict(self.search),
            "constraints": asdict(self.constraints),
            "presets": [
                {name: dict(self.own_presets[name])} if name in self.own_presets else name
                for name in self.presets
            ],
            # Left out where it is not there, as in the journals of earlier versions.
            **({"confirm": asdict(self.confirm)} if self.confirm.seeds else {}),
        }


def tuned_values(space: Space, configuration: Configuration) -> dict[str, Value]:
    """The values of the tuned knobs that are active in a configuration, by full name."""
    flat = configuration.flat()
    return {name: flat[name] for name in space.tuned() if name in flat}


def depends_on_tuning(space: Space) -> bool:
    """Whether the space tunes anything at all."""
    return any(
        is_tuned(setting) for settings in space.settings.values() for setting in settings.values()
    )
