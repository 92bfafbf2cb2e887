"""A person's own network: what is taken as it is, and what is refused, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.attention import AttentionLayer
from hypermodels.backbones.foreign.sources import source_files
from hypermodels.backbones.foreign.user_model import files
from hypermodels.errors import BackboneError
from hypermodels.image import ImageSpec
from hypermodels.knobs import KnobError
from hypermodels.networks.cost import CostModel
from hypermodels.networks.counting import cost_of
from hypermodels.networks.network import backbone_model, build_backbone, build_network
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model
from tests.hypermodels import own_network
from tests.hypermodels.helpers import fingerprint, images, numpy

HERE = "tests.hypermodels.own_network"
IMAGE = ImageSpec((16, 16, 3), 5, mean=(120.0,), std=(60.0,))


def configuration(model: str = "build", attention: Any = None, **given: Any) -> Configuration:
    reference = model if ":" in model or model.endswith(".keras") else f"{HERE}:{model}"
    return Configuration.resolve(
        {"backbone": {"model": reference, **given}, "attention": attention or {}}
    )


def built(model: str = "build", attention: Any = None, seed: int = 1, **given: Any) -> Any:
    return build_network(configuration(model, attention, **given), IMAGE, seed=seed)


def refused(model: str, image: ImageSpec = IMAGE, **given: Any) -> str:
    with pytest.raises(BackboneError) as caught:
        build_backbone(configuration(model, **given).backbone, image)
    said = str(caught.value)
    assert said.startswith("backbone.") and "\n" not in said and not said.endswith(".")
    return said


def ports(model: str = "build", **given: Any) -> dict[str, tuple[int, int, list[str]]]:
    """Stage, block and ports of every site."""
    sites = build_backbone(configuration(model, **given).backbone, IMAGE).sites
    return {site.name: (site.stage, site.block, list(site.ports)) for site in sites}


def attention_in(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, AttentionLayer)]


# ---- what a person can give -------------------------------------------------------------


def test_a_function_gives_the_network_that_it_builds() -> None:
    model = built()
    own = own_network.build(IMAGE.shape, IMAGE.classes)
    assert model.count_params() == own.count_params()
    assert model.input.dtype == "uint8" and model.output.dtype == "float32"
    names = {
        ours: theirs.name
        for ours, theirs in zip(
            [layer.name for layer in model.layers if layer.weights],
            [layer for layer in own.layers if layer.weights],
            strict=True,
        )
    }
    assert "conv2d_001" in names and "dense_001" in names
    for ours, theirs in names.items():
        own.get_layer(theirs).set_weights(model.get_layer(ours).get_weights())
    raw = images(4, IMAGE)
    scaled = (raw.astype("float32") - 120.0) / 60.0
    np.testing.assert_allclose(numpy(model(raw)), numpy(own(scaled)), atol=1e-6)


def test_it_is_trained_with_attention_in_it() -> None:
    """`x + y` and all."""
    chosen = configuration(attention={"type": "cbam", "reduction_ratio": 2}, sites="block*_out")
    model = build_network(chosen, IMAGE, seed=1)
    assert attention_in(model) == ["block1_out_attn", "block2_out_attn", "block3_out_attn"]
    assert CostModel(IMAGE).cost(chosen) == cost_of(model)
    compile_model(model, chosen.recipe, Budget(epochs=1, steps_per_epoch=3))
    labels = np.eye(5, dtype="float32")[[0, 1, 2, 3]]
    before = fingerprint(model.get_layer("block2_out_attn").get_weights())
    for _ in range(3):
        logs = model.train_on_batch(images(4, IMAGE), labels, return_dict=True)
    assert np.isfinite(logs["loss"])
    assert fingerprint(model.get_layer("block2_out_attn").get_weights()) != before


def test_a_saved_file_gives_the_same_network(tmp_path: Path) -> None:
    own = own_network.build(IMAGE.shape, IMAGE.classes)
    own.save(tmp_path / "own.keras")
    by_file, by_function = built(str(tmp_path / "own.keras")), built()
    assert [layer.name for layer in by_file.layers] == [la.name for la in by_function.layers]
    assert fingerprint(by_file.get_weights()) == fingerprint(by_function.get_weights())
    with_own = built(str(tmp_path / "own.keras"), initial_weights="own")
    scaled = (images(4, IMAGE).astype("float32") - 120.0) / 60.0
    np.testing.assert_allclose(numpy(with_own(images(4, IMAGE))), numpy(own(scaled)), atol=1e-6)


@pytest.mark.parametrize("model", ["sequential", "sequential_without_input"])
def test_a_sequential_model_is_taken(model: str) -> None:
    network = built(model, {"type": "se", "reduction_ratio": 2}, sites="conv")
    assert attention_in(network) == ["conv_attn"]
    assert network(images(2, IMAGE)).shape == (2, 5)


@pytest.mark.parametrize("model", ["passed_on", "softmax_layer", "own_name"])
def test_scores_by_other_means(model: str) -> None:
    scores = numpy(built(model)(images(3, IMAGE)))
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-5)


def test_images_as_they_are() -> None:
    """The scale 0 to 255, for a network that normalizes them itself."""
    model = built("sequential", normalization="none")
    first = keras.Model(model.input, model.get_layer("normalise").output)
    np.testing.assert_array_equal(numpy(first(images(2, IMAGE))), images(2, IMAGE))


@pytest.mark.parametrize("weights", ["seeded", "own"])
@pytest.mark.parametrize(("model", "layer"), [("normalizes", "norm"), ("nested", "inner")])
def test_statistics_of_the_images_are_kept(model: str, layer: str, weights: str) -> None:
    """They are known of the data, not drawn: in both cases, and in what is computed."""
    network = built(model, normalization="none", initial_weights=weights)
    found = network.get_layer(layer)
    norm = found if layer == "norm" else found.get_layer("norm")
    np.testing.assert_array_equal(norm.get_weights()[0], [100, 110, 120])
    mean, variance = np.array([100, 110, 120]), np.array([900, 1600, 2500])
    raw = images(2, IMAGE)
    np.testing.assert_allclose(
        numpy(norm(raw.astype("float32"))), (raw - mean) / np.sqrt(variance), atol=1e-5
    )


# ---- names and weights ------------------------------------------------------------------


def test_names_and_weights_do_not_depend_on_what_was_built_before() -> None:
    first = built(seed=3)
    keras.layers.Conv2D(1, 1)(keras.Input((4, 4, 1)))
    own_network.build((32, 32, 3), 2)
    second = built(seed=3)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert fingerprint(first.get_weights()) == fingerprint(second.get_weights())
    assert fingerprint(built(seed=4).get_weights()) != fingerprint(first.get_weights())


def test_attention_leaves_the_backbone_with_the_same_weights() -> None:
    plain = built(sites="block*_out")
    attended = built(attention={"type": "se", "reduction_ratio": 2}, sites="block*_out")
    for layer in plain.layers:
        assert fingerprint(layer.get_weights()) == fingerprint(
            attended.get_layer(layer.name).get_weights()
        )


def test_own_initial_weights_are_the_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    own = own_network.build(IMAGE.shape, IMAGE.classes)
    monkeypatch.setattr(own_network, "build", lambda shape, classes: own)
    chosen = {"type": "eca", "gate": "identity_start"}
    for attention in ({}, chosen):
        model = built(attention=attention, initial_weights="own", sites="block*_out")
        scaled = (images(4, IMAGE).astype("float32") - 120.0) / 60.0
        np.testing.assert_allclose(numpy(model(images(4, IMAGE))), numpy(own(scaled)), atol=1e-5)
    seeded = built(initial_weights="seeded")
    assert np.abs(numpy(seeded(images(4, IMAGE))) - numpy(own(scaled))).max() > 1e-3


def test_own_weights_of_a_classifier_of_any_name() -> None:
    """Even the name that the classifiers of other backbones have, which always start anew."""
    own = own_network.named_classes(IMAGE.shape, IMAGE.classes)
    model = built("named_classes", initial_weights="own")
    np.testing.assert_array_equal(model.get_layer("classes").get_weights()[1], [1, 2, 3, 4, 5])
    assert own.get_layer("classes").count_params() == model.get_layer("classes").count_params()


def test_a_shared_layer_stays_one() -> None:
    own = own_network.shared(IMAGE.shape, IMAGE.classes)
    model = built("shared", {"type": "se", "reduction_ratio": 2}, sites="between")
    extra = model.get_layer("between_attn").count_params()
    assert model.count_params() == own.count_params() + extra
    assert attention_in(model) == ["between_attn"]


# ---- sites ------------------------------------------------------------------------------


def test_auto_is_the_last_map_of_each_size() -> None:
    assert ports() == {
        "block1_out": (1, 1, ["post", "pre"]),
        "block2_out": (2, 1, ["post", "pre"]),
        "block3_out": (3, 1, ["post", "pre"]),
    }


def test_auto_passes_over_gates_and_what_is_called_twice() -> None:
    assert list(ports("gated")) == ["gated", "map"]  # not the gate of one position
    assert list(ports("shared")) == ["after"]
    assert list(ports("nested")) == ["inner"]


def test_pre_is_where_one_map_goes_in() -> None:
    assert ports("gated")["gated"][2] == ["post"]  # it takes two
    assert ports("gated")["map"][2] == ["post"]  # it takes a vector
    chosen = configuration("gated", {"type": "se", "reduction_ratio": 2}, sites="gated,map")
    assert CostModel(IMAGE).cost(chosen) == cost_of(build_network(chosen, IMAGE, seed=1))


@pytest.mark.parametrize(
    ("sites", "expected"),
    [
        ("block?_out", ["block1_out", "block2_out", "block3_out"]),
        (["block1_out", "conv2d_00[46]"], ["block1_out", "conv2d_004", "conv2d_006"]),
        ("block3_out, block1_out", ["block1_out", "block3_out"]),  # in the network's order
    ],
)
def test_sites_by_name(sites: Any, expected: list[str]) -> None:
    from hypermodels.knobs import Section
    from hypermodels.settings.configuration import backbone_section

    section: Section = backbone_section()
    accepted = section.accept({"model": f"{HERE}:build", "sites": sites})
    chosen = Configuration.resolve({"backbone": accepted})
    found = build_backbone(chosen.backbone, IMAGE).sites
    assert [site.name for site in found] == expected


def test_stages_are_runs_of_one_size() -> None:
    found = ports(sites="conv2d_*,block*_out")
    assert [entry[:2] for entry in found.values()] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3),
    ]  # fmt: skip


def test_a_pattern_that_matches_nothing() -> None:
    said = refused("build", sites="blok*")
    assert "'blok*' matches no layer that gives a feature map" in said
    assert "block1_out" in said and "conv2d_001" in said
    assert "matches no layer" in refused("build", sites="dense_001")  # no feature map
    assert "matches no layer" in refused("build", sites="add*")  # `x + y` is no layer


def test_two_patterns_for_one_layer() -> None:
    said = refused("build", sites="block*,*3_out")
    assert "'block*' and '*3_out' both match the layer block3_out" in said


def test_a_site_that_is_passed_twice() -> None:
    assert "twice is one layer called several times" in refused("shared", sites="twice")


@pytest.mark.parametrize("value", ["", [], [1], "a,,b", ["a", ""], 3, None])
def test_sites_that_are_none(value: Any) -> None:
    from hypermodels.settings.configuration import backbone_section

    with pytest.raises(KnobError, match=r"backbone\.sites: expected auto, or names of layers"):
        backbone_section().accept({"model": "a:b", "sites": value})


# ---- what cannot be taken ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("subclassed", "must give a functional Keras model.*Received: a Subclassed"),
        ("subclassed_and_built", "must give a functional Keras model.*Received: a Subclassed"),
        ("gives_nothing", "must give a functional Keras model.*Received: a NoneType"),
        ("one_class_more", r"one output \(None, 5\). Received: .* and \(None, 6\)"),
        ("no_classifier", r"one output \(None, 5\). Received: .* and \(None, 16, 16, 8\)"),
        ("two_outputs", r"Received: .* and \(None, 5\), \(None, 5\)"),
        ("logits", "sum to 1. Its last layer logits has the activation linear"),
        ("channels_first", "the layer cf with channels first; only channels_last"),
        ("taken_name", "a layer called normalise, a name that is taken"),
        ("raises", r"raises\(\(16, 16, 3\), 5\) raised RuntimeError: no weights today"),
        ("takes_nothing", "raised TypeError"),
        ("NOT_A_FUNCTION", "must have a function NOT_A_FUNCTION. Received: a int"),
        ("missing", "must have a function missing. Received: nothing"),
        ("no.such.module:build", "no.such.module cannot be imported: ModuleNotFoundError"),
        (".:build", "expected package.module:function"),
    ],
)
def test_refused(model: str, expected: str) -> None:
    if model.startswith("."):
        from hypermodels.settings.configuration import backbone_section

        with pytest.raises(KnobError, match=expected):
            backbone_section().accept({"model": model})
        return
    import re

    assert re.search(expected, refused(model)), refused(model)


def test_a_module_that_fails_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "torn_network.py").write_text("def build(:\n")
    (tmp_path / "failing_network.py").write_text("1 / 0\n")
    assert "torn_network cannot be imported: SyntaxError" in refused("torn_network:build")
    assert "ZeroDivisionError" in refused("failing_network:build")
    assert files({"model": "torn_network:build"}) == (Path("torn_network.py"),)


def test_the_model_is_missing() -> None:
    chosen = Configuration.resolve({"backbone": {"family": "model"}})
    with pytest.raises(BackboneError, match=r"backbone\.model is missing: give package"):
        backbone_model(chosen.backbone, IMAGE)


def test_images_of_another_size(tmp_path: Path) -> None:
    own_network.build((32, 32, 3), 5).save(tmp_path / "own.keras")
    said = refused(str(tmp_path / "own.keras"))
    assert "one input (None, 16, 16, 3)" in said and "Received: (None, 32, 32, 3)" in said
    chosen = configuration(str(tmp_path / "own.keras"), resize=32)
    assert build_backbone(chosen.backbone, IMAGE).sites  # what helps


def test_a_file_that_is_none(tmp_path: Path) -> None:
    assert "there is no file" in refused(str(tmp_path / "no.keras"))
    (tmp_path / "torn.keras").write_bytes(b"PK\x03\x04 not an archive")
    assert "torn.keras cannot be loaded" in refused(str(tmp_path / "torn.keras"))


def test_a_file_that_carries_code_is_refused_before_it_runs(tmp_path: Path) -> None:
    mark, name = tmp_path / "ran", str(tmp_path / "ran")
    inputs = keras.Input(IMAGE.shape)
    x = keras.layers.Lambda(lambda y: (open(name, "a").close(), y)[1], IMAGE.shape)(inputs)
    x = keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(x))
    keras.Model(inputs, x).save(tmp_path / "code.keras")
    mark.unlink(missing_ok=True)
    said = refused(str(tmp_path / "code.keras"))
    assert "cannot be loaded" in said and "package.module:function" in said
    assert not mark.exists()


def test_a_file_with_a_class_of_its_own(tmp_path: Path) -> None:
    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    inputs = keras.Input(IMAGE.shape)
    x = keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(Own()(inputs)))
    keras.Model(inputs, x).save(tmp_path / "class.keras")
    said = refused(str(tmp_path / "class.keras"))
    assert "a model with classes of your own is given as package.module:function" in said.lower()


# ---- the files that the network is made of ----------------------------------------------


def test_files_are_the_module_and_what_it_imports_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "nets.py").write_text(
        "import keras, os\nimport parts_of_it\n"
        "def build(shape, classes):\n    from more_of_it.deep import x\n"
    )
    (tmp_path / "parts_of_it.py").write_text("from nets import build\nimport numpy\n")
    (tmp_path / "unused.py").write_text("")
    (tmp_path / "more_of_it").mkdir()
    (tmp_path / "more_of_it" / "__init__.py").write_text("from . import other\n")
    (tmp_path / "more_of_it" / "deep.py").write_text("from .other import x\n")
    (tmp_path / "more_of_it" / "other.py").write_text("x = 1\n")
    expected = [
        "more_of_it/__init__.py",
        "more_of_it/deep.py",
        "more_of_it/other.py",
        "nets.py",
        "parts_of_it.py",
    ]
    assert [path.as_posix() for path in files({"model": "nets:build"})] == expected
    assert "nets" not in sys.modules  # reading is not running


def test_files_of_installed_and_of_missing_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (file,) = source_files("keras.applications")
    assert file.is_absolute() and file.name == "__init__.py"
    assert source_files("no_such_module") == () == source_files("sys")
    assert files({"model": "some/where.keras"}) == (Path("some/where.keras"),)
    assert files({"model": ""}) == ()
