"""A person's own network, put together anew, tried, and made ready to leave."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.errors import BackboneError
from hypermodels.graph.remake import objects_of
from hypermodels.image import ImageSpec
from hypermodels.networks.checking import check_own_network
from hypermodels.networks.description import BackboneDescription, describe_backbone
from hypermodels.networks.network import build_network
from hypermodels.networks.serving import serving_model
from hypermodels.settings.configuration import Configuration
from tests.hypermodels.helpers import fingerprint, images, numpy

HERE = "tests.hypermodels.strange_network"
IMAGE = ImageSpec((16, 16, 3), 5)
WORK = (
    "unregistered",
    "without_config",
    "activation",
    "borrowed_name",
    "function_layer",
    "closure",
    "nested",
    "time_distributed",
    "wrapped",
    "own_softmax",
    "normalizer",
    "custom_initializer",
    "augments_within",
    "unseeded_noise",
)
WITHOUT_A_FILE = {
    # What they hold has no name under which a file could carry it.
    "without_config", "closure", "nested", "own_softmax", "normalizer", "custom_initializer",
    "borrowed_name",
}  # fmt: skip


def configuration(model: str, attention: str = "none", **backbone: Any) -> Configuration:
    chosen = {"type": attention} | ({} if attention == "none" else {"reduction_ratio": 2})
    return Configuration.resolve(
        {"backbone": {"model": f"{HERE}:{model}", **backbone}, "attention": chosen}
    )


def built(model: str, seed: int = 1, attention: str = "none", **backbone: Any) -> keras.Model:
    return build_network(configuration(model, attention, **backbone), IMAGE, seed=seed)


@pytest.mark.parametrize("model", WORK)
def test_what_a_person_may_write(model: str) -> None:
    """The same weights from the same seed, whatever was drawn before; others from another."""
    assert check_own_network(configuration(model).backbone, IMAGE) == ()
    first = built(model, attention="se")
    random.random()
    np.random.rand()
    python, numpys = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[union-attr,index]
    second = built(model, attention="se")
    assert random.getstate() == python
    assert np.random.get_state()[1].tolist() == numpys  # type: ignore[union-attr,index]
    assert fingerprint(first.get_weights()) == fingerprint(second.get_weights())
    other = built(model, seed=2, attention="se")
    assert fingerprint(other.get_weights()) != fingerprint(first.get_weights())


@pytest.mark.parametrize("model", WORK)
def test_the_model_that_leaves_gives_its_scores(model: str, tmp_path: Path) -> None:
    network = built(model, attention="se")
    served = serving_model(network)
    raw = images(4, IMAGE)
    expected = numpy(network(raw, training=False))
    np.testing.assert_array_equal(numpy(served(raw)), expected)
    served.save(tmp_path / "model.keras")
    try:
        with keras.saving.custom_object_scope(objects_of(served)):
            loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
        differs = np.abs(numpy(loaded(raw)) - expected).max() > 1e-6
    except Exception:
        differs = True
    assert differs == (model in WITHOUT_A_FILE)


def test_attention_leaves_what_a_layer_draws_by_itself_as_it_was() -> None:
    plain, attended = built("unregistered"), built("unregistered", attention="se")
    for layer in plain.layers:
        same = attended.get_layer(layer.name).get_weights()
        assert fingerprint(layer.get_weights()) == fingerprint(same)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("forgetful", "the layer forgetful.* other settings .by is 1.0 instead of 3.0."),
        ("forgetful_dropout", "other settings .rate is 0.0 instead of 0.9.: its get_config"),
        ("own_variable", "computes with the variable .* which Keras does not know.*add_weight"),
        ("own_generator", "computes with the variable .* which Keras does not know"),
        ("mixes_images", "gives an image other scores alone than beside others"),
        ("ends_the_program", "raised SystemExit: usage: train.py DATA"),
        ("a_model", "is a model. Expected a function of the shape"),
        (
            "takes_a_function",
            r"the layer takes_a_function \(class TakesAFunction\) cannot be made",
        ),
        ("noisy", "gives other scores for the same images when it is called again"),
        (
            "tensorflow_noise",
            "draws random numbers in tensor_flow_noise.* with TensorFlow's Random",
        ),
        ("python_function", r"calls a Python function in doubled .*keras.ops"),
        ("relu_scores", "must give class scores: none negative.*End it in a softmax"),
        ("sigmoid_scores", "must give class scores: none negative.*sums from"),
        ("not_a_number", "Received: scores that are no number"),
        ("frozen", r"has layers that are frozen \(held\).*initial_weights: own"),
        ("frozen_within", r"has layers that are frozen \(held_within\).*initial_weights: own"),
        ("narrow", "the layer narrow, which keeps its weights in bfloat16"),
        ("half", "the layer half, which computes in float16.*mixed_bfloat16"),
    ],
)
def test_what_is_refused_by_name(model: str, expected: str) -> None:
    with pytest.raises(BackboneError, match=expected) as caught:
        check_own_network(configuration(model).backbone, IMAGE)
    assert "\n" not in str(caught.value)


def test_a_frozen_network_keeps_its_own_weights() -> None:
    notices = check_own_network(configuration("frozen", initial_weights="own").backbone, IMAGE)
    assert len(notices) == 1 and notices[0].endswith("do not train: held.")


@pytest.mark.parametrize("model", ["rescaled", "standardized", "rescaled_within"])
def test_scaling_twice_is_said(model: str) -> None:
    (notice,) = check_own_network(configuration(model).backbone, IMAGE)
    assert "scales its images itself" in notice and "normalization: none" in notice
    assert not check_own_network(configuration(model, normalization="none").backbone, IMAGE)


# ---- images as people have them -------------------------------------------------------------


def test_images_on_either_scale() -> None:
    served = serving_model(built("activation"))
    raw = images(4, IMAGE)
    expected = numpy(served(raw))
    for same in (raw / 255, (raw / 255).astype("float32"), raw.astype("int64"), raw * 1.0):
        np.testing.assert_allclose(numpy(served(same)), expected, atol=1e-6)
    beside = np.concatenate([raw[:2] / 255, raw[2:] * 1.0])  # each image is on its own scale
    np.testing.assert_allclose(numpy(served(beside)), expected, atol=1e-6)


def test_images_on_no_scale_give_no_scores() -> None:
    served = serving_model(built("activation"))
    raw = images(3, IMAGE).astype("float32")
    # Standardized by its owner; and brightened after a division by 255: which scale is it on?
    mixed = np.concatenate([raw[:1], raw[1:2] - 128, raw[2:] / 255 * 1.01])
    scores = numpy(served(mixed))
    assert np.isfinite(scores[0]).all() and np.isnan(scores[1:]).all()


def test_it_infers_unless_it_is_told_to_train() -> None:
    def network(shape: Any, classes: int) -> keras.Model:
        inputs = keras.Input(shape)
        x = keras.layers.RandomFlip()(inputs)
        x = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(4, 3)(x))
        x = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(x))
        return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))

    served = serving_model(network(IMAGE.shape, IMAGE.classes))
    raw = images(8, IMAGE)
    once = numpy(served(raw))
    np.testing.assert_array_equal(once, numpy(served(raw)))
    np.testing.assert_allclose(once, served.predict(raw, verbose=0), atol=1e-6)
    before = served.get_layer("norm").moving_mean.numpy()
    trained = numpy(served(raw, training=True))
    assert np.abs(trained - numpy(served(raw, training=True))).max() > 1e-4
    assert np.abs(served.get_layer("norm").moving_mean.numpy() - before).max() > 0


# ---- what is known without the network --------------------------------------------------------


@pytest.mark.parametrize("family", ["model", "application"])
def test_a_description_survives_as_json(family: str) -> None:
    import json

    backbone = (
        configuration("nested").backbone
        if family == "model"
        else Configuration.resolve(
            {"backbone": {"application": "MobileNetV3Small", "resize": 32}}
        ).backbone
    )
    described = describe_backbone(backbone, IMAGE)
    again = BackboneDescription.from_dict(json.loads(json.dumps(described.to_dict())))
    used = {tap for site in described.sites for tap in site.ports.values()}
    assert again.sites == described.sites and again.cost == described.cost
    assert dict(again.shapes) == {tap: described.shapes[tap] for tap in used}
    assert dict(again.own) == dict(described.own)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"cost": [1, 2], "sites": [{}]},
        {"cost": ["x", 2], "sites": []},
        {"cost": [1], "sites": []},
        {"cost": [1, 2], "sites": 3},
        {"cost": [1, 2], "sites": [{"name": 1, "stage": 1, "block": 1, "ports": {"a": [1]}}]},
    ],
)
def test_a_forged_description_is_no_description(content: Any) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        BackboneDescription.from_dict(content)
