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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hypermodels.configuration import Configuration
from search.brackets import Bracket, brackets


@dataclass(frozen=True)
class Candidate:
    """A configuration on offer.

    Args:
        configuration: The `Configuration`.
        identity: String, equal for configurations that build and train the same network.
        preset: String, the preset's name where it is one, or `None`.
        horizonless: Boolean, whether its training does not depend on the full budget (a
            constant learning rate), so that a larger budget can continue it.
    """

    configuration: Configuration
    identity: str
    preset: str | None = None
    horizonless: bool = False


class Candidates(Protocol):
    """Where configurations come from: a pure function of its arguments."""

    def first(self, iteration: int, bracket: int, places: int) -> Sequence[Candidate]:
        """The candidates of a bracket's first rung: distinct, at most `places`."""

    def replacements(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        """The first `count` replacements of a bracket, or fewer where there are no more."""


@dataclass(frozen=True)
class TrialPlan:
    """A trial that Hyperband has decided on.

    Args:
        trial_id: String: the number of its place, a letter where it replaces a failed
            trial, and the rung where it is a promoted one: `0012`, `0012b`, `0012-2`.
        lineage: String, the first trial of the same configuration. Trials of one lineage
            are one training, which each of them continues.
        place: Integer, the number of its place in the search.
        candidate: Its configuration.
        iteration: Integer from 0.
        bracket: Integer, the bracket's `s`.
        rung: Integer from 0.
        epochs: Integer, epochs in all that it must have trained when it ends.
        full_epochs: Integer, the full budget of its iteration.
        parent: String, the trial it continues, or `None`.
    """

    trial_id: str
    lineage: str
    place: int
    candidate: Candidate
    iteration: int
    bracket: int
    rung: int
    epochs: int
    full_epochs: int
    parent: str | None


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: its score, or `None` if it failed."""

    score: float | None


@dataclass
class _Memory:
    """What has been decided before, so that a decision takes the time of what is new."""

    places: list[tuple[int, Bracket, int]] = field(default_factory=list)
    lineages: dict[int, dict[str, str]] = field(default_factory=dict)
    trials: dict[int, tuple[dict[str, Outcome], list[TrialPlan]]] = field(default_factory=dict)
    waves: dict[int, list[TrialPlan]] = field(default_factory=dict)


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

    def trials(self, outcomes: Mapping[str, Outcome]) -> list[TrialPlan]:
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
        found: list[TrialPlan] = []
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

    def _by_bracket(self, outcomes: Mapping[str, Outcome]) -> list[dict[str, Outcome]]:
        """The outcomes of each bracket, told apart by the place that begins a trial's name."""
        firsts = [number for _, _, number in self._memory.places]
        apart: list[dict[str, Outcome]] = [{} for _ in firsts]
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
        horizon = "" if candidate.horizonless else f"@{self.budgets[iteration]}"
        return candidate.identity + horizon

    def total_epochs(self) -> int:
        """Epochs of training in a whole search without failures, promotions continued."""
        total = 0
        for budget in self.budgets:
            for bracket in brackets(budget, self.factor):
                before = 0
                for rung in bracket.rungs:
                    total += rung.places * (rung.epochs - before)
                    before = rung.epochs
        return total

    def remaining_epochs(self, outcomes: Mapping[str, Outcome], trained: Mapping[str, int]) -> int:
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

    def needed(self, outcomes: Mapping[str, Outcome]) -> set[str]:
        """The lineages whose training may still go on; the state of others can be dropped.

        A trial may still be promoted until its next rung has all its places filled with
        finished trials.
        """
        plans = self.trials(outcomes)
        needed = {plan.lineage for plan in plans if plan.trial_id not in outcomes}
        if not needed:
            return set()  # the search is at its end
        finished = [
            plan
            for plan in plans
            if plan.trial_id in outcomes and outcomes[plan.trial_id].score is not None
        ]
        filled = Counter((plan.iteration, plan.bracket, plan.rung) for plan in finished)
        for plan in finished:
            bracket = brackets(plan.full_epochs, self.factor)[-1 - plan.bracket]
            after = plan.rung + 1
            if after < len(bracket.rungs):
                places = bracket.rungs[after].places
                if filled[plan.iteration, plan.bracket, after] < places:
                    needed.add(plan.lineage)
        return needed

    def _bracket(
        self,
        iteration: int,
        bracket: Bracket,
        number: int,
        outcomes: Mapping[str, Outcome],
        lineages: Mapping[str, str],
    ) -> list[TrialPlan]:
        found: list[TrialPlan] = []
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
        outcomes: Mapping[str, Outcome],
        lineages: Mapping[str, str],
    ) -> list[TrialPlan]:
        places = bracket.rungs[0].places

        def plan(place: int, letter: str, candidate: Candidate) -> TrialPlan:
            name = f"{place:04d}{letter}"
            return TrialPlan(
                name,
                lineages.get(self._training(candidate, iteration), name),
                place,
                candidate,
                iteration,
                bracket.number,
                0,
                bracket.rungs[0].epochs,
                self.budgets[iteration],
                None,
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
            failed = [trial for trial in wave if outcomes[trial.trial_id].score is None]
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
        before: list[TrialPlan],
        before_closed: bool,
        outcomes: Mapping[str, Outcome],
    ) -> tuple[list[TrialPlan], bool]:
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
            failed = [trial for trial in wave if outcomes[trial.trial_id].score is None]
            wave = [self._promoted(trial, bracket, index) for trial in rest[: len(failed)]]
            rest = rest[len(wave) :]
            if not wave:
                return rung, True
            rung = rung + wave
        return rung, False

    def _promoted(self, parent: TrialPlan, bracket: Bracket, index: int) -> TrialPlan:
        return TrialPlan(
            f"{parent.trial_id.partition('-')[0]}-{index}",
            parent.lineage,
            parent.place,
            parent.candidate,
            parent.iteration,
            parent.bracket,
            index,
            bracket.rungs[index].epochs,
            parent.full_epochs,
            parent.trial_id,
        )

    def _ranked(self, trials: list[TrialPlan], outcomes: Mapping[str, Outcome]) -> list[TrialPlan]:
        """The trials that finished, best first; of equal ones the earlier first."""
        scored = [
            (outcomes[trial.trial_id].score, trial)
            for trial in trials
            if trial.trial_id in outcomes
        ]
        done = [(score, trial) for score, trial in scored if score is not None]
        sign = -1.0 if self.maximise else 1.0
        # By place, which is a number: as a string 10000 stands before 9999.
        return [
            trial for _, trial in sorted(done, key=lambda pair: (sign * pair[0], pair[1].place))
        ]
