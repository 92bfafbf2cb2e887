"""What mattered in a search: each knob's importance, and the mean score of each of its values.

Scores are compared at equal epochs: every training that got so far counts with its score
there. They are single trainings, so this is a description of the search, not evidence.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hypermodels.knobs import Choice, Domain, IntRange, Value
from search.runs.state import RunState
from search.space.space import Space, tuned_values

FEWEST = 10
"""Trainings below which a comparison at more epochs is not preferred to one at fewer."""
RESAMPLES = 100


@dataclass(frozen=True)
class ScoredTraining:
    """A training's tuned values and its score after the epochs that are looked at."""

    values: Mapping[str, Value]
    score: float


@dataclass(frozen=True)
class MarginalMean:
    """The mean score of the trainings that share a value of a knob, whatever else they have.

    Args:
        value: String, the value, or the part of a range.
        count: Integer, trainings.
        mean: Float.
        low: Float, lower end of the 95 % interval; not finite for a single training.
        high: Float, upper end.
    """

    value: str
    count: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class KnobImportance:
    """What a knob did.

    Args:
        knob: String, its full name.
        count: Integer, trainings that have it.
        importance: Float from 0 to 1, its share of what all knobs explain, or `None` where it
            was not asked for.
        low: Float, the 10th percentile over resampled trainings, or `None`.
        high: Float, the 90th, or `None`.
        means: A `MarginalMean` for each value.
    """

    knob: str
    count: int
    importance: float | None
    low: float | None
    high: float | None
    means: tuple[MarginalMean, ...]


def epochs_to_compare(state: RunState) -> int:
    """The most epochs that at least `FEWEST` trainings have; else those that most have."""
    lengths = [len(curve) for name, curve in state.curves.items() if not name.startswith("c")]
    counted = {
        epochs: sum(length >= epochs for length in lengths)
        for epochs in sorted({trial.spec.epochs for trial in state.trials.values()})
    }
    enough = [epochs for epochs, count in counted.items() if count >= FEWEST]
    if enough:
        return max(enough)
    return max(counted, key=lambda epochs: (counted[epochs], epochs), default=0)


def trainings_at(space: Space, state: RunState, epochs: int) -> list[ScoredTraining]:
    """The trainings of a search that have so many epochs, with their objective there."""
    found: dict[str, ScoredTraining] = {}
    for name in sorted(state.trials):
        trial = state.trials[name]
        curve = state.curves.get(trial.lineage, [])
        if trial.lineage in found or len(curve) < epochs:
            continue
        score = curve[epochs - 1].get(state.objective, math.nan)
        if math.isfinite(score):
            values = tuned_values(space, trial.configuration)
            found[trial.lineage] = ScoredTraining(values, score)
    return list(found.values())


def importance_of(
    space: Space, trainings: Sequence[ScoredTraining], *, weigh: bool, seed: int = 0
) -> list[KnobImportance]:
    """What each tuned knob did, the most important first.

    Args:
        space: The `Space`.
        trainings: See `trainings_at`.
        weigh: Boolean, whether to compute importances (PED-ANOVA, with Optuna) beside the
            means.
        seed: Integer, of the resampling.

    Returns:
        A list of `KnobImportance`, for each knob of which two values were tried.

    Reference:
        Watanabe, Bansal, Hutter: "PED-ANOVA: Efficiently Quantifying Hyperparameter
        Importance in Arbitrary Subspaces", IJCAI 2023.
    """
    domains = {name: domain for name, (_, _, domain) in space.tuned().items()}
    varied = [
        name
        for name in domains
        if len({str(each.values[name]) for each in trainings if name in each.values}) > 1
    ]
    domains = {name: domains[name] for name in varied}
    differ = len({each.score for each in trainings}) > 1
    weigh = weigh and bool(varied) and differ
    weights = _weights(domains, trainings, space.maximize, seed) if weigh else {}
    found = []
    for name, domain in domains.items():
        having = [each for each in trainings if name in each.values]
        share, low, high = weights.get(name, (None, None, None))
        means = tuple(_means(name, domain, having))
        found.append(KnobImportance(name, len(having), share, low, high, means))
    return sorted(found, key=lambda each: -(each.importance or 0.0))


def _means(
    name: str, domain: Domain, trainings: Sequence[ScoredTraining]
) -> Iterator[MarginalMean]:
    """The mean of each value in the space's order; ranges in three parts of equal counts."""
    groups: dict[str, list[float]] = {}
    if isinstance(domain, Choice):
        for value in domain.values:
            groups[_text(value)] = []
        for each in trainings:
            groups.setdefault(_text(each.values[name]), []).append(each.score)
    else:
        ranked = sorted(trainings, key=lambda each: float(each.values[name]))
        for part in np.array_split(np.arange(len(ranked)), 3):
            if len(part):
                ends = [ranked[index].values[name] for index in (part[0], part[-1])]
                label = " to ".join(dict.fromkeys(_text(end) for end in ends))
                groups.setdefault(label, []).extend(ranked[index].score for index in part)
    for label, scores in groups.items():
        if scores:
            yield _mean(label, scores)


def _mean(label: str, scores: Sequence[float]) -> MarginalMean:
    count, mean = len(scores), float(np.mean(scores))
    half = math.inf
    if count > 1:
        deviation = float(np.std(scores, ddof=1)) / math.sqrt(count)
        half = float(stats.t.ppf(0.975, count - 1)) * deviation
    return MarginalMean(label, count, mean, mean - half, mean + half)


def _text(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value).lower()


def _weights(
    domains: Mapping[str, Domain],
    trainings: Sequence[ScoredTraining],
    maximize: bool,
    seed: int,
) -> dict[str, tuple[float, float, float]]:
    """PED-ANOVA's importances, each with the 10th and 90th percentile over resamples."""
    random = np.random.default_rng(seed)
    once = _ped_anova(domains, trainings, maximize)
    drawn: dict[str, list[float]] = {name: [] for name in domains}
    for _ in range(RESAMPLES):
        chosen = [trainings[i] for i in random.integers(len(trainings), size=len(trainings))]
        again = _ped_anova(domains, chosen, maximize)
        for name in domains:
            drawn[name].append(again.get(name, 0.0))
    return {
        name: (
            once.get(name, 0.0),
            float(np.percentile(drawn[name], 10)),
            float(np.percentile(drawn[name], 90)),
        )
        for name in domains
    }


def _ped_anova(
    domains: Mapping[str, Domain], trainings: Sequence[ScoredTraining], maximize: bool
) -> dict[str, float]:
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    def distribution(name: str, domain: Domain) -> BaseDistribution:
        tried = [each.values[name] for each in trainings if name in each.values]
        if isinstance(domain, Choice):  # a preset may have another value than those on offer
            return CategoricalDistribution(list(dict.fromkeys([*domain.values, *tried])))
        low = min([domain.low, *map(float, tried)])
        high = max([domain.high, *map(float, tried)])
        if isinstance(domain, IntRange):
            return IntDistribution(int(low), int(high))
        return FloatDistribution(low, high, log=domain.sampling == "log")

    known = {name: distribution(name, domain) for name, domain in domains.items()}
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if maximize else "minimize")
    for each in trainings:
        values = {name: each.values[name] for name in known if name in each.values}
        study.add_trial(
            optuna.trial.create_trial(
                params=values,
                distributions={name: known[name] for name in values},
                value=each.score,
            )
        )
    quantile = min(1.0, max(0.1, 5 / len(trainings)))
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=quantile)
    with warnings.catch_warnings():  # few trainings: the resampled range says so
        warnings.simplefilter("ignore")
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}
