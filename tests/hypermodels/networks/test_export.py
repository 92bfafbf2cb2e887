"""A whole model leaves: raw uint8 images in, the trained model's scores out."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.networks.network import build_network
from hypermodels.settings.configuration import Configuration
from tests.hypermodels.helpers import TINY, configuration, images, numpy


def test_saved_model_without_this_package(fresh_process: dict[str, Any]) -> None:
    """The loading process asserts that `hypermodels` is not imported."""
    scores = fresh_process["network_scores"]
    assert scores.std() > 0.01
    np.testing.assert_allclose(fresh_process["served"], scores, rtol=1e-5, atol=1e-6)


def test_keras_file_in_another_process(fresh_process: dict[str, Any]) -> None:
    np.testing.assert_array_equal(fresh_process["network_loaded"], fresh_process["network_scores"])


@pytest.mark.parametrize("attention", ["se", "cbam"])
def test_keras_file_has_no_lambda(tmp_path: Path, attention: str) -> None:
    network = build_network(configuration("resnet_v2", type=attention), TINY, seed=1)
    network.save(tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    classes = {layer["class_name"] for layer in config["config"]["layers"]}
    assert "Lambda" not in classes
    assert "InputLayer" in classes
    assert config["config"]["layers"][0]["config"]["dtype"] == "uint8"


def test_all_of_a_byte_s_range_matters() -> None:
    """Images stay what they are on the way in: no scale but the model's own."""
    network = build_network(configuration(), TINY, seed=1)
    raw = images(3)
    scores = numpy(network(raw))
    np.testing.assert_allclose(numpy(network(raw.astype("float32"))), scores, atol=1e-6)
    assert np.abs(numpy(network(raw // 2)) - scores).max() > 1e-3
    np.testing.assert_allclose(network.predict(raw, verbose=0), scores, rtol=1e-4, atol=1e-6)


def test_a_network_that_resizes_is_exported_in_inference_mode(tmp_path: Path) -> None:
    """With Keras's own layer for it, the batch norms of what is exported would train."""
    backbone = {"family": "resnext", "depth": 11, "cardinality": 2, "width": 4, "resize": 12}
    chosen = Configuration.resolve({"backbone": backbone, "attention": {"type": "cbam"}})
    network = build_network(chosen, TINY, seed=1)
    raw = images(6)
    expected = numpy(network.predict_on_batch(raw))
    np.testing.assert_allclose(numpy(network(raw)), expected, atol=1e-6)
    network.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(numpy(served.serve(raw)), expected, atol=1e-6)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(loaded.predict_on_batch(raw)), expected)
