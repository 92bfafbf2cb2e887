"""`width_multiplier`: every family of this package can be made wider or narrower."""

from __future__ import annotations

import numpy as np
import pytest

from hypermodels.backbones import families
from hypermodels.backbones.blocks import WIDTH, widened_in
from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration

IMAGE = ImageSpec((32, 32, 3), 10)
OWN = [family.name for family in families() if WIDTH in family.knobs]


def parameters(costs: CostModel, family: str, **settings: float) -> int:
    backbone = {"family": family, **settings}
    return costs.cost(Configuration.resolve({"backbone": backbone})).parameters


@pytest.mark.parametrize("family", OWN)
def test_parameters_grow_with_the_square_of_the_width(family: str) -> None:
    costs = CostModel(IMAGE)
    published = parameters(costs, family)
    assert parameters(costs, family, width_multiplier=1) == published
    assert parameters(costs, family, width_multiplier=1.2) / published == pytest.approx(
        1.44, rel=0.03
    )
    assert parameters(costs, family, width_multiplier=0.5) / published == pytest.approx(
        1 / 4, rel=0.1
    )


@pytest.mark.parametrize("family", ["resnet_v1", "resnet_v2", "mobilenet", "densenet"])
@pytest.mark.parametrize("width", [0.05, 0.37, 1.013])
def test_networks_of_any_width_run_with_attention(family: str, width: float) -> None:
    settings = {
        "backbone": {"family": family, "width_multiplier": width},
        "attention": {"type": "cbam"},
    }
    configuration = Configuration.resolve(settings)
    model = build_network(configuration, IMAGE, seed=1)
    assert model.count_params() == CostModel(IMAGE).cost(configuration).parameters
    scores = model(np.zeros((2, 32, 32, 3), "uint8"))
    np.testing.assert_allclose(np.sum(scores, -1), 1, atol=1e-5)


def test_the_published_width_is_not_in_configurations_that_do_not_set_it() -> None:
    """Runs from before there was a width have configurations without one."""
    backbone = Configuration.resolve({"backbone": {"family": "resnet_v1"}}).backbone
    assert "width_multiplier" not in backbone
    backbone = Configuration.resolve({"backbone": {"width_multiplier": 1}}).backbone
    assert backbone["width_multiplier"] == 1


@pytest.mark.parametrize("width", [0.07, 0.5, 1.0, 1.01, 1.3])
def test_equal_layers_have_the_right_number_of_channels_together(width: float) -> None:
    settings = {"width_multiplier": width}
    parts = [widened_in(64, settings, number) for number in range(1, 10)]
    assert sum(parts) == round(64 * width * 9)
    assert max(parts) - min(parts) <= 1


def test_all_families_of_this_package_have_it() -> None:
    assert len(OWN) == 7
