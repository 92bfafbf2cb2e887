"""What a confirmation compares, chosen from a finished search before anything of it is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product

from hypermodels.attention.base import BLIND as BLIND_KEY
from hypermodels.knobs import Value
from hypermodels.networks.cost import CostModel, signature_of
from hypermodels.settings.configuration import Configuration
from search.algorithms.confirmation import ATTENTION, BLIND, PLAIN, TWIN, WIDER, Arm
from search.candidates.wider import widened_to
from search.runs.state import RunState, TrialState
from search.space.definition import tuned_sections
from search.space.space import Space
from search.text import pluralize


def arms_of_search(
    space: Space, state: RunState, costs: CostModel, top: int
) -> tuple[list[Arm], list[str]]:
    """The arms that a search's answer needs.

    The best configuration of each kind of attention, at most `top` of them, the published
    presets that the space names, the network without attention twice (with the best recipe
    that the search found for it, which is the control, and with the winner's recipe), the
    latter as wide as the winner has parameters, and the winner with gates that see no image.

    Args:
        space: The `Space`.
        state: The `RunState` of the search.
        costs: The `CostModel` of its images.
        top: Integer, most kinds of attention.

    Returns:
        The arms, the control first and the winner second; and sentences on what was added
        or left out.
    """
    best: dict[str, TrialState] = {}
    longest = max((trial.epochs for trial in state.best_first()), default=0)
    for trial in state.best_first():
        if trial.epochs == longest:
            best.setdefault(str(trial.configuration.attention["type"]), trial)
    plain = best.pop("none", None)
    found = [Arm(kind, ATTENTION, trial.configuration) for kind, trial in best.items()][:top]
    notices = []
    if len(best) > top:
        left = ", ".join(list(best)[top:])
        notices.append(
            f"Only the {pluralize(top, 'best kind')} of attention are compared; {left} not."
        )
    notices += _less_tuned(state)
    winner = found[0].configuration if found else plain.configuration if plain else None
    if winner is None:
        return [], notices
    twin = without_attention(winner)
    if plain is None:
        notices.append(
            "The search trained no network without attention to its full budget: the winner's "
            "recipe without attention is the one baseline."
        )
    arms = [Arm("none", PLAIN, plain.configuration if plain else twin), *found]
    if found:
        arms.append(Arm("none, recipe of the winner", TWIN, twin))
        arms += _wider(twin, found[0], costs, notices)
        arms.append(Arm(f"{found[0].name}, blind", BLIND, without_sight(winner)))
    for name in space.presets:
        if name != "none":
            preset = space.preset_configuration(name)
            same_recipe = Configuration(winner.backbone, preset.attention, winner.recipe)
            arms.append(Arm(name, ATTENTION, same_recipe))
    return _distinct(arms, costs, notices)


def arms_of_space(space: Space, costs: CostModel) -> tuple[list[Arm], list[str]]:
    """The arms of a comparison without a search: every attention that the space offers.

    Args:
        space: The `Space`, which tunes nothing but attention.
        costs: The `CostModel` of its images.

    Returns:
        The arms, the one without attention first; and sentences on what was added.
    """
    notices: list[str] = []
    arms = []
    for name in space.presets:
        arms.append(Arm(name, ATTENTION, space.preset_configuration(name)))
    if any(name.startswith("attention.") for name in space.tuned()) or not space.presets:
        for values in _combinations(space):
            configuration = space.configuration(values)
            arms.append(Arm(_named(space, configuration), ATTENTION, configuration))
    plain = [arm for arm in arms if arm.configuration.attention["type"] == "none"]
    if not plain:
        notices.append("The space offers no network without attention; it was added.")
    base = plain[0].configuration if plain else without_attention(arms[0].configuration)
    rest = [arm for arm in arms if arm.configuration.attention["type"] != "none"]
    return _distinct([Arm("none", PLAIN, base), *rest], costs, notices)


def _less_tuned(state: RunState) -> Iterator[str]:
    """Says so where the search tried fewer recipes without attention than with some kind."""
    tried = Counter(
        str(trial.configuration.attention["type"])
        for trial in state.trials.values()
        if trial.trial_id == trial.lineage
    )
    plain = tried.pop("none", 0)
    most = max(tried, key=lambda kind: tried[kind], default="")
    if most and 0 < plain < tried[most]:
        yield (
            f"The search tried {pluralize(plain, 'recipe')} without attention and "
            f"{tried[most]} with {most}: the plain network is tuned less, which favors attention."
        )


def _wider(
    plain: Configuration, winner: Arm, costs: CostModel, notices: list[str]
) -> Iterator[Arm]:
    """The network without attention that has as many parameters as the winner."""
    if costs.infeasible(winner.configuration) or costs.infeasible(plain):
        return
    wanted, had = (costs.cost(each).parameters for each in (winner.configuration, plain))
    if wanted <= had:
        notices.append(
            f"{winner.name} has no more parameters than the network without it: no wider network "
            "is compared with it."
        )
        return
    widened = widened_to(plain, wanted, costs)
    if widened is None:
        notices.append(
            f"The family {plain.backbone['family']} has no width_multiplier: no network without "
            f"attention has as many parameters as {winner.name}."
        )
        return
    configuration, parameters = widened
    notices.append(
        f"The wider network without attention has {parameters:,} parameters "
        f"({100 * (parameters / wanted - 1):+.2f} % of {winner.name}'s)."
    )
    yield Arm("none, wider", WIDER, configuration)


def without_attention(configuration: Configuration) -> Configuration:
    """The same network and recipe without attention."""
    attention = tuned_sections()["attention"].resolve({"type": "none"}, {})
    return Configuration(configuration.backbone, attention, configuration.recipe)


def without_sight(configuration: Configuration) -> Configuration:
    """The same network, whose gates are those of a map of ones: they see no image."""
    attention = {**configuration.attention, BLIND_KEY: True}
    return Configuration(configuration.backbone, attention, configuration.recipe)


def _distinct(
    arms: list[Arm], costs: CostModel, notices: list[str]
) -> tuple[list[Arm], list[str]]:
    """Leaves out arms that cannot be built, and those that build and train what another does."""
    kept: dict[str, Arm] = {}
    for arm in arms:
        reason = costs.infeasible(arm.configuration)
        if reason is not None:
            notices.append(f"The arm {arm.name} is left out: {reason}.")
            continue
        network = signature_of(arm.configuration, costs.attention_signature(arm.configuration))
        if network in kept:
            notices.append(f"The arm {arm.name} is the arm {kept[network].name}.")
            continue
        kept[network] = arm
    return list(kept.values()), notices


def _combinations(space: Space) -> Iterator[Mapping[str, Value]]:
    """Every combination of the values that attention's tuned knobs have."""
    # A comparison tunes nothing but attention, and no range: `cli/compare.py` sees to it.
    tuned = {name: domain.values for name, (_, _, domain) in space.tuned().items()}  # type: ignore[union-attr]
    for values in product(*tuned.values()):
        yield dict(zip(tuned, values, strict=True))


def _named(space: Space, configuration: Configuration) -> str:
    """A name that says what an arm has and the others need not have."""
    flat = configuration.flat()
    tuned = [name for name in space.tuned() if name.startswith("attention.") and name in flat]
    words = [
        str(flat[name]) if name == "attention.type" else f"{name.partition('.')[2]}={flat[name]}"
        for name in tuned
    ]
    kind = str(configuration.attention["type"])
    return " ".join(words if kind in words else [kind, *words])
