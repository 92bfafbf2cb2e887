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
* Where a space has fewer configurations than a bracket has slots, the bracket is
  narrower but still halves its way to the full budget.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from search.algorithms.brackets import Bracket, brackets
from search.algorithms.incremental import IncrementalDecisions, epochs_waiting
from search.algorithms.trials import Candidate, Candidates, Outcomes, RungSize, TrialSpec

LETTERS = "bcdefgh"
"""What the replacements of a failed trial are called, in turn."""


@dataclass(frozen=True)
class Part:
    """A bracket of an iteration. What it decides depends on how its own trials ended.

    Args:
        iteration: Integer from 0.
        bracket: The `Bracket`.
        slot: Integer, the number of its first slot.
        lineages: Mapping from a training to its lineage, of all first rungs so far.
    """

    iteration: int
    bracket: Bracket
    slot: int
    lineages: Mapping[str, str]


@dataclass(frozen=True)
class Hyperband:
    """The decisions of a whole search.

    Args:
        budgets: The full budget of each iteration, a run of all brackets. An iteration
            that is added later changes nothing in those before it.
        factor: Integer, each rung keeps one in `factor`.
        candidates: Where configurations come from.
        maximize: Boolean, whether a greater score is better.
    """

    budgets: tuple[int, ...]
    factor: int
    candidates: Candidates
    maximize: bool = True

    def trials(self, outcomes: Outcomes) -> list[TrialSpec]:
        """Every trial that exists, given what has ended so far.

        Args:
            outcomes: Mapping from trial id to its outcome; a trial without one is
                waiting or running.

        Returns:
            The trials bracket by bracket, rung by rung. More outcomes only ever add
            trials, they never change or remove one.
        """
        return [trial for _, _, trials in self._by_part(outcomes) for trial in trials]

    def resumable(self, outcomes: Outcomes) -> set[str]:
        """The lineages whose training may still go on; see `base.Algorithm`."""
        found: set[str] = set()
        at_the_end = True
        for part, own, trials in self._by_part(outcomes):
            at_the_end &= len(trials) == len(own)
            found |= self.resumable_in(part, trials, own)
        return set() if at_the_end else found

    def remaining_epochs(self, outcomes: Outcomes, trained: Mapping[str, int]) -> int:
        """Epochs that are left to train; see `base.Algorithm`."""
        reach = dict(trained)
        left = 0
        for part, own, trials in self._by_part(outcomes):
            left += self.epochs_to_come_in(part, trials)
            left += epochs_waiting((each for each in trials if each.trial_id not in own), reach)
        return left

    def decisions(self, outcomes: Outcomes) -> IncrementalDecisions[Part]:
        """Its answers as outcomes come one by one, in the time of what changes."""
        return IncrementalDecisions(self, outcomes)

    def rungs(self) -> list[RungSize]:
        """How many trials each rung is there for; see `base.Algorithm`."""
        return [
            RungSize(budget, bracket.number, rung.epochs, rung.size * self.budgets.count(budget))
            for budget in dict.fromkeys(self.budgets)
            for bracket in brackets(budget, self.factor)
            for rung in bracket.rungs
        ]

    # ---- bracket by bracket -----------------------------------------------------------

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The brackets of all iterations, in their order."""
        found: list[Part] = []
        lineages: dict[str, str] = {}
        slot = 0
        for iteration, budget in enumerate(self.budgets):
            lineages = self._lineages(iteration, slot, lineages)
            for bracket in brackets(budget, self.factor):
                found.append(Part(iteration, bracket, slot, lineages))
                slot += bracket.rungs[0].size
        return tuple(found)

    @cached_property
    def _first_slots(self) -> list[int]:
        return [part.slot for part in self.parts]

    def part_of(self, trial_id: str) -> int | None:
        """The index of a trial's bracket. The trial's name begins with its slot."""
        slot = trial_id.partition("-")[0].rstrip(LETTERS)
        return bisect_right(self._first_slots, int(slot)) - 1 if slot.isdecimal() else None

    def _by_part(self, outcomes: Outcomes) -> list[tuple[Part, Outcomes, list[TrialSpec]]]:
        """Each bracket with its own outcomes and trials."""
        apart: list[dict[str, float | None]] = [{} for _ in self.parts]
        for name, outcome in outcomes.items():
            index = self.part_of(name)
            if index is not None:
                apart[index][name] = outcome
        return [
            (part, own, self.trials_in(part, own))
            for part, own in zip(self.parts, apart, strict=True)
        ]

    def trials_in(self, part: Part, outcomes: Outcomes) -> list[TrialSpec]:
        """The trials of a bracket, given how its own ended."""
        rung = self._first_rung(part, outcomes)
        found = list(rung)
        closed = all(trial.trial_id in outcomes for trial in rung)
        for index in range(1, len(part.bracket.rungs)):
            rung, closed = self._next_rung(part.bracket, index, rung, closed, outcomes)
            found += rung
        return found

    def resumable_in(self, part: Part, trials: list[TrialSpec], outcomes: Outcomes) -> set[str]:
        """The lineages of a bracket that wait, run, or may still be promoted.

        A trial may be promoted until finished trials fill all slots of its next rung.
        """
        finished = [each for each in trials if outcomes.get(each.trial_id) is not None]
        filled = Counter(trial.rung for trial in finished)
        rungs = part.bracket.rungs
        return {trial.lineage for trial in trials if trial.trial_id not in outcomes} | {
            trial.lineage
            for trial in finished
            if trial.rung + 1 < len(rungs) and filled[trial.rung + 1] < rungs[trial.rung + 1].size
        }

    def epochs_to_come_in(self, part: Part, trials: list[TrialSpec]) -> int:
        """Epochs of promotions that are not decided yet."""
        standing = Counter(trial.rung for trial in trials)
        rungs = part.bracket.rungs
        before, left = standing[0], 0
        for index, rung in enumerate(rungs[1:], 1):
            before = min(rung.size, before)
            to_come = max(0, before - standing[index])
            left += to_come * (rung.epochs - rungs[index - 1].epochs)
        return left

    def _lineages(self, iteration: int, number: int, earlier: Mapping[str, str]) -> dict[str, str]:
        """The first trial of every configuration that stands in a first rung from the start.

        Replacements are left out: which of them exist depends on what has failed so far,
        and a trial's lineage must not. One that repeats no configuration of these begins a
        lineage of its own.
        """
        lineages = dict(earlier)
        for bracket in brackets(self.budgets[iteration], self.factor):
            size = bracket.rungs[0].size
            offered = self.candidates.initial(iteration, bracket.number, size)
            for slot, candidate in enumerate(offered, number):
                lineages.setdefault(self._training(candidate, iteration), f"{slot:04d}")
            number += size
        return lineages

    def _training(self, candidate: Candidate, iteration: int) -> str:
        """What two trials must share to be one training: the network and its schedule."""
        horizon = "" if candidate.constant_schedule else f"@{self.budgets[iteration]}"
        return candidate.signature + horizon

    def _first_rung(self, part: Part, outcomes: Outcomes) -> list[TrialSpec]:
        bracket, iteration = part.bracket, part.iteration

        def spec(slot: int, letter: str, candidate: Candidate) -> TrialSpec:
            name = f"{slot:04d}{letter}"
            return TrialSpec(
                trial_id=name,
                lineage=part.lineages.get(self._training(candidate, iteration), name),
                slot=slot,
                candidate=candidate,
                iteration=iteration,
                bracket=bracket.number,
                rung=0,
                epochs=bracket.rungs[0].epochs,
                full_epochs=self.budgets[iteration],
                parent=None,
            )

        offered = self.candidates.initial(iteration, bracket.number, bracket.rungs[0].size)
        wave = [spec(slot, "", candidate) for slot, candidate in enumerate(offered, part.slot)]
        rung = list(wave)
        used = 0
        for letter in LETTERS:  # a slot is tried eight times at most
            if not all(trial.trial_id in outcomes for trial in wave):
                break
            failed = [trial for trial in wave if outcomes[trial.trial_id] is None]
            if not failed:
                break
            spare = self.candidates.spares(iteration, bracket.number, used + len(failed))
            wave = [
                spec(trial.slot, letter, candidate)
                for trial, candidate in zip(failed, spare[used:], strict=False)
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
        size = bracket.rungs[index].size
        ranked = self._ranked(before, outcomes)
        if not before_closed:
            # Every slot of the rung before that has no finished trial may yet give one
            # that is better than any that has.
            open_slots = bracket.rungs[index - 1].size - len(ranked)
            certain = ranked[: max(0, size - open_slots)]
            return [self._promoted(trial, bracket, index) for trial in certain], False
        rung = [self._promoted(trial, bracket, index) for trial in ranked[:size]]
        rest = ranked[size:]
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
        sign = -1.0 if self.maximize else 1.0
        # By slot, which is a number: as a string 10000 stands before 9999.
        return [
            trial for _, trial in sorted(done, key=lambda pair: (sign * pair[0], pair[1].slot))
        ]
