"""The hypermodels inside stock KerasTuner tuners, and what `fit` promises."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import keras_tuner as kt
import numpy as np
import pytest
import tensorflow as tf

from hypermodels.hypermodel import (
    AttentionHyperModel,
    FamilyHyperModel,
    ResNetV1HyperModel,
    ResNetV2HyperModel,
)
from hypermodels.knobs import Choice, FloatRange, IntRange, KnobError
from hypermodels.settings.recipe import Budget
from hypermodels.training.batches import BatchSource
from hypermodels.training.compile import compile_model
from tests.hypermodels.helpers import SMALLEST, TINY, configuration, fingerprint, images, numpy

X = images(24)
Y = np.arange(24) % 4
VALIDATION = (images(8, seed=1), np.arange(8) % 4)
BUDGET = Budget(epochs=2, steps_per_epoch=3)
PLAIN = {"augmentation": "none", "learning_rate": 0.05}


def without_tensorboard(tuner: Any) -> Any:
    """Lets a stock tuner run where tensorboard is not installed.

    On the TensorFlow backend `kt.Tuner.run_trial` imports `tensorboard.plugins.hparams`
    even with no TensorBoard callback, and TensorFlow 2.21 does not bring tensorboard along.
    A user installs it, or does what is done here: overrides the private method that
    imports it.
    """
    tuner._configure_tensorboard_dir = lambda callbacks, trial, execution=0: None
    return tuner


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Without tracing: for a few steps of a small network that takes most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def hypermodel(kind: type[AttentionHyperModel] = ResNetV1HyperModel, **settings: Any) -> Any:
    depth = 11 if kind is ResNetV2HyperModel else 8
    recipe = {**PLAIN, **settings.pop("recipe", {})}
    settings = {"backbone": {"depth": depth}, "recipe": recipe, "seed": 3, **settings}
    return kind(TINY, BUDGET, batch_size=8, **settings)


def searched(tuner: Any, epochs: int | None = 1, **kwargs: Any) -> Any:
    given = {"validation_data": VALIDATION, "verbose": 0, **kwargs}
    if epochs is not None:
        given["epochs"] = epochs
    without_tensorboard(tuner).search(X, Y, **given)
    return tuner


def completed(tuner: Any) -> list[Any]:
    trials = list(tuner.oracle.trials.values())
    assert {trial.status for trial in trials} == {"COMPLETED"}, [t.message for t in trials]
    return trials


TUNED = {
    "type": Choice(("none", "se", "cbam")),
    "reduction_ratio": Choice((2, 4)),
    "mlp_bias": Choice((True, False)),
    "stages": Choice(("all", [2, 3])),  # type: ignore[arg-type]
    "order": Choice(("channel_first", "parallel")),
}


def test_random_search(tmp_path: Path) -> None:
    tuner = kt.RandomSearch(
        hypermodel(attention=TUNED, recipe={"learning_rate": FloatRange(0.01, 0.1, "log")}),
        objective="val_accuracy",
        max_trials=3,
        seed=4,
        directory=tmp_path,
    )
    kinds = set()
    for trial in completed(searched(tuner)):
        values = trial.hyperparameters.values
        active = {"attention.type", "recipe.learning_rate"}
        if values["attention.type"] != "none":
            active |= {f"attention.{name}" for name in ("reduction_ratio", "mlp_bias", "stages")}
        if values["attention.type"] == "cbam":
            active |= {"attention.order"}
        assert set(values) == active
        kinds.add(values["attention.type"])
        assert 0.01 <= values["recipe.learning_rate"] <= 0.1
    assert len(kinds) > 1
    best = tuner.get_best_models(1)[0]
    values = tuner.get_best_hyperparameters(1)[0].values
    again = best.evaluate(VALIDATION[0], np.eye(4)[VALIDATION[1]], verbose=0, return_dict=True)
    score = tuner.oracle.get_best_trials(1)[0].score
    assert again["accuracy"] == pytest.approx(score)
    attended = [layer.name for layer in best.layers if layer.name.endswith("_attn")]
    assert len(attended) == {"all": 3, "2,3": 2}.get(values.get("attention.stages"), 0)


def test_hyperband(tmp_path: Path, eagerly: None) -> None:
    tuner = kt.Hyperband(
        hypermodel(ResNetV2HyperModel, attention={"type": Choice(("se", "channel"))}),
        objective="val_loss",
        max_epochs=2,
        factor=2,
        seed=1,
        directory=tmp_path,
    )
    trials = completed(searched(tuner, epochs=None))
    assert {trial.hyperparameters.values["attention.type"] for trial in trials} == {
        "se",
        "channel",
    }
    assert {trial.hyperparameters.values["tuner/epochs"] for trial in trials} == {1, 2}


def test_bayesian_optimization(tmp_path: Path, eagerly: None) -> None:
    recipe = {
        "optimizer": Choice(("sgd", "adamw")),
        "nesterov": Choice((False, True)),
        "momentum": FloatRange(0.1, 0.9),
    }
    tuner = kt.BayesianOptimization(
        hypermodel(
            AttentionHyperModel, recipe=recipe, attention={"reduction_ratio": IntRange(2, 8)}
        ),
        objective=kt.Objective("val_loss", "min"),
        max_trials=3,
        num_initial_points=2,
        seed=2,
        directory=tmp_path,
    )
    trials = completed(searched(tuner))
    for trial in trials:
        values = trial.hyperparameters.values
        sgd = {"recipe.nesterov", "recipe.momentum"}
        expected = sgd if values["recipe.optimizer"] == "sgd" else set()
        # The attention type is fixed to none: its ratio is no hyperparameter.
        assert set(values) == {"recipe.optimizer", *expected}


def test_everything_fixed(tmp_path: Path) -> None:
    model = hypermodel(attention={"type": "cbam", "stages": [3], "mlp_bias": False})
    tuner = kt.RandomSearch(model, "val_accuracy", max_trials=1, directory=tmp_path)
    (trial,) = completed(searched(tuner))
    assert trial.hyperparameters.values == {}
    names = [layer.name for layer in model.build(kt.HyperParameters()).layers]
    assert [name for name in names if name.endswith("_attn")] == ["s3b1_attn"]


def test_values_reach_the_network() -> None:
    model = hypermodel(
        attention={**TUNED, "gate": "identity_start"}, recipe={"nesterov": Choice((True, False))}
    )
    hp = kt.HyperParameters()
    hp.values.update(
        {
            "attention.type": "cbam",
            "attention.reduction_ratio": 4,
            "attention.mlp_bias": 0,  # what a Boolean may have become in a file
            "attention.stages": "2,3",
            "attention.order": "parallel",
            "recipe.nesterov": 0,
        }
    )
    built = model.build(hp)
    names = [layer.name for layer in built.layers if layer.name.endswith("_attn")]
    assert names == ["s2b1_attn", "s3b1_attn"]
    config = built.get_layer("s2b1_attn").get_config()
    assert (config["reduction_ratio"], config["mlp_bias"]) == (4, False)
    assert (config["order"], config["gate"]) == ("parallel", "identity_start")
    assert built.optimizer.nesterov is False
    assert model.configuration(hp).attention["mlp_bias"] is False
    assert model.configuration(hp).recipe["nesterov"] is False


def test_every_family_has_a_class() -> None:
    kinds = {kind.family: kind for kind in FamilyHyperModel.__subclasses__()}
    for family, settings in SMALLEST.items():
        chosen = kinds[family](TINY, BUDGET, backbone=settings).configuration(kt.HyperParameters())
        assert chosen.backbone.items() >= {"family": family, **settings}.items()
        assert kinds[family].__name__.lower() == f"{family.replace('_', '')}hypermodel"


@pytest.mark.parametrize(
    ("kind", "family"), [(ResNetV1HyperModel, "resnet_v1"), (ResNetV2HyperModel, "resnet_v2")]
)
def test_a_class_for_each_family(kind: Any, family: str) -> None:
    hp = kt.HyperParameters()
    made = kind(
        TINY, BUDGET, backbone={"depth": Choice((20, 29 if family == "resnet_v2" else 26))}
    )
    chosen = made.configuration(hp)
    assert chosen.backbone == {"family": family, "depth": 20}
    assert hp.values == {"backbone.depth": 20}
    assert kind(TINY, BUDGET).build(kt.HyperParameters()).name == family
    with pytest.raises(KnobError, match="backbone has no knob called dept. Did you mean depth"):
        kind(TINY, BUDGET, backbone={"dept": 20})


def test_wrong_settings_are_refused_at_once() -> None:
    for section, settings, message in (
        ("attention", {"typ": "se"}, "Did you mean type"),
        ("attention", {"type": Choice(("se", "cbma"))}, "attention.type: expected one of"),
        ("recipe", {"momentum": 2.0}, "recipe.momentum: expected a number"),
        ("backbone", {"depth": 21}, "valid depths near it are 20 and 26"),
    ):
        with pytest.raises(KnobError, match=message):
            AttentionHyperModel(TINY, BUDGET, **{section: settings})  # type: ignore[arg-type]


# --- fit ----------------------------------------------------------------------------


class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
    """Fingerprints of the weights at the end of every epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[list[np.ndarray]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights.append(self.model.get_weights())


def perceptron(recipe: Any) -> keras.Model:
    """A network that is traced in a moment, with the recipe's optimizer and loss."""
    inputs = keras.Input(TINY.shape, dtype="uint8")
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, -1.0)(inputs))
    outputs = keras.layers.Dense(4, "softmax", kernel_initializer="zeros")(x)
    model = keras.Model(inputs, outputs)
    compile_model(model, recipe, BUDGET)
    return model


