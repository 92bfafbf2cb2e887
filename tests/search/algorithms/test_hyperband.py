"""Hyperband's decisions: the published brackets, whatever order trials finish or fail in."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hypermodels.settings.configuration import Configuration
from search.algorithms.brackets import brackets
from search.algorithms.hyperband import Hyperband
from search.algorithms.simulator import Score, Unlimited, random_scores, simulate
from search.algorithms.trials import Candidate, Outcomes, TrialSpec

Table = list[list[tuple[int, int]]]


def published(max_epochs: int, factor: int) -> Table:
    """Li et al. 2018, algorithm 1, in exact fractions; lines 1 to 6."""
    deepest = max(s for s in range(max_epochs + 1) if factor**s <= max_epochs)
    budget = (deepest + 1) * max_epochs
    table = []
    for s in range(deepest, -1, -1):
        n = ceil(Fraction(budget, max_epochs) * Fraction(factor**s, s + 1))
        r = Fraction(max_epochs, factor**s)
        table.append([(floor(Fraction(n, factor**i)), floor(r * factor**i)) for i in range(s + 1)])
    return table


def as_table(max_epochs: int, factor: int) -> Table:
    return [
        [(rung.size, rung.epochs) for rung in bracket.rungs]
        for bracket in brackets(max_epochs, factor)
    ]


def whole_budget(max_epochs: int, factor: int) -> int:
    """Epochs of training in an iteration without failures, promotions continued."""
    return sum(
        size * (epochs - before)
        for rungs in as_table(max_epochs, factor)
        for (size, epochs), (_, before) in zip(rungs, [(0, 0), *rungs], strict=False)
    )


def candidate(signature: str) -> Candidate:
    return Candidate(Configuration({}, {}, {}), signature)


class Few:
    """A space of `size` configurations: each once, then all again, every bracket on its own."""

    def __init__(self, size: int, budgets: tuple[int, ...], factor: int) -> None:
        names = [f"c{number}" for number in range(size)]
        fresh = list(names)
        self._names = names
        self._fresh: list[list[str]] = []  # after each iteration
        self._first: dict[tuple[int, int], list[str]] = {}
        for iteration, budget in enumerate(budgets):
            table = as_table(budget, factor)
            for number, rungs in enumerate(table):
                s = len(table) - 1 - number
                size = rungs[0][0]
                own, fresh = fresh[:size], fresh[size:]
                others = [name for name in names if name not in own and name not in fresh]
                random.Random(f"{iteration}/{s}").shuffle(others)
                self._first[iteration, s] = own + others[: size - len(own)]
            self._fresh.append(fresh)

    def initial(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        return [candidate(name) for name in self._first[iteration, bracket][:count]]

    def spares(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
        own, fresh = self._first[iteration, bracket], self._fresh[iteration]
        again = [name for name in self._names if name not in own and name not in fresh]
        return [candidate(name) for name in (fresh + again)[:count]]


@dataclass
class Simulation:
    """A whole search by imagined workers that finish in any order."""

    hyperband: Hyperband
    score: Score
    workers: int = 1
    order: random.Random = field(default_factory=lambda: random.Random(0))
    outcomes: dict[str, float | None] = field(default_factory=dict)

    def run(self) -> dict[str, TrialSpec]:
        known: dict[str, TrialSpec] = {}

        def watch(trials: Sequence[TrialSpec], outcomes: Outcomes) -> None:
            nonlocal known
            found = {trial.trial_id: trial for trial in trials}
            assert len(found) == len(trials), "two trials have the same id"
            assert known.items() <= found.items(), "a trial changed or went away"
            known = found
            self.outcomes = dict(outcomes)

        simulate(
            self.hyperband,
            self.score,
            workers=self.workers,
            seconds=lambda trial, epochs: self.order.random(),
            outcomes=self.outcomes,
            hopeless_ends=False,
            watch=watch,
        )
        return known

    def rungs(self) -> dict[tuple[int, int], list[list[TrialSpec]]]:
        """The trials by iteration and bracket, then rung."""
        found: dict[tuple[int, int], list[list[TrialSpec]]] = defaultdict(list)
        for plan in self.hyperband.trials(self.outcomes):
            rungs = found[plan.iteration, plan.bracket]
            while len(rungs) <= plan.rung:
                rungs.append([])
            rungs[plan.rung].append(plan)
        return found

    def finished(self, plans: list[TrialSpec]) -> list[TrialSpec]:
        return [plan for plan in plans if self.outcomes[plan.trial_id] is not None]

    def best_first(self, plans: list[TrialSpec]) -> list[TrialSpec]:
        """The finished ones by an insertion sort that keeps the earlier of equals first."""
        ranked: list[TrialSpec] = []
        for plan in sorted(self.finished(plans), key=lambda plan: plan.slot):
            index = len(ranked)
            while index and self.better(plan, ranked[index - 1]):
                index -= 1
            ranked.insert(index, plan)
        return ranked

    def better(self, one: TrialSpec, other: TrialSpec) -> bool:
        mine, its = self.outcomes[one.trial_id], self.outcomes[other.trial_id]
        assert mine is not None and its is not None
        return mine > its if self.hyperband.maximize else mine < its


# ---- the brackets -----------------------------------------------------------------------


@given(st.integers(1, 3000), st.integers(2, 12))
@example(243, 3)  # log(243, 3) is 4.999...
@example(125, 5)
@example(1000, 10)
@example(1, 3)
@example(2, 3)
@example(3**7 - 1, 3)
@settings(max_examples=300, deadline=None)
def test_the_brackets_are_those_of_the_paper(max_epochs: int, factor: int) -> None:
    assert as_table(max_epochs, factor) == published(max_epochs, factor)


@given(st.integers(1, 3000), st.integers(2, 12))
@settings(max_examples=200, deadline=None)
def test_every_bracket_narrows_to_the_full_budget(max_epochs: int, factor: int) -> None:
    found = brackets(max_epochs, factor)
    assert [bracket.number for bracket in found] == list(range(len(found) - 1, -1, -1))
    for bracket in found:
        sizes = [rung.size for rung in bracket.rungs]
        epochs = [rung.epochs for rung in bracket.rungs]
        assert len(bracket.rungs) == bracket.number + 1
        assert epochs[-1] == max_epochs
        assert min(sizes) >= 1 and min(epochs) >= 1
        assert epochs == sorted(set(epochs))
        assert sizes == sorted(set(sizes), reverse=True)


def test_the_brackets_of_81_by_3_have_206_trials() -> None:
    table = as_table(81, 3)
    assert table == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert sum(size for rungs in table for size, _ in rungs) == 206


def test_the_brackets_of_27_and_9_by_3() -> None:
    assert sum(size for rungs in as_table(27, 3) for size, _ in rungs) == 69
    assert as_table(9, 3) == [[(9, 1), (3, 3), (1, 9)], [(5, 3), (1, 9)], [(3, 9)]]


def test_a_budget_of_one_epoch_is_one_bracket_of_one_trial() -> None:
    assert as_table(1, 3) == [[(1, 1)]]


def test_a_power_is_not_missed_by_floating_point() -> None:
    assert len(brackets(243, 3)) == 6
    assert len(brackets(242, 3)) == 5


# ---- decisions --------------------------------------------------------------------------

budgets = st.tuples(st.integers(1, 30), st.integers(2, 4))


@given(
    budgets,
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.1, 0.4]),
    st.sampled_from([3, 1000]),
    st.booleans(),
    st.integers(1, 2),
    st.one_of(st.none(), st.integers(1, 40)),
    st.lists(st.tuples(st.integers(1, 8), st.integers(0, 10**6)), min_size=2, max_size=2),
)
@settings(max_examples=35, deadline=None)
def test_the_trials_do_not_depend_on_workers_or_on_who_finishes_first(
    budget: tuple[int, int],
    seed: int,
    failing: float,
    levels: int,
    maximize: bool,
    iterations: int,
    size: int | None,
    crews: list[tuple[int, int]],
) -> None:
    candidates = Unlimited() if size is None else Few(size, (budget[0],) * iterations, budget[1])
    hyperband = Hyperband((budget[0],) * iterations, budget[1], candidates, maximize)
    score = random_scores(seed, failing, levels)
    alone = Simulation(hyperband, score)
    expected = alone.run()
    for workers, order in crews:
        crew = Simulation(hyperband, score, workers, random.Random(order))
        assert crew.run() == expected
        assert crew.outcomes == alone.outcomes


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize("levels", [2, 5, 10**6])
@given(budget=budgets, seed=st.integers(0, 10**6), failing=st.sampled_from([0.0, 0.15, 0.6]))
@settings(max_examples=12, deadline=None)
def test_a_rung_holds_the_best_of_the_rung_before(
    levels: int, maximize: bool, budget: tuple[int, int], seed: int, failing: float
) -> None:
    """Exactly the top k; where some of these fail, as many of the next best."""
    hyperband = Hyperband((budget[0],), budget[1], Unlimited(), maximize)
    simulation = Simulation(hyperband, random_scores(seed, failing, levels))
    simulation.run()
    table = as_table(*budget)
    for (_, number), rungs in simulation.rungs().items():
        plan = table[len(table) - 1 - number]
        for index in range(1, len(rungs)):
            size = plan[index][0]
            expected: list[str] = []
            finished = 0
            for parent in simulation.best_first(rungs[index - 1]):
                if finished == size:
                    break
                expected.append(parent.trial_id)
                outcome = hyperband_outcome(simulation, parent, index)
                finished += outcome is not None
            assert sorted(plan.parent or "" for plan in rungs[index]) == sorted(expected)
            if not failing:
                assert len(rungs[index]) == size


def hyperband_outcome(simulation: Simulation, parent: TrialSpec, rung: int) -> float | None:
    return simulation.outcomes[f"{parent.trial_id.partition('-')[0]}-{rung}"]


@given(budgets, st.integers(0, 10**6), st.sampled_from([0.0, 0.3]))
@settings(max_examples=30, deadline=None)
def test_a_promoted_trial_continues_one_of_the_rung_before(
    budget: tuple[int, int], seed: int, failing: float
) -> None:
    simulation = Simulation(
        Hyperband((budget[0],) * 2, budget[1], Unlimited()), random_scores(seed, failing)
    )
    trials = simulation.run()
    for plan in trials.values():
        if plan.rung == 0:
            assert plan.parent is None
            continue
        parent = trials[plan.parent or ""]
        assert parent.rung == plan.rung - 1
        assert parent.epochs < plan.epochs
        assert (parent.iteration, parent.bracket, parent.slot, parent.lineage) == (
            plan.iteration,
            plan.bracket,
            plan.slot,
            plan.lineage,
        )
        assert parent.candidate == plan.candidate
        assert simulation.outcomes[parent.trial_id] is not None


@given(budgets, st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_a_search_without_failures_costs_its_budget(
    budget: tuple[int, int], seed: int, iterations: int
) -> None:
    hyperband = Hyperband((budget[0],) * iterations, budget[1], Unlimited())
    trials = Simulation(hyperband, random_scores(seed), workers=3).run()
    spent = sum(
        plan.epochs - (trials[plan.parent].epochs if plan.parent else 0)
        for plan in trials.values()
    )
    assert spent == iterations * whole_budget(*budget) == hyperband.remaining_epochs({}, {})
    sizes = Counter((plan.iteration, plan.bracket, plan.rung) for plan in trials.values())
    assert sum(sizes.values()) == iterations * sum(
        count for rungs in as_table(*budget) for count, _ in rungs
    )


def test_the_budget_of_81_by_3_is_1581_epochs() -> None:
    assert whole_budget(81, 3) == 1581
    assert Hyperband((81,) * 2, 3, Unlimited()).remaining_epochs({}, {}) == 2 * 1581


def test_a_trial_is_promoted_before_its_rung_has_ended() -> None:
    """Nine trials, three promoted: one that beats all but two of those known is certain
    once fewer than three others may still beat it."""
    hyperband = Hyperband((9,), 3, Unlimited())
    outcomes = {f"{slot:04d}": 1.0 - slot / 10 for slot in range(6)}

    def promoted() -> list[str]:
        return [plan.trial_id for plan in hyperband.trials(outcomes) if plan.rung == 1]

    assert promoted() == []  # three may yet beat even the best
    outcomes["0006"] = 0.1
    assert promoted() == ["0000-1"]
    outcomes["0007"] = 0.1
    assert promoted() == ["0000-1", "0001-1"]
    outcomes["0008"] = 0.1
    assert promoted() == ["0000-1", "0001-1", "0002-1"]


@pytest.mark.parametrize("maximize", [True, False])
def test_equal_scores_go_to_the_earlier_trial(maximize: bool) -> None:
    hyperband = Hyperband((9,), 3, Unlimited(), maximize)
    simulation = Simulation(hyperband, lambda trial: 0.5)
    found = [plan.trial_id for plan in simulation.run().values() if plan.bracket == 2]
    assert found[9:] == ["0000-1", "0001-1", "0002-1", "0000-2"]


def test_equal_scores_go_to_the_earlier_trial_past_ten_thousand_slots() -> None:
    """As strings, 10000 comes before 9999."""
    hyperband = Hyperband((9,) * 600, 3, Unlimited())
    firsts = hyperband.trials({})
    around = next(plan for plan in firsts if plan.slot == 9999)
    rung = [
        plan
        for plan in firsts
        if (plan.iteration, plan.bracket) == (around.iteration, around.bracket)
    ]
    assert {9999, 10000} <= {plan.slot for plan in rung}
    outcomes = {plan.trial_id: 0.5 for plan in rung}
    promoted = [plan for plan in hyperband.trials(outcomes) if plan.rung == 1]
    assert [plan.slot for plan in promoted] == [9996, 9997, 9998]


def test_the_direction_decides_who_is_promoted() -> None:
    for maximize, best in ((True, "0008"), (False, "0000")):
        hyperband = Hyperband((9,), 3, Unlimited(), maximize)
        outcomes = {f"{slot:04d}": float(slot) for slot in range(9)}
        promoted = [plan for plan in hyperband.trials(outcomes) if plan.rung == 1]
        assert promoted[0].parent == best


def test_brackets_do_not_wait_for_each_other() -> None:
    waiting = Hyperband((9,), 3, Unlimited()).trials({})
    assert Counter(plan.bracket for plan in waiting) == {2: 9, 1: 5, 0: 3}


# ---- failures ---------------------------------------------------------------------------


@given(budgets, st.integers(0, 10**6), st.sampled_from([0.05, 0.3, 0.5]))
@settings(max_examples=30, deadline=None)
def test_a_first_rung_is_filled_up_where_trials_fail(
    budget: tuple[int, int], seed: int, failing: float
) -> None:
    def score(trial: TrialSpec) -> float | None:
        return random_scores(seed, failing)(replace(trial, epochs=0))

    simulation = Simulation(Hyperband((budget[0],), budget[1], Unlimited()), score)
    simulation.run()
    table = as_table(*budget)
    for (_, number), rungs in simulation.rungs().items():
        by_slot: dict[int, list[TrialSpec]] = defaultdict(list)
        for plan in rungs[0]:
            by_slot[plan.slot].append(plan)
        assert len(by_slot) == table[len(table) - 1 - number][0][0]
        for slot, tries in by_slot.items():
            assert [plan.trial_id for plan in tries] == [
                f"{slot:04d}{letter}" for letter in ["", *"bcdefgh"][: len(tries)]
            ]
            assert all(simulation.outcomes[plan.trial_id] is None for plan in tries[:-1])
            assert len(tries) == 8 or simulation.finished(tries[-1:])
        if len(simulation.finished(rungs[0])) == len(by_slot):
            # Nothing is lost: every later rung is as full as if nothing had failed.
            assert [len(rung) for rung in rungs[1:]] == [
                size for size, _ in table[len(table) - 1 - number][1:]
            ]


@pytest.mark.parametrize("failures", [1, 3, 13, 26])
def test_failures_never_starve_a_bracket(failures: int) -> None:
    """KerasTuner's bracket of 27 trains no model to its full budget after one failure."""
    bad = {f"0/3/{slot}" for slot in range(failures)}
    simulation = Simulation(
        Hyperband((27,), 3, Unlimited()),
        lambda trial: None if trial.candidate.signature in bad else 0.5,
        workers=4,
    )
    simulation.run()
    for (_, number), rungs in simulation.rungs().items():
        expected = [size for size, _ in as_table(27, 3)[3 - number]]
        assert [len(simulation.finished(rung)) for rung in rungs] == expected


