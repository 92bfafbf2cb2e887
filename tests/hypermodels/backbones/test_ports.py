"""Every attention mechanism at every port of a residual block, as a whole network."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.attention import AttentionLayer, Mechanism
from hypermodels.backbones import RESIDUAL_PLACEMENTS
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import build_network
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model
from tests.hypermodels.helpers import LAYERED, TINY, configuration, images, numpy

STEPS = 3
"""A weight behind one that starts at zero has no gradient in the first step."""


@pytest.mark.slow
@pytest.mark.parametrize("port", RESIDUAL_PLACEMENTS)
@pytest.mark.parametrize("entry", LAYERED, ids=lambda entry: entry.name)
def test_a_mechanism_at_a_port(entry: Mechanism, port: str, tmp_path: Path) -> None:
    chosen = configuration(
        type=entry.name,
        placement=port,
        reduction_ratio=2,
        spatial_kernel_size=3,
        dilation=1,
        stages="1,2",  # the third stage's maps are too small for some
        recipe={"warmup": 0.0, "learning_rate": 0.05},
    )
    model = build_network(chosen, TINY, seed=3)
    costs = CostModel(TINY)
    assert costs.infeasible(chosen) is None
    assert costs.cost(chosen) == cost_of(model)
    layers = [layer for layer in model.layers if isinstance(layer, AttentionLayer)]
    assert len(layers) == 2
    before = {w.path: np.array(w) for layer in layers for w in layer.trainable_weights}
    compile_model(model, chosen.recipe, Budget(1, STEPS))
    raw, labels = images(8), np.eye(4, dtype="float32")[np.arange(8) % 4]
    for _ in range(STEPS):
        loss = model.train_on_batch(raw, labels)[0]
    assert np.isfinite(loss)
    still = [
        w.path
        for layer in layers
        for w in layer.trainable_weights
        # A bias in front of a batch norm is taken away by it.
        if np.array_equal(before[w.path], np.array(w)) and not w.path.endswith("_bias")
    ]
    assert not still
    scores = numpy(model.predict_on_batch(raw))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded.predict_on_batch(raw)), scores)
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(numpy(served.serve(raw)), scores, atol=1e-5)
