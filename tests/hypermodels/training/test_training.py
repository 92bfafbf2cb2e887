"""What is trained: the recipe's precision, and weights that fit what is exported."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.errors import BackboneError
from hypermodels.hypermodel import AttentionHyperModel
from hypermodels.image import ImageSpec
from hypermodels.knobs import KnobError
from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.recipe import Budget
from hypermodels.training.model import training_model
from tests.hypermodels.helpers import images

IMAGE = ImageSpec((32, 32, 3), 4)
PRECISIONS = ("float32", "mixed_bfloat16")
BUDGET = Budget(epochs=2, steps_per_epoch=3)


def chosen(precision: str, **backbone: Any) -> Configuration:
    return Configuration.resolve(
        {
            "backbone": backbone or {"family": "resnet_v1", "depth": 8},
            "attention": {"type": "cbam", "reduction_ratio": 2, "stages": "1,2"},
            "recipe": {"precision": precision},
        }
    )


@pytest.mark.parametrize("backbone", [{}, {"application": "MobileNetV3Small"}], ids=str)
def test_layers_compute_at_the_recipes_precision(backbone: dict[str, Any]) -> None:
    model = training_model(chosen("mixed_bfloat16", **backbone), IMAGE, BUDGET, seed=1)
    policies = {layer.dtype_policy.name for layer in model.layers if layer.weights}
    assert "mixed_bfloat16" in policies
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_the_exported_network_takes_the_weights_and_computes_in_float32() -> None:
    configuration = chosen("mixed_bfloat16")
    trained = training_model(configuration, IMAGE, BUDGET, seed=1)
    trained.train_on_batch(images(8, IMAGE), np.eye(4, dtype="float32")[[0, 1, 2, 3] * 2])
    served = build_network(configuration, IMAGE, seed=1)
    served.set_weights(trained.get_weights())
    assert {layer.dtype_policy.name for layer in served.layers} == {"float32"}
    difference = np.abs(
        trained.predict_on_batch(images(8, IMAGE)) - served.predict_on_batch(images(8, IMAGE))
    ).max()
    assert 0 < difference < 0.05


def test_the_same_initial_weights_at_any_precision() -> None:
    one, other = (
        training_model(chosen(each), IMAGE, BUDGET, seed=1)
        for each in ("float32", "mixed_bfloat16")
    )
    for a, b in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_what_keras_is_set_to_comes_back_after_an_error() -> None:
    small = ImageSpec((2, 2, 3), 4)
    with pytest.raises(BackboneError):
        training_model(chosen("mixed_bfloat16", application="VGG16"), small, BUDGET, seed=1)
    assert keras.config.dtype_policy().name == "float32"


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(KnobError, match="precision"):
        AttentionHyperModel(IMAGE, BUDGET, recipe={"precision": "float16"})
