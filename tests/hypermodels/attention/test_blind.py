"""Gates that see no image: the same weights, and an output that is linear in the input."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from hypermodels.attention import mechanisms
from hypermodels.attention.base import BLIND, Mechanism
from tests.hypermodels.helpers import randomize

SHAPE = (2, 8, 8, 32)
WITH_LAYER = [entry for entry in mechanisms() if entry.layer is not None]


def layers(mechanism: Mechanism) -> tuple[keras.layers.Layer, keras.layers.Layer]:
    """The layer and its blind form, with equal random weights."""
    seeing = mechanism.build({}, name="seeing", seed=1)
    blind = mechanism.build({BLIND: True}, name="blind", seed=1)
    for layer in (seeing, blind):
        layer.build(SHAPE)
    randomize(seeing)
    blind.set_weights(seeing.get_weights())
    return seeing, blind


@pytest.mark.parametrize("mechanism", WITH_LAYER, ids=lambda entry: entry.name)
def test_gates_are_those_of_a_map_of_ones(mechanism: Mechanism) -> None:
    seeing, blind = layers(mechanism)
    ones = np.ones(SHAPE, "float32")
    np.testing.assert_allclose(np.asarray(blind(ones)), np.asarray(seeing(ones)), atol=1e-5)
    random = np.random.default_rng(0)
    first, second = random.normal(size=(2, *SHAPE)).astype("float32")
    zero = np.asarray(blind(np.zeros(SHAPE, "float32")))
    outputs = [np.asarray(blind(each)) - zero for each in (first, second, first + second)]
    np.testing.assert_allclose(outputs[0] + outputs[1], outputs[2], atol=1e-4)


@pytest.mark.parametrize("mechanism", WITH_LAYER, ids=lambda entry: entry.name)
def test_it_is_saved_with_the_layer_and_only_where_it_is_set(mechanism: Mechanism) -> None:
    seeing, blind = layers(mechanism)
    assert BLIND not in seeing.get_config()
    again = type(blind).from_config(blind.get_config())
    assert again.blind and not type(seeing).from_config(seeing.get_config()).blind
