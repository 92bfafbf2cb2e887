"""Hyperband's brackets: how many trials are trained for how long, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rung:
    """One round of a bracket: `size` trials are trained to `epochs` epochs in all."""

    size: int
    epochs: int


@dataclass(frozen=True)
class Bracket:
    """A bracket of successive halving; `number` is `s` in the paper."""

    number: int
    rungs: tuple[Rung, ...]


MAX_TRIALS = 200_000
"""First trials of a search; all of them are drawn and compared before the first is trained."""


def first_rung_trials(max_epochs: int, factor: int, iterations: int = 1) -> int:
    """How many configurations a search of some Hyperband iterations begins with."""
    return iterations * sum(each.rungs[0].size for each in brackets(max_epochs, factor))


def brackets(max_epochs: int, factor: int) -> tuple[Bracket, ...]:
    """The brackets of one Hyperband iteration, the most exploring one first.

    Args:
        max_epochs: Integer, the full budget `R`.
        factor: Integer, `eta`: each rung keeps one in `factor`.

    Returns:
        Brackets `s_max .. 0` with `s_max = floor(log_eta R)` in whole numbers;
        `n = ceil((s_max + 1) / (s + 1) * eta^s)` trials at first, `floor(n * eta^-i)` in
        rung `i`, trained to `R * eta^(i - s)` epochs, rounded down but at least 1.

    Example:

    >>> [[(r.size, r.epochs) for r in b.rungs] for b in brackets(9, 3)]
    [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]
    """
    deepest = 0
    while factor ** (deepest + 1) <= max_epochs:
        deepest += 1
    result = []
    for number in range(deepest, -1, -1):
        first = -(-(deepest + 1) * factor**number // (number + 1))
        rungs = tuple(
            Rung(max(1, first // factor**i), max(1, max_epochs // factor ** (number - i)))
            for i in range(number + 1)
        )
        result.append(Bracket(number, rungs))
    return tuple(result)
