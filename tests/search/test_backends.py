"""A search on each backend ends with a SavedModel, and loses nothing to a kill on its way.

Needs the extras `jax` and `torch`; run with `pytest -m slow tests/search/test_backends.py`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from tests.script import script
from tests.search.command import epochs_in, kill_all, results, run, start, wait_for_epochs

SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention: {type: {choice: [none, cbam]}, reduction_ratio: 4}
recipe: {learning_rate: 0.02, weight_averaging: 0.9}
data: {name: cifar10-sample, limit: 80, validation: 20, batch_size: 20}
search: {max_epochs: 3, factor: 3, seed: 2}
"""
PLAIN_TENSORFLOW = """
import sys
for name in ("search", "hypermodels", "torch", "jax"):
    sys.modules[name] = None  # importing it would now fail
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
np.save(sys.argv[2], model.serve(np.load(sys.argv[3])).numpy())
"""
ON_THE_BACKEND = """
import sys
import keras, hypermodels, numpy as np
assert keras.config.backend() == sys.argv[4]
model = keras.saving.load_model(sys.argv[1])
np.save(sys.argv[2], model.predict(np.load(sys.argv[3]), verbose=0))
"""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_it_is_killed_resumed_and_exported(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"the extra {backend} is not installed")
    (tmp_path / "my.yaml").write_text(SPACE)
    command = ("--space", tmp_path / "my.yaml", "--directory", tmp_path)
    run(*command, "--name", "whole", KERAS_BACKEND=backend)
    killed = tmp_path / "killed"
    process = start(*command, "--name", "killed", log=tmp_path / "log", KERAS_BACKEND=backend)
    assert wait_for_epochs(process, killed, 2), (tmp_path / "log").read_text()
    kill_all(process)
    before = epochs_in(killed)
    run(*command, "--name", "killed", KERAS_BACKEND=backend)
    assert epochs_in(killed) > before
    assert results(killed) == results(tmp_path / "whole")
    metrics = json.loads((killed / "best" / "metrics.json").read_text())
    assert metrics["largest_difference"]["saved_model"] < 1e-4

    images = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    best = killed / "best"
    script(
        PLAIN_TENSORFLOW, best / "saved_model", tmp_path / "tf.npy", tmp_path / "images.npy",
        cwd=tmp_path,
    )  # fmt: skip
    script(
        ON_THE_BACKEND, best / "model.keras", tmp_path / "own.npy", tmp_path / "images.npy",
        backend, KERAS_BACKEND=backend,
    )  # fmt: skip
    ours, theirs = np.load(tmp_path / "own.npy"), np.load(tmp_path / "tf.npy")
    np.testing.assert_allclose(theirs, ours, atol=1e-4)
    assert theirs.std() > 1e-3
