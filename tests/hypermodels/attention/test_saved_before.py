"""A file that version 0.3.0 saved, with every layer that was public then, still loads."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

import hypermodels

ASSETS = Path(__file__).parents[2] / "assets"


def test_the_layers_of_0_3_0_load_and_compute_the_same() -> None:
    assert hypermodels.attention  # which registers the layers
    model = keras.saving.load_model(ASSETS / "layers-0.3.0.keras")
    kinds = {type(layer).__name__ for layer in model.layers}
    assert {"CBAM", "ChannelAttention", "SpatialAttention", "BAM", "ECA", "Resize"} <= kinds
    assert len(model.layers) == 14
    with np.load(ASSETS / "layers-0.3.0.npz") as saved:
        outputs = np.asarray(model(saved["images"], training=False))
        np.testing.assert_allclose(outputs, saved["outputs"], rtol=1e-5, atol=1e-6)
