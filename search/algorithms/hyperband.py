"""Hyperband as pure decisions: what is known about finished trials -> which trials exist.

Li, Jamieson, DeSalvo, Rostamizadeh, Talwalkar: "Hyperband: A Novel Bandit-Based Approach
to Hyperparameter Optimization", JMLR 18, 2018, algorithm 1.

There is no state to save or to corrupt: `Hyperband.trials(outcomes)` derives every trial
that exists so far from the plan, the candidates and the outcomes, so the answer depends
neither on the order in which trials finish nor on the number of workers. Beyond the paper:

* A trial is promoted as soon as it is certain to be among its rung's best, that is when
  fewer than `k` others are better or may still become better; what is promoted is exactly
  the top `k`, ties going to the earlier trial.
* A failed trial is replaced: in the first rung by a new candidate, in later rungs by the
  next best of the rung before. Replacements are chosen when the rung's other trials have
  ended, in the order of the slots, so they too do not depend on timing.
* Where a space has fewer configurations than a bracket has places, the bracket is
  narrower but still halves its way to the full budget.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from search.algorithms.brackets import Bracket, brackets
from search.algorithms.trials import Candidate, Candidates, Outcomes, RungSize, TrialSpec


@dataclass
class _Memory:
    """What has been decided before, so that a decision takes the time of what is new."""

    places: list[tuple[int, Bracket, int]] = field(default_factory=list)
    lineages: dict[int, dict[str, str]] = field(default_factory=dict)
    trials: dict[int, tuple[Outcomes, list[TrialSpec]]] = field(default_factory=dict)
    waves: dict[int, list[TrialSpec]] = field(default_factory=dict)


@dataclass(frozen=True)
class Hyperband:
    """The decisions of a whole search.

    Args:
        budgets: The full budget of each iteration, a run of all brackets. An iteration
            that is added later changes nothing in those before it.
        factor: Integer, each rung keeps one in `factor`.
        candidates: Where configurations come from.
        maximise: Boolean, whether a greater score is better.
    """

    budgets: tuple[int, ...]
    factor: int
    candidates: Candidates
    maximise: bool = True
    _memory: _Memory = field(
        default_factory=lambda: _Memory(), init=False, compare=False, repr=False
    )

    def trials(self, outcomes: Outcomes) -> list[TrialSpec]:
        """Every trial that exists, given what has ended so far.

        Args:
            outcomes: Mapping from trial id to its outcome; a trial without one is
                waiting or running.

        Returns:
            The trials bracket by bracket, rung by rung. More outcomes only ever add
            trials, they never change or remove one.
        """
        if not self._memory.places:
            self._memory.places = self._brackets()
        # A bracket is a function of its own outcomes, of which few change at a time.
        apart = self._by_bracket(outcomes)
        found: list[TrialSpec] = []
        lineages: dict[str, str] = {}
        begun = -1
        for (iteration, bracket, number), own in zip(self._memory.places, apart, strict=True):
            if iteration != begun:
                begun = iteration
                lineages = self._known_lineages(iteration, number, lineages)
            known, trials = self._memory.trials.get(number, (None, []))
            if known != own:
                trials = self._bracket(iteration, bracket, number, own, lineages)
                self._memory.trials[number] = own, trials
            found += trials
        return found

    def _brackets(self) -> list[tuple[int, Bracket, int]]:
        """Every bracket with its iteration and the number of its first place."""
        found = []
        number = 0
        for iteration, budget in enumerate(self.budgets):
            for bracket in brackets(budget, self.factor):
                found.append((iteration, bracket, number))
                number += bracket.rungs[0].places
        return found

    def _by_bracket(self, outcomes: Outcomes) -> list[dict[str, float | None]]:
        """The outcomes of each bracket, told apart by the place that begins a trial's name."""
        firsts = [number for _, _, number in self._memory.places]
        apart: list[dict[str, float | None]] = [{} for _ in firsts]
        for name, outcome in outcomes.items():
            place = name.partition("-")[0].rstrip("bcdefgh")
            if place.isdecimal():
                apart[bisect_right(firsts, int(place)) - 1][name] = outcome
        return apart

    def _known_lineages(
        self, iteration: int, number: int, earlier: dict[str, str]
    ) -> dict[str, str]:
        if iteration not in self._memory.lineages:
            self._memory.lineages[iteration] = self._lineages(iteration, number, earlier)
        return self._memory.lineages[iteration]

    def _lineages(self, iteration: int, number: int, earlier: Mapping[str, str]) -> dict[str, str]:
        """The first trial of every configuration that stands in a first rung from the start.

        Replacements are left out: which of them exist depends on what has failed so far,
        and a trial's lineage must not. One that repeats no configuration of these begins a
        lineage of its own.
        """
        lineages = dict(earlier)
        for bracket in brackets(self.budgets[iteration], self.factor):
            places = bracket.rungs[0].places
            offered = self.candidates.first(iteration, bracket.number, places)
            for place, candidate in enumerate(offered, number):
                lineages.setdefault(self._training(candidate, iteration), f"{place:04d}")
            number += places
        return lineages

    def _training(self, candidate: Candidate, iteration: int) -> str:
        """What two trials must share to be one training: the network and its schedule."""
        horizon = "" if candidate.constant_schedule else f"@{self.budgets[iteration]}"
        return candidate.identity + horizon

    def rungs(self) -> list[RungSize]:
        """How many trials each rung is there for; see `base.Algorithm`."""
        return [
            RungSize(budget, bracket.number, rung.epochs, rung.places * self.budgets.count(budget))
            for budget in dict.fromkeys(self.budgets)
            for bracket in brackets(budget, self.factor)
            for rung in bracket.rungs
        ]

    def remaining_epochs(self, outcomes: Outcomes, trained: Mapping[str, int]) -> int:
        """Epochs that are left to train, as far as can be told.

        Args:
            outcomes: How trials ended.
            trained: Mapping from lineage to the epochs it has been trained.
        """
        plans = self.trials(outcomes)
        reach = dict(trained)
        left = 0
        for plan in plans:
            if plan.trial_id not in outcomes:
                left += max(0, plan.epochs - reach.get(plan.lineage, 0))
                reach[plan.lineage] = max(plan.epochs, reach.get(plan.lineage, 0))
        standing = Counter((plan.iteration, plan.bracket, plan.rung) for plan in plans)
        for iteration, budget in enumerate(self.budgets):
            for bracket in brackets(budget, self.factor):
                before = standing[iteration, bracket.number, 0]
                for index, rung in enumerate(bracket.rungs[1:], 1):
                    will_stand = min(rung.places, before)
                    to_come = will_stand - standing[iteration, bracket.number, index]
                    left += max(0, to_come) * (rung.epochs - bracket.rungs[index - 1].epochs)
                    before = will_stand
        return left

    def resumable(self, outcomes: Outcomes) -> set[str]:
        """The lineages whose training may still go on; the state of others can be dropped.

        A trial may still be promoted until its next rung has all its places filled with
        finished trials.
        """
        plans = self.trials(outcomes)
        resumable = {plan.lineage for plan in plans if plan.trial_id not in outcomes}
        if not resumable:
            return set()  # the search is at its end
        finished = [
            plan
            for plan in plans
            if plan.trial_id in outcomes and outcomes[plan.trial_id] is not None
        ]
        filled = Counter((plan.iteration, plan.bracket, plan.rung) for plan in finished)
        for plan in finished:
            bracket = brackets(plan.full_epochs, self.factor)[-1 - plan.bracket]
            after = plan.rung + 1
            if after < len(bracket.rungs):
                places = bracket.rungs[after].places
                if filled[plan.iteration, plan.bracket, after] < places:
                    resumable.add(plan.lineage)
        return resumable

    def _bracket(
        self,
        iteration: int,
        bracket: Bracket,
        number: int,
        outcomes: Outcomes,
        lineages: Mapping[str, str],
    ) -> list[TrialSpec]:
        found: list[TrialSpec] = []
        rung = self._first_rung(iteration, bracket, number, outcomes, lineages)
        found += rung
        closed = all(plan.trial_id in outcomes for plan in rung)
        for index in range(1, len(bracket.rungs)):
            rung, closed = self._next_rung(bracket, index, rung, closed, outcomes)
            found += rung
        return found

    def _first_rung(
        self,
        iteration: int,
        bracket: Bracket,
        number: int,
        outcomes: Outcomes,
        lineages: Mapping[str, str],
    ) -> list[TrialSpec]:
        places = bracket.rungs[0].places

        def plan(place: int, letter: str, candidate: Candidate) -> TrialSpec:
            name = f"{place:04d}{letter}"
            return TrialSpec(
                trial_id=name,
                lineage=lineages.get(self._training(candidate, iteration), name),
                place=place,
                candidate=candidate,
                iteration=iteration,
                bracket=bracket.number,
                rung=0,
                epochs=bracket.rungs[0].epochs,
                full_epochs=self.budgets[iteration],
                parent=None,
            )

        if number not in self._memory.waves:
            first = self.candidates.first(iteration, bracket.number, places)
            self._memory.waves[number] = [
                plan(place, "", candidate) for place, candidate in enumerate(first, number)
            ]
        wave = self._memory.waves[number]
        rung = list(wave)
        used = 0
        for letter in "bcdefgh":  # a place is tried eight times at most
            if not all(trial.trial_id in outcomes for trial in wave):
                break
            failed = [trial for trial in wave if outcomes[trial.trial_id] is None]
            if not failed:
                break
            offered = self.candidates.replacements(iteration, bracket.number, used + len(failed))[
                used:
            ]
            wave = [
                plan(trial.place, letter, candidate)
                for trial, candidate in zip(failed, offered, strict=False)
            ]
            used += len(wave)
            rung += wave
        return rung

    def _next_rung(
        self,
        bracket: Bracket,
        index: int,
        before: list[TrialSpec],
        before_closed: bool,
        outcomes: Outcomes,
    ) -> tuple[list[TrialSpec], bool]:
        """The trials promoted to rung `index`, and whether no more can come."""
        places = bracket.rungs[index].places
        ranked = self._ranked(before, outcomes)
        if not before_closed:
            # Every place of the rung before that has no finished trial may yet give one
            # that is better than any that has.
            open_places = bracket.rungs[index - 1].places - len(ranked)
            certain = ranked[: max(0, places - open_places)]
            return [self._promoted(trial, bracket, index) for trial in certain], False
        rung = [self._promoted(trial, bracket, index) for trial in ranked[:places]]
        rest = ranked[places:]
        wave = rung
        while all(trial.trial_id in outcomes for trial in wave):
            failed = [trial for trial in wave if outcomes[trial.trial_id] is None]
            wave = [self._promoted(trial, bracket, index) for trial in rest[: len(failed)]]
            rest = rest[len(wave) :]
            if not wave:
                return rung, True
            rung = rung + wave
        return rung, False

    def _promoted(self, parent: TrialSpec, bracket: Bracket, index: int) -> TrialSpec:
        return replace(
            parent,
            trial_id=f"{parent.trial_id.partition('-')[0]}-{index}",
            rung=index,
            epochs=bracket.rungs[index].epochs,
            parent=parent.trial_id,
        )

    def _ranked(self, trials: list[TrialSpec], outcomes: Outcomes) -> list[TrialSpec]:
        """The trials that finished, best first; of equal ones the earlier first."""
        scored = [
            (outcomes[trial.trial_id], trial) for trial in trials if trial.trial_id in outcomes
        ]
        done = [(score, trial) for score, trial in scored if score is not None]
        sign = -1.0 if self.maximise else 1.0
        # By place, which is a number: as a string 10000 stands before 9999.
        return [
            trial for _, trial in sorted(done, key=lambda pair: (sign * pair[0], pair[1].place))
        ]
