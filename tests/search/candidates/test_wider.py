"""The control for parameters: a wider network without attention."""

from __future__ import annotations

import pytest

from hypermodels.backbones import families
from hypermodels.backbones.blocks import WIDTH
from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.settings.configuration import Configuration
from search.candidates.arms import without_attention
from search.candidates.wider import widened_to

OWN = [family.name for family in families() if WIDTH in family.knobs]


@pytest.fixture(scope="module")
def costs() -> CostModel:
    return CostModel(ImageSpec((32, 32, 3), 10))


@pytest.mark.parametrize("kind", ["se", "cbam"])
@pytest.mark.parametrize("family", OWN)
def test_a_wider_network_has_the_parameters_of_attention(
    family: str, kind: str, costs: CostModel
) -> None:
    settings = {"backbone": {"family": family}, "attention": {"type": kind}}
    attended = Configuration.resolve(settings)
    plain = without_attention(attended)
    wanted = costs.cost(attended).parameters
    found = widened_to(plain, wanted, costs)
    assert found is not None
    configuration, parameters = found
    assert parameters == costs.cost(configuration).parameters
    assert parameters == pytest.approx(wanted, rel=0.01)
    assert abs(parameters - wanted) < wanted - costs.cost(plain).parameters
    assert configuration.attention == plain.attention
    assert configuration.recipe == plain.recipe


@pytest.mark.parametrize("times", [1.3, 4.0])
def test_it_may_be_much_wider(times: float, costs: CostModel) -> None:
    plain = Configuration.resolve({"backbone": {"family": "resnet_v1", "depth": 8}})
    wanted = round(times * costs.cost(plain).parameters)
    found = widened_to(plain, wanted, costs)
    assert found is not None and found[1] == pytest.approx(wanted, rel=0.01)


def test_a_family_without_a_width_has_no_wider_network(costs: CostModel) -> None:
    plain = Configuration.resolve(
        {"backbone": {"family": "application", "application": "MobileNetV3Small"}}
    )
    assert widened_to(plain, 10_000_000, costs) is None
