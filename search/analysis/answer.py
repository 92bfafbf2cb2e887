"""The answer of a run: what its confirmation says at the last look that is complete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from search.algorithms.confirmation import (
    ATTENTION,
    BLIND,
    PLAIN,
    TWIN,
    WIDER,
    Arm,
    failed_arms,
    trial_id,
)
from search.analysis.comparison import Comparison, Difference, compare
from search.analysis.image_noise import noise_floor, variance_of_images
from search.analysis.looks import spent_error
from search.analysis.resolution import chance_to_settle, expected_best, resolvable_difference
from search.analysis.verdict import Answer, Verdict, overall, verdict_of
from search.runs.confirmation import ConfirmationState
from search.runs.state import RunState


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """How an arm did.

    Args:
        arm: The `Arm`.
        accuracy: Floats, test accuracy of each seed.
        parameters: Integer.
        macs: Integer.
        latency: Float, its time for a batch in units of the control's, or `None`.
        verdict: The `Verdict` against the control, or `None` of an arm without attention and
            of the blind one.
    """

    arm: Arm
    accuracy: tuple[float, ...]
    parameters: int
    macs: int
    latency: float | None
    verdict: Verdict | None

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracy))

    @property
    def deviation(self) -> float:
        return float(np.std(self.accuracy, ddof=1))


@dataclass(frozen=True, kw_only=True)
class RunAnswer:
    """What a look says.

    Args:
        look: Integer from 1.
        looks: Integers, seeds at each planned look.
        error: Float, the error that this look may make.
        margin: Float, the smallest difference that matters.
        images: Integer, test images.
        results: The arms that were compared, the control first.
        failed: Sentences on arms without an answer.
        comparison: All arms with attention against the control.
        answer: The `Verdict` that stands for all.
        explained: The winner against what explains it, by that arm's role: the network without
            attention and with its recipe (`"twin"`, unless that is the control), that
            with as many parameters (`"wider"`), and itself with gates that see no image
            (`"blind"`).
        noise: Float, between seeds, as two trainings of the control tell it.
        resolvable: Float, the smallest difference that this look would see 8 times in 10.
        shrunk: Float or `None`, how much less the winner's accuracy is on validation images
            of fresh seeds than the search had for it, after as many epochs.
        selection: Float, how much of that selection alone would explain.
        chance: Float, how likely the last planned look is to settle what this one could not, or
            `None` if there is nothing to settle or no further look.
        batch: Integer, images of the batches that latencies are of.
        milliseconds: Float, what the control takes for one, or `None` if it was not measured.
    """

    look: int
    looks: tuple[int, ...]
    error: float
    margin: float
    images: int
    results: tuple[ArmResult, ...]
    failed: tuple[str, ...]
    comparison: Comparison
    answer: Verdict
    explained: Mapping[str, Verdict]
    noise: float
    resolvable: float
    shrunk: float | None
    selection: float
    chance: float | None
    batch: int
    milliseconds: float | None


def answer_of(state: RunState) -> RunAnswer | None:
    """The answer of a run, or `None` while no look is complete, or nothing can be compared.

    Args:
        state: The `RunState`.

    Returns:
        A `RunAnswer`, at the last look all of whose trainings have ended and were scored.
    """
    confirmation = state.confirmation
    look = confirmation.complete_look() if confirmation else 0
    if confirmation is None or not look:
        return None
    plan = confirmation.plan
    arms = confirmation.arms()
    seeds = plan.looks[look - 1]
    lost = failed_arms(confirmation.outcomes)
    there = [number for number in range(len(arms)) if number not in lost]
    names = {number: arms[number].name for number in there}
    right = {
        names[number]: np.array([confirmation.answers(number, seed) for seed in range(seeds)])
        for number in there
    }
    plain = next((arm.name for arm in arms if arm.role == PLAIN), "")
    attended = [arms[number].name for number in there if arms[number].role == ATTENTION]
    if plain not in right or not attended:
        return None
    error = spent_error(plan.looks)[look - 1]
    comparison = _compare(right, plain, attended, error)
    verdicts = {name: verdict_of(comparison, name, plan.margin) for name in attended}
    winner = next((arm.name for arm in arms if arm.role == ATTENTION), "")
    others = {
        arms[number].role: arms[number].name
        for number in there
        if arms[number].role in (TWIN, WIDER, BLIND) and winner in right
    }
    explained = _explained(right, winner, others, error, plan.margin)
    answer = overall(list(verdicts.values()), [explained[TWIN]] if TWIN in explained else [])
    noise = noise_floor(right[plain][0], right[plain][1])
    return RunAnswer(
        look=look,
        looks=tuple(plan.looks),
        error=error,
        margin=plan.margin,
        images=right[plain].shape[1],
        results=tuple(
            _result(confirmation, arms, number, seeds, verdicts.get(names[number]))
            for number in there
        ),
        failed=tuple(_failure(confirmation, arms, number) for number in sorted(lost)),
        comparison=comparison,
        answer=answer,
        explained=explained,
        noise=noise,
        resolvable=resolvable_difference(comparison.noise, seeds, len(attended), error),
        shrunk=_shrunk(state, confirmation, arms, seeds),
        chance=_chance(answer, comparison, plan.looks, look, plan.margin),
        batch=confirmation.latency.batch if confirmation.latency else 0,
        milliseconds=confirmation.latency.milliseconds if confirmation.latency else None,
        selection=noise_of_validation(state, noise) * expected_best(plan.selected_from),
    )


def noise_of_validation(state: RunState, noise: float) -> float:
    """The noise of a score of the search: that of the test images, on fewer images."""
    confirmation = state.confirmation
    test = next(iter(confirmation.scores.values())).images if confirmation else 0
    sizes = [export.metrics.get("validation_images", 0) for export in state.exports]
    return noise * float(np.sqrt(test / sizes[-1])) if sizes and sizes[-1] else noise


def _compare(
    right: dict[str, np.ndarray], control: str, arms: list[str], error: float
) -> Comparison:
    scores = {name: right[name].mean(1) for name in (control, *arms)}
    images = {name: variance_of_images(right[name], right[control]) for name in arms}
    return compare(scores, control, alpha=error, image_variance=images)


def _chance(
    answer: Verdict, comparison: Comparison, looks: Sequence[int], look: int, margin: float
) -> float | None:
    """How likely the last planned look is to settle what this one could not."""
    found = answer.difference
    if answer.answer is not Answer.UNKNOWN or look == len(looks):
        return None
    if not np.isfinite(found.low):
        return None
    return chance_to_settle(comparison, found, looks[-1], spent_error(looks)[-1], margin)


def _explained(
    right: dict[str, np.ndarray],
    winner: str,
    others: Mapping[str, str],
    error: float,
    margin: float,
) -> dict[str, Verdict]:
    """The winner against each of the other arms: one family, with the winner as its control."""
    if not others:
        return {}
    family = _compare(right, winner, list(others.values()), error)
    turned = replace(family, differences=tuple(_turned(each) for each in family.differences))
    return {
        role: replace(verdict_of(turned, name, margin), arm=winner)
        for role, name in others.items()
    }


def _turned(found: Difference) -> Difference:
    """A difference seen from the other side."""
    return replace(found, mean=-found.mean, low=-found.high, high=-found.low)


def _result(
    confirmation: ConfirmationState,
    arms: list[Arm],
    number: int,
    seeds: int,
    verdict: Verdict | None,
) -> ArmResult:
    first = confirmation.trials[trial_id(number, 0)]
    return ArmResult(
        arm=arms[number],
        accuracy=tuple(
            confirmation.scores[trial_id(number, seed)].accuracy for seed in range(seeds)
        ),
        parameters=first.parameters,
        macs=first.macs,
        latency=confirmation.latency.ratios[number] if confirmation.latency else None,
        verdict=verdict,
    )


def _failure(confirmation: ConfirmationState, arms: list[Arm], number: int) -> str:
    failed = next(
        trial
        for name, trial in confirmation.trials.items()
        if confirmation.outcomes.get(name, 0.0) is None and name.startswith(f"c{number + 1:02d}-")
    )
    reason = failed.reason.rstrip(".")
    name = arms[number].name
    return f"The arm {name} has no answer: its training {failed.trial_id} failed: {reason}."


def _shrunk(
    state: RunState, confirmation: ConfirmationState, arms: list[Arm], seeds: int
) -> float | None:
    """How far the winner fell from its score in the search, on the same validation images.

    Only where it was trained as long as in the search: more epochs change scores as well.
    """
    best = next(state.best_first(), None)
    if (
        best is None
        or state.objective != "val_accuracy"
        or best.epochs != confirmation.plan.epochs
    ):
        return None
    for number, arm in enumerate(arms):
        if arm.configuration == best.configuration:
            again = [confirmation.outcomes.get(trial_id(number, seed)) for seed in range(seeds)]
            scores = [score for score in again if score is not None]
            return float(best.score or 0.0) - float(np.mean(scores)) if scores else None
    return None
