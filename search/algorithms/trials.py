"""The vocabulary of all algorithms: candidates, trials, outcomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hypermodels.settings.configuration import Configuration

Outcomes = Mapping[str, float | None]
"""How trials ended, by id: the score, or `None` of one that failed. A trial that is not in
it is waiting or running."""


@dataclass(frozen=True)
class Candidate:
    """A configuration on offer.

    Args:
        configuration: The `Configuration`.
        signature: String, equal for configurations that build and train the same network.
        preset: String, the preset's name where it is one, or `None`.
        constant_schedule: Boolean, whether its training does not depend on the full budget
            (a constant learning rate), so that a larger budget can continue it.
    """

    configuration: Configuration
    signature: str
    preset: str | None = None
    constant_schedule: bool = False


@dataclass(frozen=True)
class RungSize:
    """A rung and its number of trials over all iterations of one budget.

    Args:
        full_epochs: Integer, the full budget.
        bracket: Integer, the bracket's `s`.
        epochs: Integer, epochs in all that its trials are trained.
        trials: Integer.
    """

    full_epochs: int
    bracket: int
    epochs: int
    trials: int


class Candidates(Protocol):
    """Where configurations come from: a pure function of its arguments."""

    def initial(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        """The candidates of a bracket's first rung: distinct, at most `count`."""

    def spares(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        """The first `count` replacements of a bracket, or fewer where there are no more."""


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """A trial that an algorithm has decided on.

    Args:
        trial_id: String: the number of its slot, a letter where it replaces a failed
            trial, and the rung where it is a promoted one: `0012`, `0012b`, `0012-2`.
        lineage: String, the first trial of the same configuration. Trials of one lineage
            are one training, which each of them continues.
        slot: Integer, the number of its slot in the search.
        candidate: Its configuration.
        iteration: Integer from 0.
        bracket: Integer, the bracket's `s`.
        rung: Integer from 0.
        epochs: Integer, epochs in all that it must have trained when it ends.
        full_epochs: Integer, the full budget of its iteration.
        parent: String, the trial it continues, or `None`.
        seed: Integer, what its training is seeded with, of a training that confirms; `None` of
            a search's, which has the search's seed.
    """

    trial_id: str
    lineage: str
    slot: int
    candidate: Candidate
    iteration: int
    bracket: int
    rung: int
    epochs: int
    full_epochs: int
    parent: str | None
    seed: int | None = None
