"""The metrics of an epoch are of all of its images, and its steps those of Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hypermodels.image import ImageSpec
from hypermodels.settings.recipe import Budget
from hypermodels.training.epoch import EpochSteps
from hypermodels.training.model import training_model
from tests.hypermodels.helpers import configuration, fingerprint, images

IMAGE = ImageSpec((16, 16, 3), 4)
BATCHES = [
    (images(8, IMAGE, seed=seed), np.eye(4, dtype="float32")[np.arange(8) % 4])
    for seed in range(3)
]


def model() -> keras.Model:
    return training_model(configuration(type="se"), IMAGE, Budget(2, 3), seed=1)


def test_metrics_are_means_over_the_epoch() -> None:
    network = model()
    for _ in range(2):  # the second epoch starts anew
        steps = EpochSteps(network)
        by_batch = []
        for x, y in BATCHES:
            # The same model at the same state, asked about the batch that comes next.
            twin = model()
            twin.optimizer.build(twin.trainable_variables)
            twin.set_weights(network.get_weights())
            by_batch.append(twin.train_on_batch(x, y, return_dict=True))
            steps.step(x, y)
        found = steps.metrics()
        assert set(found) == {"loss", "accuracy"}
        for name, value in found.items():
            each = [float(logs[name]) for logs in by_batch]
            assert value == pytest.approx(np.mean(each), rel=1e-4)
        assert len({float(logs["loss"]) for logs in by_batch}) == 3


def test_steps_are_those_of_keras_to_the_bit() -> None:
    one, other = model(), model()
    steps = EpochSteps(one)
    for x, y in BATCHES:
        steps.step(x, y)
        other.train_on_batch(x, y)
    assert fingerprint(one.get_weights()) == fingerprint(other.get_weights())


def test_no_step_no_metrics() -> None:
    assert EpochSteps(model()).metrics() == {}
