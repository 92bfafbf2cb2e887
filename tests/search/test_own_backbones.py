"""Other people's networks, searched end to end: docs/backbones.md's, and one of Keras."""

from __future__ import annotations

import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import hypermodels.attention  # noqa: F401  # its layers are in the exported files
from search import data
from tests.script import script
from tests.search.command import (
    epochs_in,
    kill_all,
    run,
    start,
    wait_for_epochs,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backbones.md").read_text()
HERE = {"PYTHONPATH": str(ROOT)}
"""The command runs in a folder of the person's, where only an installed program is found."""
SEARCH = ("--space", "my.yaml", "--limit", 100, "--workers", 2)

PLAIN_TENSORFLOW = """
import sys
sys.modules["search"] = sys.modules["hypermodels"] = sys.modules["my_network"] = None
import numpy as np, tensorflow as tf
archive = np.load(sys.argv[1])
model = tf.saved_model.load("runs/my/best/saved_model")
scores = model.serve(tf.constant(archive["x_test"])).numpy()
assert scores.shape == (500, 10) and np.allclose(scores.sum(axis=1), 1, atol=1e-5)
print((scores.argmax(1) == archive["y_test"].reshape(-1)).mean())
"""


def block(name: str) -> str:
    """What stands on the page between two marks, without the fence."""
    match = re.search(
        rf"<!-- {name}: begin -->\n```\w+\n(.*?)```\n<!-- {name}: end -->", PAGE, re.S
    )
    assert match is not None, name
    return match[1]


def check_in_plain_tensorflow(folder: Path) -> None:
    """The exported model gives the accuracy that was said, without any of our code."""
    sample = Path(data.__file__).parents[1] / "assets" / "cifar10-sample.npz"
    printed = script(PLAIN_TENSORFLOW, sample, cwd=folder)
    metrics = json.loads((folder / "runs" / "my" / "best" / "metrics.json").read_text())
    assert float(printed.split()[-1]) == pytest.approx(metrics["test"]["accuracy"])


def refused(folder: Path, code: int, *arguments: object) -> str:
    """What is said where nothing may be changed."""
    journal = folder / "runs" / "my" / "journal.jsonl"
    before = journal.read_bytes() if journal.exists() else None
    said = run(*arguments, check=code, cwd=folder, **HERE).stderr
    assert said.startswith("cbam-search: ") and "Traceback" not in said
    assert (journal.read_bytes() if journal.exists() else None) == before
    return said


# ---- the model of the page ----------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the page was followed, the search killed once and run again."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "my_network.py").write_text(block("own model"))
    (folder / "my.yaml").write_text(block("own space"))
    process = start(*SEARCH, log=folder / "log", cwd=folder, **HERE)
    assert wait_for_epochs(process, folder / "runs" / "my", 2), (folder / "log").read_text()
    kill_all(process)
    killed_at = epochs_in(folder / "runs" / "my")
    said = run(*SEARCH, cwd=folder, **HERE).stdout
    assert "Resuming my.yaml" in said and "Exported trial" in said
    assert epochs_in(folder / "runs" / "my") > killed_at
    return folder


def test_the_model_is_twenty_lines() -> None:
    assert len(block("own model").splitlines()) <= 20


@pytest.mark.parametrize(("name", "space"), [("sites", "quickstart"), ("own sites", "my.yaml")])
def test_the_places_are_those_of_the_page(name: str, space: str, tmp_path: Path) -> None:
    (tmp_path / "my_network.py").write_text(block("own model"))
    (tmp_path / "my.yaml").write_text(block("own space"))
    shown, *expected = block(name).splitlines()
    assert shown == f"$ cbam-search sites --space {space}"
    said = run("sites", "--space", space, cwd=tmp_path, **HERE).stdout
    assert [line.rstrip() for line in said.splitlines()] == expected


def test_the_page_s_model_is_searched_resumed_and_exported(own: Path) -> None:
    content = json.loads((own / "runs" / "my" / "summary.json").read_text())
    kinds = {row["attention.type"] for row in content["trials"]}
    assert "none" in kinds and len(kinds) > 1
    assert all(row["status"] == "COMPLETED" for row in content["trials"])
    journal = (own / "runs" / "my" / "journal.jsonl").read_bytes().splitlines()
    records = [json.loads(line[9:]) for line in journal]
    trained = [(each["lineage"], each["epoch"]) for each in records if each["type"] == "epoch"]
    assert len(trained) == len(set(trained))  # no epoch twice
    assert list(records[0]["files"]) == ["my_network.py"]
    check_in_plain_tensorflow(own)


def test_the_exported_space_builds_it_again(own: Path) -> None:
    said = run("sites", "--space", "runs/my/best/hyperparameters.yaml", cwd=own, **HERE).stdout
    assert "block3_norm" in said and "model my_network:build" in said


def test_a_changed_source_is_not_resumed(own: Path) -> None:
    source = own / "my_network.py"
    before = source.read_text()
    try:
        source.write_text(before.replace("layers.ReLU()", "layers.LeakyReLU()"))
        said = refused(own, 5, *SEARCH)
        assert "my_network.py: another content in the run than now" in said
        source.write_text(f"import parts\n{before}")
        (own / "parts.py").write_text("")
        said = refused(own, 5, *SEARCH)
        assert "parts.py: no part of the backbone in the run, part of it now" in said
        source.unlink()
        assert "my_network.py" in refused(own, 5, *SEARCH)
    finally:
        source.write_text(before)
    assert "Resuming" in run(*SEARCH, cwd=own, **HERE).stdout


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def build(shape, classes):\n    return 1 / 0\n", "raised ZeroDivisionError"),
        ("def build(shape, classes:\n", "my_network cannot be imported: SyntaxError"),
        ("", "my_network must have a function build"),
    ],
)
def test_a_source_that_fails_is_named_before_anything_is_written(
    source: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "my_network.py").write_text(source)
    (tmp_path / "my.yaml").write_text(block("own space"))
    assert expected in refused(tmp_path, 3, *SEARCH)
    assert not (tmp_path / "runs").exists()