def test_a_failure_at_the_full_budget_is_replaced_by_the_next_best() -> None:
    def score(trial: TrialSpec) -> float | None:
        return (
            None
            if trial.candidate.signature == "0/2/0" and trial.epochs == 9
            else 1 - int(trial.candidate.signature[-1]) / 10
        )

    simulation = Simulation(Hyperband((9,), 3, Unlimited()), score)
    trials = simulation.run()
    last = [plan.trial_id for plan in trials.values() if (plan.bracket, plan.rung) == (2, 2)]
    assert last == ["0000-2", "0001-2"]
    assert simulation.outcomes["0001-2"] == 0.9


@given(budgets, st.integers(0, 10**6), st.integers(1, 30), st.integers(0, 29), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_every_bracket_ends_at_the_full_budget_if_any_configuration_can(
    budget: tuple[int, int], seed: int, size: int, bad: int, iterations: int
) -> None:
    """Up to seven of eight configurations fail, always the same ones."""
    bad = min(bad, size - 1, 7)
    failing = set(random.Random(seed).sample([f"c{number}" for number in range(size)], bad))
    simulation = Simulation(
        Hyperband(
            (budget[0],) * iterations, budget[1], Few(size, (budget[0],) * iterations, budget[1])
        ),
        lambda trial: None if trial.candidate.signature in failing else random_scores(seed)(trial),
        workers=2,
    )
    simulation.run()
    found = simulation.rungs()
    assert len(found) == iterations * len(as_table(*budget))
    for rungs in found.values():
        assert any(plan.epochs == budget[0] for plan in simulation.finished(rungs[-1]))


@pytest.mark.parametrize("size", [None, 1, 12])
def test_a_search_in_which_everything_fails_ends(size: int | None) -> None:
    candidates = Unlimited() if size is None else Few(size, (27,), 3)
    simulation = Simulation(Hyperband((27,), 3, candidates), lambda trial: None)
    trials = simulation.run()
    assert len(trials) == len(simulation.outcomes)
    assert {plan.rung for plan in trials.values()} == {0}
    most = Counter(plan.slot for plan in trials.values())
    assert max(most.values()) <= 8


def test_a_search_without_candidates_is_empty() -> None:
    assert Hyperband((27,), 3, Few(0, (27,), 3)).trials({}) == []


# ---- small spaces -----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_a_small_space_still_reaches_the_full_budget(size: int) -> None:
    """KerasTuner's Hyperband stops after one epoch of each of 12 configurations."""
    hyperband = Hyperband((81,), 3, Few(size, (81,), 3))
    simulation = Simulation(hyperband, random_scores(7), workers=3)
    trials = simulation.run()
    table = as_table(81, 3)
    for (_, number), rungs in simulation.rungs().items():
        widths = [min(most, size) for most, _ in table[4 - number]]
        assert [len(rung) for rung in rungs] == widths
        assert {plan.epochs for plan in rungs[-1]} == {81}
    trained: Counter[str] = Counter()
    for plan in trials.values():
        trained[plan.lineage] = max(trained[plan.lineage], plan.epochs)
    assert len(trained) == size
    assert sum(trained.values()) <= whole_budget(81, 3)


def test_a_configuration_that_comes_again_continues_its_training() -> None:
    trials = Simulation(
        Hyperband((9,) * 2, 3, Few(4, (9, 9), 3)), random_scores(3), workers=2
    ).run()
    lineages: dict[str, set[str]] = defaultdict(set)
    for plan in trials.values():
        lineages[plan.candidate.signature].add(plan.lineage)
    assert lineages == {f"c{number}": {f"{number:04d}"} for number in range(4)}


def test_lineages_do_not_depend_on_which_bracket_fails_first() -> None:
    """Two brackets replace a failed trial by the same configuration, one after the other."""
    hyperband = Hyperband((9,), 3, Few(18, (9,), 3))
    assert hyperband.candidates.spares(0, 1, 1) == hyperband.candidates.spares(0, 2, 1)
    first = {f"{slot:04d}": 0.5 for slot in range(9)}
    second = {f"{slot:04d}": 0.5 for slot in range(9, 14)}
    first["0003"] = second["0010"] = None

    def lineage(outcomes: Outcomes, trial_id: str) -> str:
        plans = {plan.trial_id: plan for plan in hyperband.trials(outcomes)}
        return plans[trial_id].lineage

    assert lineage(second, "0010b") == lineage({**first, **second}, "0010b")
    assert lineage(first, "0003b") == lineage({**first, **second}, "0003b")


# ---- names ------------------------------------------------------------------------------


def test_the_ids_of_a_small_search_are_these() -> None:
    """Ids are in journals and file names: changing them orphans every run directory."""

    def score(trial: TrialSpec) -> float | None:
        signature = trial.candidate.signature
        return None if signature == "0/2/4" else int(signature[-1]) / 10 + trial.epochs / 100

    trials = Simulation(Hyperband((9,), 3, Unlimited()), score, workers=3).run()
    assert [plan.trial_id for plan in trials.values()] == [
        *(f"{slot:04d}" for slot in range(9)),
        "0004b",
        "0008-1",
        "0007-1",
        "0006-1",
        "0008-2",
        *(f"{slot:04d}" for slot in range(9, 14)),
        "0013-1",
        *(f"{slot:04d}" for slot in range(14, 17)),
    ]
    assert trials["0008-2"].parent == "0008-1"
    assert trials["0008-2"].lineage == "0008"
    assert trials["0004b"].lineage == "0004b"


def test_a_second_iteration_does_not_change_the_first() -> None:
    once = Simulation(Hyperband((9,), 3, Unlimited()), random_scores(5, 0.2)).run()
    twice = Simulation(Hyperband((9,) * 2, 3, Unlimited()), random_scores(5, 0.2)).run()
    assert {name: plan for name, plan in twice.items() if plan.iteration == 0} == once
    assert {plan.iteration for plan in twice.values()} == {0, 1}


# ---- a search that is extended ----------------------------------------------------------


@given(
    st.lists(st.sampled_from([3, 9, 27]), min_size=2, max_size=3),
    st.integers(1, 40),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.2, 0.5]),
)
@settings(max_examples=25, deadline=None)
def test_an_extension_changes_nothing_that_was_decided(
    budgets: list[int], size: int, seed: int, failing: float
) -> None:
    """Ended trials keep their plan, lineage included: it names a checkpoint on the disk."""
    whole = tuple(sorted(budgets))
    before = Simulation(
        Hyperband(whole[:-1], 3, Few(size, whole[:-1], 3)), random_scores(seed, failing)
    )
    decided = before.run()
    extended = Simulation(Hyperband(whole, 3, Few(size, whole, 3)), before.score, workers=3)
    extended.outcomes.update(before.outcomes)
    trials = extended.run()
    assert decided.items() <= trials.items()
    assert {plan.iteration for plan in trials.values()} == set(range(len(whole)))
    at_once = Simulation(Hyperband(whole, 3, Few(size, whole, 3)), before.score, workers=5)
    assert at_once.run() == trials


