"""Checks that a search has something to train, before anything is written."""

from __future__ import annotations

import itertools

from hypermodels.backbones import get_family
from hypermodels.errors import BackboneError
from hypermodels.image import ImageSpec
from hypermodels.knobs import FloatRange, Value
from hypermodels.networks.cost import CostModel
from hypermodels.networks.network import backbone_model
from hypermodels.settings.configuration import combinations
from search.candidates.drawing import ENUMERABLE
from search.candidates.sampling import SampledCandidates
from search.data import Progress, no_progress
from search.errors import SpaceError
from search.space.definition import tuned_sections
from search.space.space import Space


def check_feasible(space: Space, costs: CostModel, progress: Progress = no_progress) -> None:
    """Makes sure that a search has something to train, before anything is written.

    Args:
        space: The `Space`.
        costs: The `CostModel` of its images.
        progress: Told of every draw.

    Raises:
        SpaceError: If no configuration of the space can be built on such images within
            its constraints, or a value on offer fits no configuration; the message gives
            the reasons.
    """
    SampledCandidates(space, costs, [space.search.max_epochs], progress).check()
    for name in sorted(
        path for path, (_, knob, _) in space.tuned().items() if knob.may_be_infeasible
    ):
        for value in space.tuned()[name][2].values:  # type: ignore[union-attr]
            reason = _fits_nowhere(space, costs, name, value)
            if reason is not None:
                raise SpaceError(
                    f"{space.source}: {name}: {value} is on offer but fits no configuration: "
                    f"{reason}. Remove it."
                )


def check_pretrained(space: Space, image: ImageSpec) -> None:
    """Makes sure that the pretrained weights on offer can be had, before anything is written.

    What Keras downloads is downloaded here, once, and not by all workers at a time.

    Raises:
        SpaceError: If weights cannot be had, or are of another network.
    """
    section = tuned_sections()["backbone"]
    for settings in combinations(section, space.settings["backbone"]):
        chosen = get_family(str(settings[section.selector.name]))
        if chosen.load is None or chosen.foreign or not chosen.pretrained(settings):
            continue  # a foreign network is tried with its weights, in a worker
        try:
            model = backbone_model(settings, image)
        except BackboneError:
            continue  # one of several, which `check_feasible` let pass
        try:
            chosen.load(model, settings)
        except BackboneError as error:
            raise SpaceError(f"{space.source}: {str(error).rstrip('.')}.") from error


def _fits_nowhere(space: Space, costs: CostModel, name: str, value: Value) -> str | None:
    """Why no configuration with a value can be built, or `None` if one can."""
    domains = {
        path: domain.values
        for path, (section, knob, domain) in space.tuned().items()
        if (section.name == "backbone" or knob.selects_sites)
        and path != name
        and not isinstance(domain, FloatRange)
    }
    reason = None
    for values in itertools.islice(itertools.product(*domains.values()), ENUMERABLE):
        chosen = {**dict(zip(domains, values, strict=True)), name: value}
        configuration = space.configuration(chosen)
        if configuration.flat().get(name) == value:
            reason = costs.infeasible(configuration)
            if reason is None:
                return None
    return reason