# ---- a network of Keras with weights from a file ---------------------------------------------


APPLICATION = """\
backbone: {application: MobileNetV3Small, weights: pretrained.weights.h5}
attention: {type: eca, gate: identity_start}
recipe: {learning_rate: 1.0e-5, weight_decay: 0.0, warmup: 0.0}
data: {name: cifar10-sample, batch_size: 50}
search: {max_epochs: 1, seed: 1}
"""


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrained")
    (folder / "my.yaml").write_text(APPLICATION)
    network = keras.applications.MobileNetV3Small(weights=None, include_top=False)
    network.save_weights(folder / "pretrained.weights.h5")
    run(*SEARCH, cwd=folder, **HERE)
    return folder


@pytest.mark.slow
def test_a_pretrained_network_is_searched_and_exported(pretrained: Path) -> None:
    """With a learning rate that leaves the weights nearly as they were in the file."""
    network = keras.applications.MobileNetV3Small(weights=None, include_top=False)
    network.load_weights(pretrained / "pretrained.weights.h5")
    exported = keras.saving.load_model(pretrained / "runs" / "my" / "best" / "model.keras")
    names = {layer.name for layer in exported.layers}
    kept = [layer for layer in network.layers if layer.weights and layer.name in names]
    assert len(kept) > 60
    for layer in kept:
        ours, theirs = exported.get_layer(layer.name).get_weights(), layer.get_weights()
        count = 2 if isinstance(layer, keras.layers.BatchNormalization) else len(theirs)
        for mine, its in zip(ours[:count], theirs[:count], strict=True):
            np.testing.assert_allclose(mine, its, atol=1e-3)
    assert sum(name.endswith("_attn") for name in names) == 11
    check_in_plain_tensorflow(pretrained)


@pytest.mark.slow
def test_changed_weights_are_not_resumed(pretrained: Path) -> None:
    path = pretrained / "pretrained.weights.h5"
    before = path.read_bytes()
    try:
        path.write_bytes(before + b"\0")
        said = refused(pretrained, 5, *SEARCH)
        assert "pretrained.weights.h5: another content in the run than now" in said
        path.unlink()
        said = refused(pretrained, 3, *SEARCH)
        assert "the backbone needs pretrained.weights.h5, which cannot be read" in said
    finally:
        path.write_bytes(before)
    assert "Resuming" in run(*SEARCH, cwd=pretrained, **HERE).stdout


def test_weights_that_do_not_fit_are_named_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(APPLICATION)
    assert "pretrained.weights.h5, which cannot be read" in refused(tmp_path, 3, *SEARCH)
    other = keras.applications.MobileNet(weights=None, include_top=False, alpha=0.25)
    other.save_weights(tmp_path / "pretrained.weights.h5")
    said = refused(tmp_path, 3, *SEARCH)
    assert "is no weights file of MobileNetV3Small" in said
    assert not (tmp_path / "runs").exists()
