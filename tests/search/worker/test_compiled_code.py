"""Trials that share compiled code compute what each would compute alone, to the bit."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from search.errors import StorageError
from search.worker.compiled_code import CompiledCode
from tests.script import script
from tests.search.command import run, start

SPACE = """\
backbone: {family: resnet_v1, depth: 8}
attention: {type: cbam}
data: {name: cifar10-sample, limit: 120, validation: 40, batch_size: 20}
search: {max_epochs: 1}
"""

TRAINING = """
import hashlib, json, resource, sys
from pathlib import Path
from search.worker.compiled_code import CompiledCode

folder, largest_file = sys.argv[1], int(sys.argv[2])
compiled = CompiledCode(Path(folder)) if folder else None
if compiled:
    compiled.use("tensorflow")
import numpy as np
from hypermodels.settings.configuration import Configuration
from hypermodels.networks.network import build_network
from hypermodels.image import ImageSpec
from hypermodels.settings.recipe import Budget
from hypermodels.training.compile import compile_model
configuration = Configuration.resolve({
    "backbone": {"family": "resnet_v1", "depth": 8},
    "attention": {"type": "cbam", "reduction_ratio": 4},
})
model = build_network(configuration, ImageSpec((32, 32, 3), 4), seed=1)
compile_model(model, configuration.recipe, Budget(2, 2))
if largest_file:
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype="uint8")
result = {}
try:
    for _ in range(3):
        model.train_on_batch(images, np.eye(4, dtype="float32")[[0, 1, 2, 3] * 2])
    state = b"".join(np.asarray(weight).tobytes() for weight in model.weights)
    result["weights"] = hashlib.sha256(state).hexdigest()
except Exception as error:
    result["refused"] = compiled.refused(error)
    result["error"] = str(error)
print(json.dumps(result))
"""


def train(folder: Path | str, largest_file: int = 0) -> dict[str, Any]:
    printed = script(TRAINING, folder, largest_file)
    result: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return result


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    found = {path.name: path.stat() for path in folder.iterdir()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


def test_the_same_numbers_compiled_here_or_taken_from_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "a name with 'both' \"quotes\" \\ and é"
    compiled = CompiledCode(folder)
    compiled.open()
    first = train(folder)
    files = contents(folder)
    assert files
    second = train(folder)
    assert contents(folder) == files  # nothing was compiled again
    assert first == second == train("")
    compiled.open()
    assert not contents(folder)
    compiled.remove()
    assert not folder.exists()


def test_a_file_that_cannot_be_written_is_the_machines_fault(tmp_path: Path) -> None:
    result = train(tmp_path, largest_file=1000)
    assert result["refused"] and str(tmp_path) in result["error"]
    assert not CompiledCode(tmp_path).refused(ValueError("shapes are not aligned"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write compiled code to"):
        CompiledCode(tmp_path / "file" / "compiled").open()


@pytest.mark.slow
def test_a_search_that_loses_its_folder_goes_on_with_the_next_command(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    arguments = ("--space", space, "--directory", tmp_path, "--name", "run", "--workers", 1)
    log, folder = tmp_path / "log", tmp_path / "run" / "compiled"
    process = start(*arguments, log=log)
    deadline = time.monotonic() + 60
    while not folder.is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert process.wait(120) == 7, log.read_text()
    said = log.read_text()
    assert "trial 0000 cannot go on" in said and "the same command" in said
    assert "Traceback" not in said
    run(*arguments)
    assert not folder.exists()
    assert (tmp_path / "run" / "best" / "metrics.json").exists()