def fitted(*args: Any, recipe: Any = None, **kwargs: Any) -> tuple[Any, Any]:
    made = hypermodel(recipe=recipe or {})
    hp = kt.HyperParameters()
    network = perceptron(made.configuration(hp).recipe)
    return network, made.fit(hp, network, *args, **{"verbose": 0, **kwargs})


def test_fit_trains_on_the_batches_of_the_source() -> None:
    """Bit for bit what a loop over BatchSource gives, whatever Python's generator does."""
    random.seed(1)
    network, _ = fitted(X, Y, epochs=2, recipe={"augmentation": "flip+crop"})
    random.seed(2)
    again, _ = fitted(X, Y, epochs=2, recipe={"augmentation": "flip+crop"})
    assert fingerprint(network.get_weights()) == fingerprint(again.get_weights())
    chosen = configuration(recipe={**PLAIN, "augmentation": "flip+crop"})
    loop = perceptron(chosen.recipe)
    source = BatchSource(X, Y, 4, 8, 3, chosen.recipe)
    for epoch in (0, 1):
        for x, y in source.epoch(epoch):
            loop.train_on_batch(x, y)
    for mine, theirs in zip(loop.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def test_fit_takes_what_model_fit_takes() -> None:
    by_name, history = fitted(x=X, y=Y, batch_size=6, epochs=1, validation_data=VALIDATION)
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert int(by_name.optimizer.iterations) == 4
    by_place, _ = fitted(X, Y, 6, 1)
    one_hot, _ = fitted(X, np.eye(4, dtype="float32")[Y], 6, 1)
    column, _ = fitted(X, Y[:, None].astype("uint8"), 6, 1)
    for other in (by_place, one_hot, column):
        assert fingerprint(other.get_weights()) == fingerprint(by_name.get_weights())


def test_fit_splits_as_keras_does() -> None:
    """The last quarter validates."""
    split, one = fitted(X, Y, epochs=1, validation_split=0.25)
    given, two = fitted(X[:18], Y[:18], epochs=1, validation_data=(X[18:], Y[18:]))
    assert fingerprint(split.get_weights()) == fingerprint(given.get_weights())
    assert one.history == two.history


def test_fit_from_a_later_epoch_sees_that_epochs_batches() -> None:
    first, _ = fitted(X, Y, epochs=1)
    later, _ = fitted(X, Y, initial_epoch=1, epochs=2)
    assert fingerprint(first.get_weights()) != fingerprint(later.get_weights())


def test_fit_refuses_images_that_are_normalized_already() -> None:
    with pytest.raises(ValueError, match="raw uint8 images.*Received: an array of float32"):
        fitted(X.astype("float32") / 255.0, Y)


FLOATS = X.astype("float32") / 255.0
SHARES = np.full((24, 4), 0.1, "float32") + 0.6 * np.eye(4, dtype="float32")[Y]
SHAPE = r"has shape \(n, .*Received: shape"

REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "float validation images": (
        (X, Y),
        {"validation_data": (FLOATS, Y)},
        "validation_data: the network takes raw uint8 images.*an array of float32",
    ),
    "images without a batch axis": ((X[0], Y[:1]), {}, SHAPE),
    "images of another size": ((X[:, :-1], Y), {}, SHAPE),
    "validation images of another size": ((X, Y), {"validation_data": (X[:, 1:], Y)}, SHAPE),
    "a list of float images": ((list(FLOATS), Y), {}, "an array of float32"),
    "a tensor of float images": ((tf.constant(FLOATS), Y), {}, "an array of float32"),
    "no images": ((X[:0], Y[:0]), {}, "x has no images"),
    "no labels": ((X,), {}, "y is missing"),
    "label -1": (
        (X, Y - 1),
        {},
        "y: classes from 0 to 3 are known. Received: labels from -1 to 2",
    ),
    "labels from 1": ((X, list(Y + 1)), {}, "Received: labels from 1 to 4"),
    "float labels": ((X, Y.astype("float32")), {}, "an array of float32.*astype"),
    "labels of more images": ((X[:20], Y), {}, "one label for each image"),
    "labels of two columns": ((X, np.zeros((24, 2))), {}, r"shape \(24, 2\)"),
    "shares above 1": ((X, SHARES * 2), {}, "sum to 1"),
    "negative shares": ((X, SHARES - 0.2), {}, "not negative"),
    "shares that are not numbers": ((X, SHARES * np.nan), {}, "not negative"),
    "a wrong validation label": (
        (X, Y),
        {"validation_data": (X, Y - 1)},
        "the labels of validation_data: classes from 0 to 3 are known",
    ),
    "validation data alone": ((X, Y), {"validation_data": X}, "a tuple of images and labels"),
    "sample_weight": ((X, Y), {"sample_weight": np.ones(24)}, "sample_weight is not taken"),
    "steps_per_epoch": ((X, Y), {"steps_per_epoch": 1}, "steps_per_epoch is not taken"),
    "shuffle": ((X, Y), {"shuffle": False}, "shuffle=False is not taken"),
    "a whole split": ((X, Y), {"validation_split": 1.0}, "below 1. Received: 1.0"),
    "two ways to validate": (
        (X, Y),
        {"validation_split": 0.5, "validation_data": VALIDATION},
        "Leave one of them out",
    ),
    "tf.data of floats": (
        (tf.data.Dataset.from_tensor_slices((FLOATS, SHARES)).batch(8),),
        {},
        "the images of x: the network takes raw uint8.*float32",
    ),
    "tf.data without batches": (
        (tf.data.Dataset.from_tensor_slices((X, SHARES)),),
        {},
        SHAPE,
    ),
    "tf.data of class numbers": (
        (tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),),
        {},
        "one-hot or soft, of shape",
    ),
    "tf.data of floats to validate": (
        (X, Y),
        {"validation_data": tf.data.Dataset.from_tensor_slices((FLOATS, SHARES)).batch(8)},
        "the images of validation_data: the network takes raw uint8",
    ),
    "a data set of images alone": (
        (tf.data.Dataset.from_tensor_slices(X).batch(8),),
        {},
        "yields tuples of images and labels",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_fit_refuses_what_would_train_on_something_else(name: str) -> None:
    args, kwargs, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        fitted(*args, epochs=1, **kwargs)


def test_fit_refuses_a_generator_of_floats_and_wastes_no_batch_of_a_good_one() -> None:
    def batches(x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, 24, 8):
            yield x[start : start + 8], SHARES[start : start + 8]

    with pytest.raises(ValueError, match="raw uint8"):
        fitted(batches(FLOATS), epochs=1)
    network, _ = fitted(batches(X), epochs=1)
    plain = perceptron(hypermodel().configuration(kt.HyperParameters()).recipe)
    plain.fit(batches(X), epochs=1, verbose=0)
    assert fingerprint(network.get_weights()) == fingerprint(plain.get_weights())


def test_soft_labels_stay_soft() -> None:
    soft, history = fitted(X, SHARES, epochs=1, validation_data=(X, SHARES))
    hard, _ = fitted(X, Y, epochs=1)
    assert fingerprint(soft.get_weights()) != fingerprint(hard.get_weights())
    scores = np.clip(numpy(soft(X)), 1e-7, 1.0)
    entropy = float(-(SHARES * np.log(scores)).sum(axis=1).mean())
    assert history.history["val_loss"][0] == pytest.approx(entropy, rel=1e-4)
    half, _ = fitted(X, SHARES.astype("float16"), epochs=1)
    for mine, other in zip(half.get_weights(), soft.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-2, atol=1e-3)


def test_class_weights_are_honored() -> None:
    plain, _ = fitted(X, Y, epochs=1)
    weighted, _ = fitted(X, Y, epochs=1, class_weight={0: 5.0, 1: 1.0, 2: 1.0, 3: 0.0})
    assert fingerprint(plain.get_weights()) != fingerprint(weighted.get_weights())


def test_fit_passes_a_data_set_object_on() -> None:
    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            return X[:8], np.eye(4, dtype="float32")[Y[:8]]

    network, _ = fitted(Batches(), epochs=2)
    assert int(network.optimizer.iterations) == 4


def test_weight_averages_are_validated_and_saved() -> None:
    recipe = {"weight_averaging": 0.9, "learning_rate": 0.2, "warmup": 0.0}
    seen = Recorder()
    network, history = fitted(
        X, Y, epochs=2, validation_data=VALIDATION, callbacks=[seen], recipe=recipe
    )
    plain = Recorder()
    fitted(
        X,
        Y,
        epochs=2,
        validation_data=VALIDATION,
        callbacks=[plain],
        recipe={"learning_rate": 0.2, "warmup": 0.0},
    )
    labels = np.eye(4, dtype="float32")[VALIDATION[1]]
    # Six steps of plain training, averaged here: the averages never feed back into it.
    chosen = configuration(recipe={**PLAIN, **recipe})
    loop = perceptron({**chosen.recipe, "weight_averaging": 0.0})
    average: Any = None
    for epoch in (0, 1):
        for x, y in BatchSource(X, Y, 4, 8, 3, chosen.recipe).epoch(epoch):
            loop.train_on_batch(x, y)
            now = loop.get_weights()[0]
            average = now if average is None else 0.9 * average + 0.1 * now
        np.testing.assert_allclose(seen.weights[epoch][0], average, rtol=1e-3, atol=1e-5)
    for epoch, (averaged, raw) in enumerate(zip(seen.weights, plain.weights, strict=True)):
        assert (averaged[0] != raw[0]).any()
        network.set_weights(averaged)
        loss = network.evaluate(VALIDATION[0], labels, verbose=0)[0]
        assert history.history["val_loss"][epoch] == pytest.approx(loss, rel=1e-4)


def test_numbers_of_the_scores() -> None:
    network, _ = fitted(X, Y, epochs=1)
    scores = numpy(network(X))
    assert scores.shape == (24, 4)
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, rtol=1e-5)
