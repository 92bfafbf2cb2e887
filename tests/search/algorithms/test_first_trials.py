"""The first trials: how many run before one has finished, and when the search stops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import pytest

from search.algorithms.first_trials import FIRST, all_failed, first_trials
from search.algorithms.hyperband import Hyperband
from search.algorithms.trials import TrialSpec


@dataclass(frozen=True)
class Numbered:
    """A candidate that is nothing but a number."""

    signature: str
    constant_schedule: bool = True


@dataclass
class Candidates:
    """As many candidates as are asked for, and some replacements."""

    spare: int = 100
    made: dict[str, Numbered] = field(default_factory=dict)

    def initial(self, iteration: int, bracket: int, count: int) -> list[Any]:
        return [Numbered(f"{iteration}.{bracket}.{number}") for number in range(count)]

    def spares(self, iteration: int, bracket: int, count: int) -> list[Any]:
        return [Numbered(f"r{bracket}.{number}") for number in range(min(count, self.spare))]


def hyperband(epochs: int, iterations: int = 1, spare: int = 100) -> Hyperband:
    return Hyperband((epochs,) * iterations, 3, Candidates(spare))  # type: ignore[arg-type]


def failing(search: Hyperband, order: tuple[int, ...]) -> Iterator[list[TrialSpec]]:
    """What is tried when everything fails, ending in some order."""
    ended: dict[str, float | None] = {}
    while True:
        plans = search.trials(ended)
        allowed = first_trials(plans, ended)
        waiting = [plan for plan in allowed or plans if plan.trial_id not in ended]
        if not waiting or all_failed(plans, ended):
            yield [plan for plan in plans if plan.trial_id in ended]
            return
        ended[waiting[order[len(ended) % len(order)] % len(waiting)].trial_id] = None


@pytest.mark.parametrize("epochs", [1, 3, 9, 81])
def test_which_are_tried_does_not_depend_on_what_ends_first(epochs: int) -> None:
    found = set()
    for order in permutations(range(4)):
        (tried,) = failing(hyperband(epochs, iterations=2), order)
        found.add(frozenset(plan.trial_id for plan in tried))
    (names,) = found
    assert len(names) == FIRST


def test_a_success_opens_the_search() -> None:
    search = hyperband(27)
    ended = {f"{number:04d}": None for number in range(7)}
    first = first_trials(search.trials(ended), ended)
    assert first is not None and [plan.trial_id for plan in first][-1] == "0007"
    ended["0007"] = 0.5
    assert first_trials(search.trials(ended), ended) is None
    assert not all_failed(search.trials(ended), ended)


def test_too_few_to_tell() -> None:
    """Where a small space has no eight configurations, the search goes on to its own end."""
    search = hyperband(1, spare=2)
    (tried,) = failing(search, (0,))
    assert [plan.trial_id for plan in tried] == ["0000", "0000b", "0000c"]
    ended = {plan.trial_id: None for plan in tried}
    assert first_trials(search.trials(ended), ended) is None
