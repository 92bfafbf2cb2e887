"""Whole networks under a 16-bit policy: they train, and what must be float32 is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.attention import AttentionLayer
from hypermodels.image import ImageSpec
from hypermodels.networks.network import attention_gates, build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model
from tests.hypermodels.helpers import LAYERED, images

IMAGE = ImageSpec((32, 32, 3), 4)
BACKBONES: dict[str, dict[str, Any]] = {
    "resnet_v1": {"family": "resnet_v1", "depth": 8},
    "application": {"application": "MobileNetV3Small"},
    "own": {"model": "tests.hypermodels.own_network:build"},
}
LABELS = np.eye(4, dtype="float32")


# (Both 16-bit policies go the same way; the layers' own contract runs under both by default.)
@pytest.fixture(params=["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def policy(request: pytest.FixtureRequest) -> Iterator[str]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


def check(policy: str, backbone: dict[str, Any], attention: dict[str, Any]) -> None:
    """Trains two steps and looks at every type."""
    sixteen = policy.removeprefix("mixed_")
    given = {"stages": "1,2", **attention}
    chosen = Configuration.resolve({"backbone": backbone, "attention": given})
    model = build_network(chosen, IMAGE, seed=1)
    layers = [layer for layer in model.layers if isinstance(layer, AttentionLayer)]
    assert layers and model.output.dtype == "float32"
    for layer in layers:
        assert layer.input.dtype == layer.output.dtype == sixteen
        assert {weight.dtype for weight in layer.weights} <= {"float32"}
    compile_model(model, chosen.recipe, Budget(epochs=1, steps_per_epoch=2))
    before = [layer.get_weights() for layer in layers]
    raw = images(4, IMAGE)
    for _ in range(2):
        logs = model.train_on_batch(raw, LABELS, return_dict=True)
        assert np.isfinite(logs["loss"])
    # (Of simam, which has no weights, nothing can change.)
    changed = [
        (old != new).any()
        for layer, weights in zip(layers, before, strict=True)
        for old, new in zip(weights, layer.get_weights(), strict=True)
    ]
    assert any(changed) or not any(before)
    scores = model.predict_on_batch(raw)
    assert scores.dtype == np.float32 and np.isfinite(scores).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)
    for gates in attention_gates(model, raw).values():
        for gate in gates.values():
            assert keras.backend.standardize_dtype(gate.dtype) == "float32"


@pytest.mark.parametrize("kind", [entry.name for entry in LAYERED])
def test_every_mechanism_trains(kind: str, policy: str) -> None:
    check(policy, BACKBONES["resnet_v1"], {"type": kind})


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_kind_of_backbone_trains(backbone: str, policy: str) -> None:
    check(
        policy,
        BACKBONES[backbone],
        {"type": "cbam", "reduction_ratio": 4, "spatial_kernel_size": 3, "spatial_norm": "bn"},
    )
