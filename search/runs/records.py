"""The entries of a journal: one class an event, with what each of its values may be.

An entry is what the program speaks of; `encoding.py` makes a record of it, its form in the
journal. A journal may come from a stranger, and its checksums say only that nobody tore it.
Ids become names of files, numbers become sizes: both are looked at here, once, for everybody.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from hypermodels.settings.configuration import Configuration
from search.algorithms.trials import Candidate, TrialSpec
from search.runs.shapes import (
    having,
    integer,
    list_of,
    mapping,
    mapping_of,
    matching,
    number,
    one_of,
    or_none,
    scalar,
    string,
    tuple_of,
)
from search.space.settings import OBJECTIVES

FORMAT = 1

Plain = dict[str, Any]

_EPOCHS = integer(1, 100_000)
_LARGE = integer(0, 10**15)
_INDEX = integer(0, 10**6)
_EXTENT = integer(1, 10**6)
_TRIAL = matching(r"\d{4,9}[a-z]?(-\d{1,3})?|c\d{2}-\d{2}")
_LINEAGE = matching(r"\d{4,9}[a-z]?|c\d{2}-\d{2}")
_SEED = integer(0, 2**31 - 1)
_SEARCH = having(
    max_epochs=_EPOCHS,
    hyperband_iterations=integer(1, 1000),
    factor=integer(2, 100),
    objective=one_of(*OBJECTIVES),
)
_SPACE = having(backbone=mapping, attention=mapping, recipe=mapping, data=mapping, search=_SEARCH)
_CONFIGURATION = having(
    backbone=mapping_of(scalar),
    attention=lambda value: mapping_of(scalar)(value) and string(value.get("type")),
    recipe=mapping_of(scalar),
)
_ARM = having(name=string, role=string, configuration=_CONFIGURATION)
_PORT = tuple_of(string, string, _INDEX, _EXTENT, _EXTENT, _EXTENT)
_DESCRIPTION = having(
    cost=tuple_of(_LARGE, _LARGE),
    sites=list_of(
        having(
            name=string,
            stage=_INDEX,
            block=_INDEX,
            ports=mapping_of(_PORT),
            own=or_none(tuple_of(string, _INDEX, _LARGE, _LARGE)),
        )
    ),
)
_EXPORTED = having(
    {"constant_answer": having(**{"accuracy": number, "class": string})},
    test=having(accuracy=number, correct=_LARGE),
    test_images=integer(1, 10**15),
    classes=integer(1, 10**6),
    largest_difference=having(saved_model=number),
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An event of a run. A field with a default may be missing from a record."""

    type: ClassVar[str]


@dataclass(frozen=True, kw_only=True)
class RunBegan(Entry):
    """The first entry of every journal: what is searched, on what, with which versions."""

    type = "run"
    format: Annotated[int, integer(FORMAT, FORMAT)] = FORMAT
    space: Annotated[Plain, _SPACE]
    data: Annotated[str, string]
    versions: Annotated[dict[str, str], mapping_of(string)]
    files: Annotated[dict[str, str], mapping_of(string)] = field(default_factory=dict)
    notices: Annotated[list[str], list_of(string)] = field(default_factory=list)
    started: Annotated[str, string] = ""


@dataclass(frozen=True, kw_only=True)
class SearchExtended(Entry):
    """The search goes on with more iterations, or a larger full budget."""

    type = "extended"
    search: Annotated[Plain, _SEARCH]
    budgets: Annotated[list[int], list_of(_EPOCHS)]


@dataclass(frozen=True, kw_only=True)
class TrialStarted(Entry):
    """A trial was handed out for the first time; see `TrialSpec` for its fields."""

    type = "trial"
    trial: Annotated[str, _TRIAL]
    lineage: Annotated[str, _LINEAGE]
    configuration: Annotated[Plain, _CONFIGURATION]
    preset: Annotated[str | None, or_none(string)]
    iteration: Annotated[int, integer(0, 100_000)]
    bracket: Annotated[int, integer(0, 64)]
    rung: Annotated[int, integer(0, 64)]
    epochs: Annotated[int, _EPOCHS]
    full_epochs: Annotated[int, _EPOCHS]
    parent: Annotated[str | None, or_none(_TRIAL)]
    parameters: Annotated[int, _LARGE]
    macs: Annotated[int, _LARGE]
    seed: Annotated[int | None, or_none(_SEED)] = None

    @classmethod
    def of(cls, spec: TrialSpec, parameters: int, macs: int) -> TrialStarted:
        return cls(
            trial=spec.trial_id,
            lineage=spec.lineage,
            configuration=spec.candidate.configuration.to_dict(),
            preset=spec.candidate.preset,
            iteration=spec.iteration,
            bracket=spec.bracket,
            rung=spec.rung,
            epochs=spec.epochs,
            full_epochs=spec.full_epochs,
            parent=spec.parent,
            parameters=parameters,
            macs=macs,
            seed=spec.seed,
        )

    def spec(self) -> TrialSpec:
        """The `TrialSpec` of the trial; its candidate's signature is empty."""
        return TrialSpec(
            trial_id=self.trial,
            lineage=self.lineage,
            slot=_leading_number(self.trial),
            candidate=Candidate(Configuration.from_dict(self.configuration), "", self.preset),
            iteration=self.iteration,
            bracket=self.bracket,
            rung=self.rung,
            epochs=self.epochs,
            full_epochs=self.full_epochs,
            parent=self.parent,
            seed=self.seed,
        )


