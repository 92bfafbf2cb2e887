"""What leaves the program is the trained model, whole, and usable without this package."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.script import script
from tests.search.command import SMALL_SPACE, run

PLAIN_TENSORFLOW = """
import sys
sys.modules["search"] = sys.modules["hypermodels"] = None  # importing them would now fail
import numpy as np, tensorflow as tf
archive = np.load({data!r})
images, labels = archive["x_test"], archive["y_test"].reshape(-1)
model = tf.saved_model.load({model!r})
signature = model.signatures["serving_default"]
(name, spec), = signature.structured_input_signature[1].items()
assert spec.dtype == tf.uint8, spec
scores = signature(**{{name: tf.constant(images)}})
scores = next(iter(scores.values())).numpy()
np.save({scores!r}, scores)
print("keras" in sys.modules, (scores.argmax(1) == labels).mean())
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("export")
    (directory / "small.yaml").write_text(
        # attention in the exported model, and enough training to beat chance clearly
        SMALL_SPACE.replace("{choice: [none, se, cbam]}", "cbam")
        .replace("reduction_ratio: {choice: [2, 4]}", "reduction_ratio: 4")
        .replace("limit: 120", "limit: 1000")
        .replace("weight_averaging: 0.9", "weight_averaging: 0.9, learning_rate: 0.2")
        .replace("max_epochs: 3", "max_epochs: 5")
    )
    run("--space", directory / "small.yaml", "--directory", directory, "--workers", 2)
    return directory / "small"


def test_saved_model_in_plain_tensorflow(finished: Path, tmp_path: Path) -> None:
    from search import data

    sample = Path(data.__file__).parents[1] / "assets" / "cifar10-sample.npz"
    code = PLAIN_TENSORFLOW.format(
        data=str(sample),
        model=str(finished / "best" / "saved_model"),
        scores=str(tmp_path / "scores.npy"),
    )
    printed = script(code, cwd=tmp_path)
    metrics = json.loads((finished / "best" / "metrics.json").read_text())
    accuracy = float(printed.split()[-1])
    assert accuracy == pytest.approx(metrics["test"]["accuracy"], abs=1e-9)
    assert accuracy > 0.17  # 500 images, chance 0.1: more than five standard errors
    scores = np.load(tmp_path / "scores.npy")
    assert scores.shape == (500, 10) and np.allclose(scores.sum(axis=1), 1, atol=1e-5)
    assert metrics["largest_difference"]["saved_model"] < 1e-5
    assert metrics["largest_difference"]["keras"] < 1e-5


def test_folder_holds_what_the_readme_says(finished: Path) -> None:
    names = {path.name for path in (finished / "best").iterdir()}
    assert names == {
        "saved_model",
        "model.keras",
        "hyperparameters.yaml",
        "metrics.json",
        "class_names.txt",
    }
    assert (finished / "best" / "class_names.txt").read_text().split()[:2] == [
        "airplane",
        "automobile",
    ]


@pytest.mark.slow
def test_hyperparameters_are_a_space_that_gives_the_same_model(
    finished: Path, tmp_path: Path
) -> None:
    fixed = finished / "best" / "hyperparameters.yaml"
    content = yaml.safe_load(fixed.read_text())
    assert not any(
        isinstance(value, dict) for section in content.values() for value in section.values()
    )
    run("--space", fixed, "--directory", tmp_path, "--name", "again", "--workers", 2)
    then = json.loads((finished / "best" / "metrics.json").read_text())
    now = json.loads((tmp_path / "again" / "best" / "metrics.json").read_text())
    assert now["score"] == then["score"] and now["test"] == then["test"]


def test_the_test_split_is_read_once_and_the_journal_says_so(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert len(summary["test_reads"]) == 1
    before = (finished / "journal.jsonl").read_bytes()
    said = run("export", finished, "--json").stdout
    assert json.loads(said)["best"]["trial"] == summary["exports"][0]["trial"]
    assert (finished / "journal.jsonl").read_bytes() == before


def test_export_is_made_again_when_it_is_gone(finished: Path) -> None:
    metrics = json.loads((finished / "best" / "metrics.json").read_text())
    shutil.rmtree(finished / "best")
    run("export", finished)
    assert json.loads((finished / "best" / "metrics.json").read_text()) == metrics
    reads = json.loads((finished / "summary.json").read_text())["test_reads"]
    best = metrics["trial"]
    assert [read["purpose"] for read in reads] == [  # said, not hidden
        f"export of trial {best}",
        f"export of trial {best} again, as the exported files were gone",
    ]


LAMBDA = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
path, mark = sys.argv[1:]
code = eval(f"lambda x: (open({mark!r}, 'w').close(), x)[1]")
model = keras.Sequential([
    keras.Input((32, 32, 3), dtype="uint8"),
    keras.layers.Lambda(code),
    keras.layers.GlobalAveragePooling2D(),
    keras.layers.Dense(10, "softmax"),
])
model.save(path)
os.unlink(mark)
keras.saving.load_model(path, safe_mode=False)
print("ran" if os.path.exists(mark) else "slept")
os.unlink(mark)
"""


def test_code_in_a_model_of_a_stranger_is_not_run(finished: Path, tmp_path: Path) -> None:
    """A Lambda layer carries bytecode, which an unsafe load runs; `verify` loads nothing."""
    run_directory, mark = tmp_path / "small", tmp_path / "mark"
    shutil.copytree(finished, run_directory)
    arguments = [str(run_directory / "best" / "model.keras"), str(mark)]
    assert script(LAMBDA, *arguments).strip() == "ran"
    said = run("verify", run_directory, check=10).stderr
    assert "best/model.keras is not the file that was exported" in said.replace("\n", "")
    assert "Traceback" not in said
    assert not mark.exists()