def test_a_training_on_another_schedule_is_another_training() -> None:
    """A cosine that is stretched over 9 epochs is not the first third of one over 27."""

    class Two(Few):
        def initial(self, iteration: int, bracket: int, count: int) -> Sequence[Candidate]:
            found = super().initial(iteration, bracket, count)
            return [
                Candidate(c.configuration, c.signature, None, c.signature == "c1") for c in found
            ]

    hyperband = Hyperband((9, 9, 27), 3, Two(2, (9, 9, 27), 3))
    lineages: dict[tuple[str, int], set[str]] = defaultdict(set)
    for plan in Simulation(hyperband, random_scores(1)).run().values():
        lineages[plan.candidate.signature, plan.full_epochs].add(plan.lineage)
    assert lineages["c0", 9] == {"0000"} and lineages["c1", 9] == {"0001"}
    assert lineages["c1", 27] == {"0001"}, "a constant learning rate goes on"
    assert lineages["c0", 27].isdisjoint({"0000", "0001"}) and len(lineages["c0", 27]) == 1


# ---- checkpoints that may go ------------------------------------------------------------


@given(budgets, st.integers(0, 10**6), st.sampled_from([0.0, 0.2]), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_what_is_no_longer_needed_never_goes_on(
    budget: tuple[int, int], seed: int, failing: float, workers: int
) -> None:
    dropped: set[str] = set()

    @dataclass
    class Watched(Simulation):
        def run(self) -> dict[str, TrialSpec]:
            real = self.score

            def score(trial: TrialSpec) -> float | None:
                known = self.hyperband.trials(self.outcomes)
                needed = self.hyperband.resumable(self.outcomes)
                waiting = {plan.lineage for plan in known if plan.trial_id not in self.outcomes}
                assert waiting <= needed
                assert not dropped & needed, "a checkpoint that was deleted is needed"
                dropped.update({plan.lineage for plan in known} - needed)
                return real(trial)

            self.score = score
            return super().run()

    hyperband = Hyperband((budget[0],) * 2, budget[1], Unlimited())
    search = Watched(hyperband, random_scores(seed, failing), workers)
    search.run()
    assert hyperband.resumable(search.outcomes) == set()


def test_losers_are_dropped_as_soon_as_they_have_lost() -> None:
    """Nine trials of one epoch: when three of them have ended their three epochs, the other
    six are out."""
    hyperband = Hyperband((9,), 3, Unlimited())
    outcomes = {f"{slot:04d}": 1.0 - slot / 10 for slot in range(9)}
    others = {f"{slot:04d}" for slot in range(9, 17)}
    assert hyperband.resumable(outcomes) == set(outcomes) | others  # a promoted one may yet fail
    outcomes |= {"0000-1": 0.5, "0001-1": 0.6}
    assert {"0003", "0008"} <= hyperband.resumable(outcomes)
    outcomes["0002-1"] = 0.7
    assert hyperband.resumable(outcomes) == {"0000", "0001", "0002"} | others
    outcomes["0002-2"] = 0.7
    assert hyperband.resumable(outcomes) == others
