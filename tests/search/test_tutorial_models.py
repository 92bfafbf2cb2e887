"""Networks as tutorials have them: searched, killed once, resumed, exported, and no bit lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.script import script
from tests.search import tutorial_models
from tests.search.command import epochs_in, kill_all, results, run, start, wait_for_epochs

ROOT = Path(__file__).parents[2]
HERE = {"PYTHONPATH": str(ROOT)}
SPACE = """\
backbone: {{model: "their_models:{model}"{backbone}}}
attention: {{type: {{choice: [none, se]}}, reduction_ratio: 2}}
recipe: {{learning_rate: 0.01, augmentation: none}}
data: {{name: cifar10-sample, limit: 60, validation: 20, batch_size: 20, test_fraction: 0.1}}
search: {{max_epochs: 3, factor: 3, seed: 1}}
presets: [none]
"""
BACKBONES = {
    "augmentation": ", normalization: none",
    "transfer": ", initial_weights: own, resize: 96",
    "efficient": ", normalization: none",
    "with_lambda": ", normalization: none",
    "custom_layer": "",
    "branches": "",
    "recurrent": "",
    "unet_encoder": "",
    "mixed_precision": "",
    "constraints": "",
}
IN_THE_DEFAULT_SUITE = ("custom_layer",)
"""Each takes a minute, so the others are in the slow one."""

PLAIN_TENSORFLOW = """
import sys
for name in ("search", "hypermodels", "their_models"):
    sys.modules[name] = None  # importing it would now fail
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
images = np.load(sys.argv[2])
first = model.serve(images).numpy()
for same in (images, (images / 255).astype("float32"), images / 255, images.astype("float32")):
    assert np.abs(model.serve(same).numpy() - first).max() < 1e-5, same.dtype
for other in (images / 127.5 - 1, images - 300.0, images[0]):
    try:
        model.serve(other)
    except Exception as error:
        continue
    raise SystemExit(f"no error for images from {other.min()} to {other.max()}")
np.save(sys.argv[3], first)
"""
WITH_KERAS = """
import sys
import keras, hypermodels, numpy as np
import their_models
import json
objects = json.loads(sys.argv[3])
given = {name: getattr(their_models, path.split(".", 1)[1]) for name, path in objects.items()}
model = keras.saving.load_model(sys.argv[1], custom_objects=given)
images = np.load(sys.argv[2])
called, predicted = np.asarray(model(images)), model.predict(images, verbose=0)
assert np.abs(called - predicted).max() < 1e-5, "it augments when it is called"
divided = model.predict(images / 255, verbose=0)
assert np.abs(divided - predicted).max() < 1e-4
np.save(sys.argv[4], called)
"""


def folder_of(path: Path, model: str) -> Path:
    path.mkdir()
    shutil.copy(tutorial_models.__file__, path / "their_models.py")
    (path / "my.yaml").write_text(SPACE.format(model=model, backbone=BACKBONES[model]))
    return path


def searched(folder: Path) -> Path:
    said = run("--space", "my.yaml", "--workers", 2, cwd=folder, **HERE).stdout
    assert "Exported trial" in said
    return folder / "runs" / "my"


def killed_once(folder: Path) -> Path:
    arguments = ("--space", "my.yaml", "--workers", 1)
    process = start(*arguments, log=folder / "log", cwd=folder, **HERE)
    assert wait_for_epochs(process, folder / "runs" / "my", 2), (folder / "log").read_text()
    kill_all(process)
    assert epochs_in(folder / "runs" / "my") < 10
    return searched(folder)


def check_export(run_directory: Path, scratch: Path) -> None:
    """A stranger's images through both files: the same scores, and no augmentation."""
    images = np.random.default_rng(5).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    np.save(scratch / "images.npy", images)
    best = run_directory / "best"
    script(
        PLAIN_TENSORFLOW, best / "saved_model", scratch / "images.npy", scratch / "tf.npy",
        cwd=scratch,
    )  # fmt: skip
    scores = np.load(scratch / "tf.npy")
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-4)
    metrics: dict[str, Any] = json.loads((best / "metrics.json").read_text())
    if "missing" in metrics:
        assert set(metrics["missing"]) == {"model.keras"} and not (best / "model.keras").exists()
        return
    script(
        WITH_KERAS, best / "model.keras", scratch / "images.npy",
        json.dumps(metrics.get("custom_objects", {})), scratch / "keras.npy",
        cwd=scratch, PYTHONPATH=f"{ROOT}:{run_directory.parents[1]}",
    )  # fmt: skip
    np.testing.assert_allclose(np.load(scratch / "keras.npy"), scores, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(name, marks=() if name in IN_THE_DEFAULT_SUITE else pytest.mark.slow)
        for name in BACKBONES
    ],
)
def test_it_is_searched_killed_resumed_and_exported(model: str, tmp_path: Path) -> None:
    whole = searched(folder_of(tmp_path / "whole", model))
    killed = killed_once(folder_of(tmp_path / "killed", model))
    assert results(killed) == results(whole)
    content = json.loads((killed / "summary.json").read_text())
    assert {row["status"] for row in content["trials"]} == {"COMPLETED"}
    check_export(killed, tmp_path)


def test_there_are_ten() -> None:
    assert len(BACKBONES) == 10
