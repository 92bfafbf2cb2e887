"""When a confirmation may look at its test scores, and how much error each look may make.

Looking after every seed and stopping at the first success claims a difference that is not
there 18 times in 100. Here the looks are planned, and share the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

ALPHA = 0.05
LOOKS = (5, 8, 12)


def planned_looks(first: int) -> tuple[int, ...]:
    """The looks that begin with some seeds, in the proportion of 5, 8 and 12."""
    second, third = (round(first * seeds / LOOKS[0]) for seeds in LOOKS[1:])
    return first, max(second, first + 1), max(third, first + 2)


def spent_error(looks: Sequence[int], alpha: float = ALPHA) -> list[float]:
    """The error of each planned look; they add up to `alpha`.

    The spending function is Pocock's, `alpha ln(1 + (e - 1) t)` of the share `t` of the seeds.
    It gives the first look more than half: most people train the first five seeds and no
    more, and O'Brien and Fleming's, which gives it a twentieth, would leave them with nothing
    that they could see. Over three looks, their powers differ little.

    Args:
        looks: Integers, seeds at each look, rising.
        alpha: Float, the error of all looks together.

    Returns:
        A list of floats.

    Reference:
        - [Discrete Sequential Boundaries for Clinical
          Trials](https://doi.org/10.1093/biomet/70.3.659)
    """
    spent = [alpha * math.log(1 + (math.e - 1) * seeds / looks[-1]) for seeds in looks]
    return [now - before for before, now in zip([0.0, *spent], spent, strict=False)]
