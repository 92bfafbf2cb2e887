"""Records of a journal that this program does not write are refused before they are used."""

from __future__ import annotations

import copy
import json
import random

import pytest

from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from hypermodels.networks.description import BackboneDescription, describe_backbone
from hypermodels.settings.configuration import Configuration, digest
from search.errors import CbamSearchError
from search.runs.descriptions import Descriptions
from search.runs.encoding import from_record
from search.runs.journal import Record, decode, encode
from search.runs.records import BackboneDescribed
from tests.search.reliability.run_damage import change_a_place

IMAGE = ImageSpec((32, 32, 3), 10)


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    backbone = {"family": "model", "model": "mine.py:build"}
    attention = {"type": "cbam", "placement": "output", "reduction_ratio": 4}
    return Configuration.resolve({"backbone": backbone, "attention": attention})


@pytest.fixture(scope="module")
def record(configuration: Configuration) -> Record:
    """A description as the journal has it."""
    built = Configuration.resolve({"backbone": {"family": "resnet_v1", "depth": 8}})
    description = describe_backbone(built.backbone, IMAGE).to_dict()
    for site in description["sites"]:
        site["ports"] = {"output": site["ports"]["residual"]}
    written: Record | None = decode(
        encode(
            {
                "type": "backbone",
                "settings": dict(configuration.backbone),
                "description": description,
                "refused": None,
                "notices": ["its last layer is left out"],
            }
        )[:-1]
    )
    assert written is not None
    return written


def test_a_description_comes_back(record: Record, configuration: Configuration) -> None:
    entry = from_record(record, first=False)
    assert isinstance(entry, BackboneDescribed)
    found = BackboneDescription.from_dict(record["description"])
    assert json.loads(json.dumps(found.to_dict())) == record["description"]
    costs = CostModel(IMAGE, Descriptions({digest(record["settings"]): entry}))
    assert costs.infeasible(configuration) is None
    assert costs.cost(configuration).parameters > record["description"]["cost"][0]


def test_a_forged_description_is_refused_or_counted(
    record: Record, configuration: Configuration
) -> None:
    refused = 0
    for number in range(1500):
        dice = random.Random(number)
        forged = change_a_place(copy.deepcopy(record), dice)
        try:
            entry = from_record(forged, first=False)
        except CbamSearchError as error:
            refused += 1
            assert "cbam-search does not write" in str(error)
            continue
        if not isinstance(entry, BackboneDescribed):
            continue  # a type of a later version
        costs = CostModel(IMAGE, Descriptions({digest(record["settings"]): entry}))
        if costs.infeasible(configuration) is None:
            costs.cost(configuration)
            costs.signature(configuration)
    assert refused > 900


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("files", {"model.keras": "../../x"}),
        ("files", {"model.keras": "A" * 64}),
        ("files", ["model.keras"]),
        ("files", {"model.keras": None}),
    ],
)
def test_exported_files_are_named_by_their_sha256(key: str, value: object) -> None:
    export: Record = {
        "type": "export",
        "trial": "0000",
        "metrics": {
            "test": {"accuracy": 0.5, "correct": 5},
            "test_images": 10,
            "classes": 10,
            "largest_difference": {"saved_model": 0.0},
        },
    }
    from_record(export, first=False)
    from_record({**export, "files": {"../x": "0" * 64}}, first=False)  # a name, and nothing more
    with pytest.raises(CbamSearchError, match="files is"):
        from_record({**export, key: value}, first=False)
