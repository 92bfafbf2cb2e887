"""A training that is continued in a new process is the training that never stopped."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.errors import RunDirectoryError
from tests.script import script
from tests.search.command import Payload


def trained(path: Path, stops: tuple[int, ...], recipe: dict[str, Any], dropout: bool) -> None:
    """Trains to each epoch count in `stops`, each time in a process of its own."""
    context = multiprocessing.get_context("spawn")
    for epochs in stops:
        process = context.Process(target=continue_to, args=(path, epochs, recipe, dropout))
        process.start()
        process.join()
        assert process.exitcode == 0


def continue_to(path: Path, epochs: int, recipe: dict[str, Any], dropout: bool) -> None:
    import keras

    from hypermodels.settings.configuration import Configuration
    from hypermodels.settings.recipe import Budget
    from hypermodels.training.batches import BatchSource
    from hypermodels.training.compile import compile_model
    from search.worker.checkpoint import load_checkpoint, save_checkpoint
    from search.worker.stopwatch import Stopwatch
    from search.worker.train import _train_epoch

    configuration = Configuration.resolve({"recipe": recipe})
    inputs = keras.Input((8, 8, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = keras.layers.Conv2D(4, 3, kernel_initializer=keras.initializers.HeNormal(seed=1))(x)
    x = keras.layers.BatchNormalization()(x)
    if dropout:
        x = keras.layers.Dropout(0.5, seed=2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, "softmax", kernel_initializer=keras.initializers.HeNormal(seed=3))(x)
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 3)).astype("uint8")
    source = BatchSource(images, np.arange(60) % 3, 3, 20, 5, configuration.recipe)
    compile_model(model, configuration.recipe, Budget(4, source.steps_per_epoch))
    model.optimizer.build(model.trainable_variables)
    curve = load_checkpoint(path, model)
    for epoch in range(len(curve), epochs):
        curve.append(_train_epoch(model, source, epoch, Stopwatch()))
        save_checkpoint(path, model, curve)


def contents(path: Path) -> dict[str, bytes]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key].tobytes() for key in archive.files}


@pytest.mark.parametrize(
    ("recipe", "dropout"),
    [
        ({"optimizer": "sgd", "weight_averaging": 0.9}, True),
        ({"optimizer": "adamw", "label_smoothing": 0.1, "warmup": 0.3}, True),
    ],
    ids=["sgd, averaged weights", "adamw, warm-up"],
)
def test_continued_equals_straight(recipe: dict[str, Any], dropout: bool, tmp_path: Path) -> None:
    trained(tmp_path / "straight.npz", (4,), recipe, dropout)
    trained(tmp_path / "continued.npz", (1, 4), recipe, dropout)
    straight, continued = contents(tmp_path / "straight.npz"), contents(tmp_path / "continued.npz")
    assert straight == continued
    assert any(key.startswith("state/") for key in straight)  # the dropout's generator
    assert sum(key.startswith("optimizer/") for key in straight) > 5


class FakeModel:
    """As much of a model as a checkpoint touches."""

    def __init__(self, shape: tuple[int, ...] = (2,), name: str = "dense/kernel") -> None:
        self.weights = self.variables = [FakeVariable(np.zeros(shape, "float32"), name)]
        self.metrics_variables: list[Any] = []
        self.optimizer = type("Optimizer", (), {"variables": []})


class FakeVariable:
    def __init__(self, value: np.ndarray, path: str) -> None:
        self.value, self.path, self.shape = value, path, value.shape

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


def test_missing_checkpoint_is_a_fresh_start(tmp_path: Path) -> None:
    from search.worker.checkpoint import load_checkpoint

    assert load_checkpoint(tmp_path / "none.npz", FakeModel()) == []


@pytest.mark.parametrize("damage", ["empty", "half", "text", "flipped", "shape", "name", "pickle"])
def test_unusable_checkpoints_are_named(damage: str, tmp_path: Path) -> None:
    from search.worker.checkpoint import load_checkpoint, save_checkpoint

    path = tmp_path / "0000.npz"
    save_checkpoint(path, FakeModel(), [{"loss": 1.0}])
    whole = path.read_bytes()
    model = FakeModel()
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "half":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_text("not an archive")
    elif damage == "flipped":
        place = whole.index(b"\x00\x00\x00\x00\x00\x00\x00\x00", whole.index(b"NUMPY") + 120)
        path.write_bytes(whole[:place] + b"\x01" + whole[place + 1 :])
    elif damage == "shape":
        model = FakeModel((3,))
    elif damage == "name":
        model = FakeModel(name="other/kernel")
    else:
        objects = np.array([Payload(tmp_path / "run")], dtype=object)
        np.savez(path, **{"weight/dense/kernel": objects})
    with pytest.raises(RunDirectoryError, match="0000.npz"):
        load_checkpoint(path, model)
    assert not (tmp_path / "run").exists()


TWINS = """
import sys
from pathlib import Path
import keras
import numpy as np
from search.worker.checkpoint import load_checkpoint, save_checkpoint

def inner():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(4, name="same")(inputs))

inputs, path = keras.Input((4,)), Path(sys.argv[1])
model = keras.Model(inputs, inner()(inner()(inputs)))
model.compile("sgd", "mse")
model.optimizer.build(model.trainable_variables)
assert len({weight.path for weight in model.weights}) < len(model.weights)
before = [np.array(weight) for weight in model.weights]
save_checkpoint(path, model, [{"loss": 1.0}])
for weight in model.weights:
    weight.assign(np.zeros(weight.shape))
assert load_checkpoint(path, model) == [{"loss": 1.0}]
for weight, value in zip(model.weights, before, strict=True):
    np.testing.assert_array_equal(np.asarray(weight), value)
"""


def test_layers_of_one_name_in_two_models_are_both_kept(tmp_path: Path) -> None:
    """Their weights have one path."""
    script(TWINS, tmp_path / "c.npz")
