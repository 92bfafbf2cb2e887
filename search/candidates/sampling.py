"""Where configurations come from: seeded sampling without repetition or infeasible ones.

Every configuration is a pure function of the space, the seed and its place in the search.
A configuration that builds the same network as one already drawn, or breaks a constraint,
is passed over before it becomes a trial.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hypermodels.knobs import FloatRange
from hypermodels.networks.cost import CostModel
from hypermodels.settings.configuration import Configuration
from search.algorithms.brackets import Bracket, brackets
from search.algorithms.trials import Candidate
from search.candidates.networks import Draw, Look, Networks
from search.data import Progress, no_progress
from search.errors import SpaceError
from search.space.space import Space, depends_on_tuning

ENUMERABLE = 4096
"""Spaces with at most this many combinations of values are listed in full."""

MAX_MISSES = 2000
"""Draws in a row without a new feasible configuration after which a space counts as used up."""


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
        self._costs = costs
        self._networks = Networks(space, costs)
        self._progress = progress
        self._draws_made = self._draws_taken = 0
        self._brackets = [brackets(budget, int(space.search["factor"])) for budget in budgets]
        self._first: dict[tuple[int, int], list[Candidate]] = {}
        self._drawn: dict[str, Candidate] = {}
        self._drawn_by: list[dict[str, Candidate]] = []
        self._next_iteration = 0
        self._replacements: dict[tuple[int, int], list[Candidate]] = {}
        self.refused: dict[str, int] = {}
        self._every = self._enumerate()
        self._presets = self._feasible_presets()
        self._drawn |= {preset.identity: preset for preset in self._presets}
        self._presets_placed = 0

    def first(self, iteration: int, bracket: int, places: int) -> Sequence[Candidate]:
        """The candidates of a bracket's first rung; see `hyperband.Candidates`."""
        self._draw_iterations(iteration + 1)
        return self._first[iteration, bracket][:places]

    def replacements(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        """Replacements for failed trials of a bracket; see `hyperband.Candidates`."""
        self._draw_iterations(iteration + 1)
        # What later iterations draw must not matter: they may be added later.
        known = self._drawn_by[iteration]
        found = self._replacements.setdefault((iteration, bracket), [])
        if len(found) < count:
            taken = set(known)
            stream = self._stream(known, taken, "replacement", iteration, bracket)
            found[:] = itertools.islice(stream, count)
        if len(found) < count:
            # Nothing is new any more: configurations of other brackets, as in `first`.
            taken = {candidate.identity for candidate in self._first[iteration, bracket]}
            taken |= {candidate.identity for candidate in found}
            stream = self._stream(known, taken, "other replacement", iteration, bracket)
            found += itertools.islice(stream, count - len(found))
        return found[:count]

    def _draw_iterations(self, count: int) -> None:
        while self._next_iteration < count:
            self._draw_iteration(self._next_iteration)
            self._next_iteration += 1

    def _feasible_presets(self) -> list[Candidate]:
        found: dict[str, Candidate] = {}
        for name in self._space.presets:
            configuration = self._space.preset_configuration(name)
            reason = self._networks.infeasible(configuration)
            if reason is not None:
                self._count_refusal(reason)
                continue
            identity = self._costs.identity(configuration)
            found.setdefault(identity, _candidate(configuration, identity, name))
        return list(found.values())

    def _draw_iteration(self, iteration: int) -> None:
        if iteration and self._brackets[iteration] != self._brackets[iteration - 1]:
            self._presets_placed = 0  # a larger budget needs its own baseline
        for bracket in self._brackets[iteration]:
            self._first[iteration, bracket.number] = self._draw_bracket(iteration, bracket)
        self._drawn_by.append(dict(self._drawn))
        if not self._drawn:
            raise SpaceError(self._nothing_feasible())

    def _draw_bracket(self, iteration: int, bracket: Bracket) -> list[Candidate]:
        places = bracket.rungs[0].places
        # Presets come first; those that a small bracket has no place for, in the next one.
        chosen = self._presets[self._presets_placed :][:places]
        self._presets_placed += len(chosen)
        taken = set(self._drawn)
        stream = self._stream(self._drawn, taken, "first", iteration, bracket.number)
        fresh = list(itertools.islice(stream, places - len(chosen)))
        self._drawn |= {candidate.identity: candidate for candidate in fresh}
        chosen += fresh
        if len(chosen) < places:
            # The space is used up: configurations of other brackets come again. What they
            # have trained is not trained again, but this bracket compares them later.
            own = {candidate.identity for candidate in chosen}
            stream = self._stream(self._drawn, own, "again", iteration, bracket.number)
            chosen += itertools.islice(stream, places - len(chosen))
        return chosen

    def _stream(
        self, known: Mapping[str, Candidate], taken: set[str], *purpose: object
    ) -> Iterator[Candidate]:
        """Yields feasible configurations whose network is not in `taken`, and adds them.

        A network that is `known` comes as it was drawn first, under the same name.
        """
        entropy = [int(self._space.search["seed"]), *map(_number, purpose)]
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        misses = 0
        for draw in self._draws(random):
            look = self._look(draw)
            if look.identity is None or look.identity in taken:
                misses += 1
                if misses == MAX_MISSES and self._every is None:
                    return
                continue
            taken.add(look.identity)
            misses = 0
            self._draws_taken += 1
            configuration = self._networks.configuration(draw)
            yield known.get(look.identity) or _candidate(configuration, look.identity)

    def _draws(self, random: np.random.Generator) -> Iterator[Draw]:
        if self._every is not None:
            for place in random.permutation(len(self._every)):
                yield self._every[place]
            return
        while True:
            yield self._networks.sample(random)

    def _enumerate(self) -> list[Draw] | None:
        """A draw of every network of the space, or `None` if they are too many to list."""
        domains = self._networks.domains.values()
        if any(isinstance(domain, FloatRange) for domain in domains):
            return None
        lists = [domain.values for domain in domains]  # type: ignore[union-attr]
        if math.prod(len(values) for values in lists) > ENUMERABLE:
            return None
        found: dict[str, Draw] = {}
        for draw in itertools.product(*lists):
            identity = self._look(draw).identity
            if identity is not None:
                found.setdefault(identity, draw)
        return list(found.values())

    def _look(self, draw: Draw) -> Look:
        look = self._networks.look(draw)
        if look.refused is not None:
            self._count_refusal(look.refused)
        self._draws_made += 1
        self._progress(_DRAWING, self._draws_taken, self._draws_made)
        return look

    def _count_refusal(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def check(self) -> None:
        """Makes sure that there is a first candidate, without drawing all others.

        Raises:
            SpaceError: If no configuration can be built within the constraints.
        """
        if self._presets or self._every:
            return
        self._networks.check_limits()
        for bracket in self._brackets[0]:
            stream = self._stream({}, set(), "first", 0, bracket.number)
            if next(stream, None) is not None:
                return
        raise SpaceError(self._nothing_feasible())

    def _nothing_feasible(self) -> str:
        worst = sorted(self.refused.items(), key=lambda item: -item[1])[:3]
        reasons = "; ".join(reason for reason, _ in worst) or "it has no configuration"
        what = (
            "no configuration of this space can be built"
            if depends_on_tuning(self._space)
            else "the one configuration of this space cannot be built"
        )
        return f"{self._space.source}: {what}: {reasons}."


_DRAWING = "Drawing configurations, of which new ones that can be built"


def _candidate(
    configuration: Configuration, identity: str, preset: str | None = None
) -> Candidate:
    recipe = configuration.recipe
    constant_schedule = recipe["schedule"] == "constant" and recipe["warmup"] == 0
    return Candidate(configuration, identity, preset, constant_schedule)


def _number(part: object) -> int:
    return part if isinstance(part, int) else int.from_bytes(str(part).encode()[:4], "big")
