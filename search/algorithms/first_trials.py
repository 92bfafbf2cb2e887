"""Few trials run before the first has finished, so that a hopeless search ends early.

Which those are, and whether they have all failed, depends on recorded outcomes alone: not
on time, nor on how many workers there are. So no other trial is handed out before one of
them has finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from search.algorithms.trials import Outcomes, TrialSpec

FIRST = 8
"""Trials that are tried before one of them must have finished."""


def first_trials(plans: Sequence[TrialSpec], outcomes: Outcomes) -> list[TrialSpec] | None:
    """The trials that may run while none has finished, in their order.

    They are the first of the first iteration's configurations, and where those are fewer,
    their replacements, wave by wave.

    Args:
        plans: Every trial that exists.
        outcomes: How trials ended.

    Returns:
        The trials; `None` once one has finished, or when none is left that could tell.
    """
    if any(outcome is not None for outcome in outcomes.values()):
        return None
    waves: dict[str, list[TrialSpec]] = {}
    for plan in plans:
        if plan.iteration == 0 and plan.rung == 0:
            waves.setdefault(plan.trial_id.lstrip("0123456789"), []).append(plan)
    first: list[TrialSpec] = []
    for wave in (waves[letter] for letter in sorted(waves)):
        first += sorted(wave, key=lambda plan: plan.slot)
        # Replacements of one bracket may exist before another bracket has its own.
        if len(first) >= FIRST or any(plan.trial_id not in outcomes for plan in wave):
            return first[:FIRST]
    return None


def all_failed(plans: Sequence[TrialSpec], outcomes: Outcomes) -> list[TrialSpec]:
    """The first trials, if every one of them has failed; else an empty list."""
    first = first_trials(plans, outcomes) or []
    return first if first and all(plan.trial_id in outcomes for plan in first) else []