def _leading_number(trial: str) -> int:
    digits = trial[: len(trial) - len(trial.lstrip("0123456789"))]
    return int(digits or 0)


@dataclass(frozen=True, kw_only=True)
class EpochTrained(Entry):
    """An epoch of a lineage is trained, and its state is on disk."""

    type = "epoch"
    trial: Annotated[str, _TRIAL]
    lineage: Annotated[str, _LINEAGE]
    epoch: Annotated[int, _EPOCHS]
    metrics: Annotated[dict[str, float], mapping_of(number)]


@dataclass(frozen=True, kw_only=True)
class WorkerDeath(Entry):
    """A trial's worker ended without a word."""

    type = "death"
    trial: Annotated[str, _TRIAL]
    reason: Annotated[str, string]
    seconds: Annotated[float, number]


@dataclass(frozen=True, kw_only=True)
class TrialEnded(Entry):
    """A trial has finished, or failed for good.

    `output` are the last lines that a failed trial's workers printed, `profile` the seconds
    of what a finished one's last worker did.
    """

    type = "ended"
    trial: Annotated[str, _TRIAL]
    status: Annotated[str, one_of("COMPLETED", "FAILED")]
    score: Annotated[float | None, or_none(number)]
    reason: Annotated[str, string]
    seconds: Annotated[float, number]
    profile: Annotated[dict[str, float], mapping_of(number)] = field(default_factory=dict)
    output: Annotated[list[str], list_of(string)] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class TestRead(Entry):
    """The test images are about to be read."""

    __test__ = False  # no test of pytest's
    type = "test_read"
    trial: Annotated[str | None, _TRIAL] = None
    purpose: Annotated[str, string] = ""
    time: Annotated[str, string] = ""


@dataclass(frozen=True, kw_only=True)
class ModelExported(Entry):
    """A trial's model is published whole; `files` are the SHA-256 of its files."""

    type = "export"
    trial: Annotated[str, _TRIAL]
    metrics: Annotated[Plain, _EXPORTED]
    files: Annotated[dict[str, str] | None, mapping_of(matching("[0-9a-f]{64}"))] = None


@dataclass(frozen=True, kw_only=True)
class BackboneDescribed(Entry):
    """What a person's own code builds, or why it was refused."""

    type = "backbone"
    settings: Annotated[Plain, mapping_of(scalar)]
    description: Annotated[Plain | None, or_none(_DESCRIPTION)]
    refused: Annotated[str | None, or_none(string)]
    notices: Annotated[list[str], list_of(string)]


@dataclass(frozen=True, kw_only=True)
class ConfirmationPlanned(Entry):
    """What a confirmation will compare, before any of it is trained or read.

    `looks` are the seeds in all at each planned look, `seeds` those of the last one; `margin`
    is the smallest difference that matters, as a share of accuracy; `selected_from` is the
    number of finished trials that the winner was chosen from.
    """

    type = "confirmation"
    arms: Annotated[list[Plain], list_of(_ARM)]
    looks: Annotated[list[int], list_of(integer(2, 99))]
    seeds: Annotated[list[int], list_of(_SEED)]
    epochs: Annotated[int, _EPOCHS]
    margin: Annotated[float, number]
    selected_from: Annotated[int, _LARGE] = 0
    notices: Annotated[list[str], list_of(string)] = field(default_factory=list)
    time: Annotated[str, string] = ""


@dataclass(frozen=True, kw_only=True)
class LookBegun(Entry):
    """The trainings up to a planned look are asked for; `look` counts from 1."""

    type = "look"
    look: Annotated[int, integer(1, 99)]


@dataclass(frozen=True, kw_only=True)
class TestScored(Entry):
    """How a confirmation's training did on the test images, once all of its look had ended.

    `right` has one bit an image, packed and in base64: whether the network is right.
    """

    __test__ = False  # no test of pytest's
    type = "test_scored"
    trial: Annotated[str, _TRIAL]
    accuracy: Annotated[float, number]
    loss: Annotated[float, number]
    right: Annotated[str, string]
    images: Annotated[int, integer(1, 10**9)]


@dataclass(frozen=True, kw_only=True)
class LatencyMeasured(Entry):
    """How long the arms of a confirmation take for a batch, each in units of the first."""

    type = "latency"
    batch: Annotated[int, integer(1, 10**9)]
    milliseconds: Annotated[float, number]
    ratios: Annotated[list[float], list_of(number)]


@dataclass(frozen=True, kw_only=True)
class SessionEnded(Entry):
    """A driver has driven the search for some time, to an orderly end."""

    type = "session"
    workers: Annotated[int, integer(1, 10**6)]
    seconds: Annotated[float, number]
    driver_seconds: Annotated[float, number]


def now() -> str:
    """The time as entries have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


ENTRIES: Mapping[str, type[Entry]] = {kind.type: kind for kind in Entry.__subclasses__()}
