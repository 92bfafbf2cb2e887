"""Which candidate has which slot of a search: presets first, then what is drawn.

Every configuration is a pure function of the space, the seed and its slot in the search.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypermodels.networks.cost import CostModel
from search.algorithms.brackets import Bracket, brackets
from search.algorithms.trials import Candidate
from search.candidates.drawing import Drawing
from search.data import Progress, no_progress
from search.errors import SpaceError
from search.space.space import Space


class SampledCandidates:
    """The `Candidates` of a space.

    Args:
        space: The `Space`.
        costs: The `CostModel` of its images.
        budgets: The full budget of each Hyperband iteration.
        progress: Told of every draw.
    """

    def __init__(
        self,
        space: Space,
        costs: CostModel,
        budgets: Sequence[int],
        progress: Progress = no_progress,
    ) -> None:
        self._space = space
        self.drawing = Drawing(space, costs, progress)
        self._brackets = [brackets(budget, space.search.factor) for budget in budgets]
        self._first: dict[tuple[int, int], list[Candidate]] = {}
        self._drawn: dict[str, Candidate] = {}
        self._drawn_by: list[dict[str, Candidate]] = []
        self._next_iteration = 0
        self._replacements: dict[tuple[int, int], list[Candidate]] = {}
        self._presets = self.drawing.feasible_presets()
        self._drawn |= {preset.signature: preset for preset in self._presets}
        self._presets_placed = 0

    def initial(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        """The candidates of a bracket's first rung; see `trials.Candidates`."""
        self._draw_iterations(iteration + 1)
        return self._first[iteration, bracket][:count]

    def spares(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        """Replacements for failed trials of a bracket; see `trials.Candidates`."""
        self._draw_iterations(iteration + 1)
        # What later iterations draw must not matter: they may be added later.
        known = self._drawn_by[iteration]
        found = self._replacements.setdefault((iteration, bracket), [])
        if len(found) < count:
            taken = set(known)
            stream = self.drawing.stream(known, taken, "replacement", iteration, bracket)
            found[:] = itertools.islice(stream, count)
        if len(found) < count:
            # Nothing is new any more: configurations of other brackets, as in `first`.
            taken = {candidate.signature for candidate in self._first[iteration, bracket]}
            taken |= {candidate.signature for candidate in found}
            stream = self.drawing.stream(known, taken, "other replacement", iteration, bracket)
            found += itertools.islice(stream, count - len(found))
        return found[:count]

    def _draw_iterations(self, count: int) -> None:
        while self._next_iteration < count:
            self._draw_iteration(self._next_iteration)
            self._next_iteration += 1

    def _draw_iteration(self, iteration: int) -> None:
        if iteration and self._brackets[iteration] != self._brackets[iteration - 1]:
            self._presets_placed = 0  # a larger budget needs its own baseline
        for bracket in self._brackets[iteration]:
            self._first[iteration, bracket.number] = self._draw_bracket(iteration, bracket)
        self._drawn_by.append(dict(self._drawn))
        if not self._drawn:
            raise SpaceError(self.drawing.nothing_feasible())

    def _draw_bracket(self, iteration: int, bracket: Bracket) -> list[Candidate]:
        size = bracket.rungs[0].size
        # Presets come first; those that a small bracket has no slot for, in the next one.
        chosen = self._presets[self._presets_placed :][:size]
        self._presets_placed += len(chosen)
        taken = set(self._drawn)
        stream = self.drawing.stream(self._drawn, taken, "first", iteration, bracket.number)
        fresh = list(itertools.islice(stream, size - len(chosen)))
        self._drawn |= {candidate.signature: candidate for candidate in fresh}
        chosen += fresh
        if len(chosen) < size:
            # The space is used up: configurations of other brackets come again. What they
            # have trained is not trained again, but this bracket compares them later.
            own = {candidate.signature for candidate in chosen}
            stream = self.drawing.stream(self._drawn, own, "again", iteration, bracket.number)
            chosen += itertools.islice(stream, size - len(chosen))
        return chosen

    def check(self) -> None:
        """Makes sure that there is a first candidate, without drawing all others.

        Raises:
            SpaceError: If no configuration can be built within the constraints.
        """
        if self._presets or self.drawing.every:
            return
        self.drawing.networks.check_limits()
        for bracket in self._brackets[0]:
            stream = self.drawing.stream({}, set(), "first", 0, bracket.number)
            if next(stream, None) is not None:
                return
        raise SpaceError(self.drawing.nothing_feasible())
