"""Fixtures of the `hypermodels` suite: one fresh process for all that needs one."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

from hypermodels.networks.network import build_network
from tests.hypermodels.helpers import (
    LAYERED,
    TINY,
    configuration,
    fingerprint,
    images,
    maps,
    numpy,
    randomize,
    variants,
)
from tests.script import script

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np, tensorflow as tf
folder = Path(sys.argv[1])
images, maps = np.load(folder / "images.npy"), np.load(folder / "maps.npy")
restored = tf.saved_model.load(str(folder / "saved_model"))
served = restored.serve(images).numpy()
assert not any(name.startswith("hypermodels") for name in sys.modules)
np.save(folder / "served.npy", served)
import keras
import hypermodels.attention
loaded = keras.models.load_model(folder / "contract.keras")
np.save(folder / "contract_loaded.npy", loaded(maps).numpy())
np.save(folder / "network_loaded.npy",
        keras.models.load_model(folder / "network.keras")(images).numpy())
from tests.hypermodels.helpers import TINY, configuration, fingerprint
from hypermodels.networks.network import build_network
prints = {}
for name, attention in json.loads((folder / "attention.json").read_text()).items():
    model = build_network(configuration(**attention), TINY, seed=11)
    prints[name] = {layer.name: fingerprint(layer.get_weights()) for layer in model.layers}
(folder / "prints.json").write_text(json.dumps(prints))
"""

ATTENTION = {
    "none": {"type": "none"},
    "se": {"type": "se", "placement": "post"},
    "cbam": {"type": "cbam", "spatial_norm": "bn"},
}


@pytest.fixture(scope="session")
def fresh_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Saves models here, loads them in a process of their own, and returns both sides."""
    folder = tmp_path_factory.mktemp("fresh")
    x, raw = maps(2, 6, 6, 4), images(5)
    np.save(folder / "maps.npy", x)
    np.save(folder / "images.npy", raw)
    inputs = keras.Input((6, 6, 4))
    outputs = []
    for entry in LAYERED:
        for number, settings in enumerate(variants(entry)):
            layer = entry.build(settings, name=f"{entry.name}_{number}", seed=number)
            outputs.append(layer(inputs))
            randomize(layer, seed=number)
    contract = keras.Model(inputs, keras.layers.Concatenate(name="all")(outputs))
    contract.save(folder / "contract.keras")

    network = build_network(configuration(type="cbam", spatial_norm="bn"), TINY, seed=3)
    for layer in network.layers:
        if layer.name.endswith("_attn"):
            randomize(layer)
    network.save(folder / "network.keras")
    network.export(folder / "saved_model", verbose=False)

    (folder / "attention.json").write_text(json.dumps(ATTENTION))
    script(SCRIPT, folder, PYTHONHASHSEED="99")
    here: dict[str, dict[str, str]] = {}
    for name, attention in ATTENTION.items():
        model = build_network(configuration(**attention), TINY, seed=11)
        here[name] = {layer.name: fingerprint(layer.get_weights()) for layer in model.layers}
    return {
        "contract_saved": numpy(contract(x)),
        "contract_loaded": np.load(folder / "contract_loaded.npy"),
        "network_scores": numpy(network(raw)),
        "network_loaded": np.load(folder / "network_loaded.npy"),
        "served": np.load(folder / "served.npy"),
        "prints_here": here,
        "prints_there": json.loads((folder / "prints.json").read_text()),
    }
