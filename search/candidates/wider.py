"""A network without attention as large as one with it: the control for parameters."""

from __future__ import annotations

import math

from hypermodels.backbones import get_family
from hypermodels.backbones.blocks import WIDTH
from hypermodels.networks.cost import CostModel
from hypermodels.settings.configuration import Configuration

CLOSE = 0.001
"""Networks whose parameters differ by this share are equally large."""
MOST_TRIED = 16


def widened_to(
    plain: Configuration, parameters: int, costs: CostModel
) -> tuple[Configuration, int] | None:
    """Widens a network until it has about as many parameters as another.

    Channels are whole numbers, so a network cannot have any number of parameters: small
    ones come within 1 %, large ones much closer.

    Args:
        plain: A `Configuration` without attention.
        parameters: Integer, the number wanted, more than the network has.
        costs: The `CostModel` of its images.

    Returns:
        The `Configuration` whose parameters are nearest of those tried, and their number; or
        `None` if the family has no `width_multiplier`.
    """
    if WIDTH not in get_family(str(plain.backbone["family"])).knobs:
        return None
    # Parameters grow with about the square of the width, in small steps: regula falsi,
    # halved where it would stay at one end.
    low, high = _width_of(plain), math.inf
    fewest = most = costs.cost(plain).parameters
    best, nearest = plain, fewest
    factor = low * math.sqrt(parameters / fewest)
    for number in range(MOST_TRIED):
        tried = with_width(plain, round(factor, 5))
        found = costs.cost(tried).parameters
        if abs(found - parameters) < abs(nearest - parameters):
            best, nearest = tried, found
        if abs(found - parameters) <= CLOSE * parameters:
            break
        if found < parameters:
            low, fewest = factor, found
        else:
            high, most = factor, found
        if math.isinf(high):
            factor *= 1.02 * math.sqrt(parameters / found)
        elif number % 2:
            factor = (low + high) / 2
        else:
            factor = low + (high - low) * (parameters - fewest) / max(most - fewest, 1)
    return best, nearest


def with_width(configuration: Configuration, factor: float) -> Configuration:
    """The same network with its channels times a factor."""
    backbone = {**configuration.backbone, WIDTH.name: factor}
    return Configuration(backbone, configuration.attention, configuration.recipe)


def _width_of(configuration: Configuration) -> float:
    return float(configuration.backbone.get(WIDTH.name, WIDTH.default))
