"""A mechanism is one file: the example of docs/attention.md, through the whole program."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import keras
import numpy as np
import pytest

from hypermodels.attention import Mechanism, get_mechanism, mechanisms, register
from hypermodels.attention import base as contract
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import attention_gates, build_network
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model
from search.errors import SpaceError
from search.space.loading import parse_space
from search.space.schema import space_schema
from search.space.yaml_nodes import parse_yaml
from tests.hypermodels import helpers
from tests.hypermodels.attention import test_contract as suite

DOCS = Path(__file__).parents[3] / "docs" / "attention.md"
SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention: {type: {choice: [none, srm]}, style_pooling: {choice: [avg, avg+std]}, blocks: last}
"""


def example() -> str:
    """The one Python block of the page."""
    _, _, rest = DOCS.read_text().partition("```python\n")
    code, _, after = rest.partition("\n```\n")
    assert "```python" not in after
    return code + "\n"


@pytest.fixture
def srm(tmp_path: Path) -> Iterator[Mechanism]:
    """The example as a file of its own, imported; forgotten at the end."""
    before = [entry.name for entry in mechanisms()]
    path = tmp_path / "style_recalibration.py"
    path.write_text(example())
    spec = importlib.util.spec_from_file_location("style_recalibration", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    register(module.MECHANISM)  # as the list in the package does
    try:
        yield get_mechanism("srm")
    finally:
        del sys.modules[spec.name]
        contract._MECHANISMS.pop("srm")
        keras.saving.get_custom_objects().pop("cbam_search>StyleRecalibration")
    assert [entry.name for entry in mechanisms()] == before


def accepted_by_schema(text: str) -> bool:
    validator = jsonschema.Draft202012Validator(space_schema())
    return bool(validator.is_valid(parse_yaml(text, "space").plain()))


def test_without_the_file_it_is_unknown() -> None:
    assert not accepted_by_schema(SPACE)
    with pytest.raises(SpaceError, match=r"attention\.type: expected one of .*Received: 'srm'"):
        parse_space(SPACE)


def test_with_the_file_it_is_validated_built_counted_and_trained(srm: Mechanism) -> None:
    assert accepted_by_schema(SPACE)
    assert not accepted_by_schema(SPACE.replace("avg+std", "mean"))
    with pytest.raises(SpaceError, match=r"style_pooling: expected one of avg, std, avg\+std"):
        parse_space(SPACE.replace("avg+std", "mean"))
    space = parse_space(SPACE)
    chosen = space.configuration({"attention.type": "srm", "attention.style_pooling": "avg+std"})
    assert chosen.attention["type"] == "srm" and chosen.attention["gate"] == "sigmoid"
    assert "style_pooling" not in space.configuration({"attention.type": "none"}).attention

    model = build_network(chosen, helpers.TINY, seed=1)
    costs = CostModel(helpers.TINY)
    assert costs.cost(chosen) == cost_of(model)
    assert costs.infeasible(chosen) is None
    plain = costs.cost(space.configuration({"attention.type": "none"}))
    assert costs.cost(chosen).parameters - plain.parameters == 6 * (16 + 32 + 64)

    compile_model(model, chosen.recipe, Budget(epochs=1, steps_per_epoch=2))
    layers = [layer for layer in model.layers if layer.name.endswith("_attn")]
    assert len(layers) == 3
    before = [layer.get_weights() for layer in layers]
    raw, labels = helpers.images(8), np.eye(4, dtype="float32")[np.arange(8) % 4]
    losses = [float(model.train_on_batch(raw, labels)[0]) for _ in range(2)]
    assert np.isfinite(losses).all()
    for layer, weights in zip(layers, before, strict=True):
        for old, new in zip(weights, layer.get_weights(), strict=True):
            assert (old != new).any(), layer.name
    assert {name: set(gates) for name, gates in attention_gates(model, raw).items()} == {
        layer.name: {"channel"} for layer in layers
    }


def test_the_example_keeps_the_contract(srm: Mechanism, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(helpers.TIMES, "style_kernel", lambda height, width, channels: 1)
    for check in (
        suite.test_same_shape_out_and_gates_by_name,
        suite.test_any_height_and_width_known_at_call_time_alone,
        suite.test_config_round_trip,
        suite.test_parameters_and_macs_are_what_the_layer_has,
        suite.test_knobs_are_the_constructor_arguments,
        suite.test_wrong_arguments_are_refused_by_name,
        suite.test_identity_start_passes_its_input_unchanged,
        suite.test_every_weight_learns,
        suite.test_weights_come_from_the_seed,
    ):
        check(srm)


def test_it_saves_and_loads(srm: Mechanism, tmp_path: Path) -> None:
    inputs = keras.Input((6, 6, 4))
    model = keras.Model(inputs, srm.build({}, name="srm_attn", seed=3)(inputs))
    helpers.randomize(model.layers[-1])
    model.save(tmp_path / "srm.keras")
    x = helpers.maps(2, 6, 6, 4)
    loaded = keras.models.load_model(tmp_path / "srm.keras")
    np.testing.assert_array_equal(helpers.numpy(loaded(x)), helpers.numpy(model(x)))
