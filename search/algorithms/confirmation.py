"""The trainings of a confirmation: every arm with every seed, in the order of the seeds.

They are known before the first is trained; how they end changes nothing but that an arm one
of whose trainings has failed gets no more of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from hypermodels.settings.configuration import Configuration
from search.algorithms.trials import Candidate, Outcomes, TrialSpec

MOST_ARMS = 99

PLAIN, TWIN, WIDER, BLIND, ATTENTION = "plain", "twin", "wider", "blind", "attention"
"""Roles of arms: without attention, as tuned best; the winner's recipe without attention; that
with as many parameters as the winner; the winner with gates that see no image; with attention."""


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Args:
        name: String, unique in its confirmation.
        role: String, `"plain"`, `"twin"`, `"wider"`, `"blind"` or `"attention"`.
        configuration: The `Configuration`.
    """

    name: str
    role: str
    configuration: Configuration


def confirmation_seeds(search_seed: int, count: int) -> list[int]:
    """Seeds for the trainings of a confirmation: distinct, and none is the search's.

    More seeds begin with those of fewer, so that a later look goes on with them.

    Args:
        search_seed: Integer, the search's seed.
        count: Integer.

    Returns:
        A list of integers from 0 to `2**31 - 1`.
    """
    found: dict[int, None] = {}
    number = 0
    while len(found) < count:
        name = f"confirmation {search_seed} {number}".encode()
        seed = int.from_bytes(hashlib.sha256(name).digest()[:4], "big") >> 1
        if seed != search_seed:
            found.setdefault(seed)
        number += 1
    return list(found)


def trial_id(arm: int, seed: int) -> str:
    """The name of a training: its arm's number and its seed's, both from 1."""
    return f"c{arm + 1:02d}-{seed + 1:02d}"


def trainings(
    arms: Sequence[Configuration], seeds: Sequence[int], epochs: int
) -> Mapping[str, TrialSpec]:
    """All trainings of a confirmation, seed by seed, so that every seed is soon whole.

    Args:
        arms: Each arm's `Configuration`.
        seeds: Integers.
        epochs: Integer, how long each is trained.

    Returns:
        A mapping from their names to their `TrialSpec`.
    """
    found = {}
    for number, seed in enumerate(seeds):
        for arm, configuration in enumerate(arms):
            name = trial_id(arm, number)
            found[name] = TrialSpec(
                trial_id=name,
                lineage=name,
                slot=0,
                candidate=Candidate(configuration, ""),
                iteration=0,
                bracket=0,
                rung=0,
                epochs=epochs,
                full_epochs=epochs,
                parent=None,
                seed=seed,
            )
    return found


def next_training(
    planned: Mapping[str, TrialSpec], outcomes: Outcomes, running: Collection[str]
) -> TrialSpec | None:
    """The training that an idle worker gets, or `None` if all that are left run.

    Args:
        planned: The trainings; see `trainings`.
        outcomes: How trainings ended.
        running: Names of those that workers train.
    """
    given_up = failed_arms(outcomes)
    for name, spec in planned.items():
        if name not in outcomes and name not in running and arm_of(name) not in given_up:
            return spec
    return None


def arm_of(name: str) -> int:
    """The number of a training's arm, from 0."""
    return int(name[1:3]) - 1


def failed_arms(outcomes: Outcomes) -> set[int]:
    """The arms one of whose trainings has failed."""
    return {arm_of(name) for name, score in outcomes.items() if score is None}
