"""From a comparison to one of four answers, with its numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from search.analysis.comparison import Comparison, Difference
from search.analysis.resolution import seeds_needed


class Answer(Enum):
    """What can be said of an arm, or of all arms together."""

    HELPS = "helps"
    HURTS = "hurts"
    SAME = "makes no difference"
    UNKNOWN = "cannot tell yet"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a comparison says of one arm.

    Args:
        arm: String.
        answer: An `Answer`.
        difference: The `Difference` from the control.
        bound: Float, for `SAME`: no difference is larger than it.
        more_seeds: Integer, for `UNKNOWN`: about so many more would tell, if the difference
            is as large as it looks or as the margin is; `None` where no number helps.
    """

    arm: str
    answer: Answer
    difference: Difference
    bound: float | None = None
    more_seeds: int | None = None


def verdict_of(comparison: Comparison, arm: str, margin: float) -> Verdict:
    """The verdict on an arm.

    An arm helps or hurts where the simultaneous interval of its difference lies on one side
    of 0. It makes no difference where the interval lies within the margin. Otherwise nothing
    is said: that an interval has 0 in it shows no equality.

    Args:
        comparison: The `Comparison` with the control.
        arm: String.
        margin: Float, the smallest difference that would matter.

    Returns:
        A `Verdict`.
    """
    found = comparison.of(arm)
    if found.low > 0:
        return Verdict(arm=arm, answer=Answer.HELPS, difference=found)
    if found.high < 0:
        return Verdict(arm=arm, answer=Answer.HURTS, difference=found)
    bound = max(abs(found.low), abs(found.high))
    if bound <= margin:
        return Verdict(arm=arm, answer=Answer.SAME, difference=found, bound=bound)
    return Verdict(
        arm=arm,
        answer=Answer.UNKNOWN,
        difference=found,
        more_seeds=_more_seeds(comparison, found, margin),
    )


def overall(verdicts: Sequence[Verdict], explained: Sequence[Verdict] = ()) -> Verdict:
    """The answer to the question of a whole run.

    Args:
        verdicts: Those of all arms with attention against the plain network.
        explained: Those of the winner against the plain network with the winner's recipe:
            what holds against one of the two plain networks alone may be the recipe's doing.

    Returns:
        The `Verdict` that stands for all: that of the best arm that helps; else one of which
        nothing can be said, if there is one; else that of the best arm. Where the winner
        helps or hurts against one plain network only, it is that against the other.
    """
    by_mean = sorted(verdicts, key=lambda each: -each.difference.mean)
    helping = [each for each in by_mean if each.answer is Answer.HELPS]
    unknown = [each for each in by_mean if each.answer is Answer.UNKNOWN]
    found = (helping or unknown or by_mean)[0]
    if found.answer in (Answer.HELPS, Answer.HURTS):
        for twin in explained:
            if twin.arm == found.arm and twin.answer is not found.answer:
                return twin
    return found


def _more_seeds(comparison: Comparison, found: Difference, margin: float) -> int | None:
    if not math.isfinite(found.standard_error) or not found.standard_error:
        return None
    noise = found.standard_error * math.sqrt(comparison.seeds / 2)
    wanted = max(abs(found.mean), margin)
    needed = seeds_needed(noise, wanted, len(comparison.differences), comparison.alpha)
    return None if needed is None else max(1, needed - comparison.seeds)
