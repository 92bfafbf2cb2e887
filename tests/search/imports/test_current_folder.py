"""Files of the person's in the current folder are not run, whatever they are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.search.command import environment

ROOT = Path(__file__).parents[3]

SPACE = """\
backbone: {MODEL}
attention: {type: se, reduction_ratio: 4}
recipe: {augmentation: none}
data: {name: cifar10-sample, validation: 20, batch_size: 20, limit: 60}
search: {max_epochs: 1, seed: 1}
"""
BUILT_IN = "family: resnet_v1, depth: 8"

NETWORK = """\
import random
import helper

def build(shape, classes):
    import late_helper
    return helper.network(shape, classes, late_helper.FILTERS)
"""
HELPER = """\
from keras import Input, Model, layers

def network(shape, classes, filters):
    inputs = Input(shape)
    x = layers.Conv2D(filters, 3, strides=4)(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(classes, activation="softmax")(x))
"""

NAMES = (
    "abc codecs collections contextlib ctypes dataclasses enum functools h5py hypermodels "
    "importlib inspect io jax json keras keras_tuner logging multiprocessing numpy os pandas "
    "pathlib pickle random re rich runpy scipy selectors shutil signal site sitecustomize "
    "sklearn socket spaces string struct subprocess tempfile tensorflow tests threading token "
    "torch types typing usercustomize warnings yaml"
)
OTHERS = NAMES.split()
"""Modules that this program or what it uses imports, or looks for."""

STARTED_BY = {"search", *sys.stdlib_module_names}
"""What `python -m search` itself looks for in the current folder, before any of our code."""


def shadow(folder: Path, *names: str) -> None:
    """Writes a module or package of each name that says that it was run."""
    for number, name in enumerate(names):
        path = folder / f"{name}.py" if number % 2 else folder / name / "__init__.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"import os\nos.close(os.open('RAN-{name}', os.O_CREAT))\n1 / 0\n")


def ran(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("RAN-*"))


def search(
    folder: Path, *command: object, model: str = BUILT_IN, check: int = 0, **extra: str
) -> str:
    (folder / "my.yaml").write_text(SPACE.replace("MODEL", model))
    done = subprocess.run(
        [*map(str, command), "--space", "my.yaml", "--workers", "1", "--verbose"],
        cwd=folder,
        env=environment(**extra),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == check, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def installed_command() -> Path:
    path = Path(sys.executable).with_name("cbam-search")
    if not path.exists():
        pytest.skip("the command is not installed beside this Python")
    return path


def test_as_a_script_with_a_model_of_the_person_s(tmp_path: Path) -> None:
    shadow(tmp_path, "search", *OTHERS)
    (tmp_path / "my_network.py").write_text(NETWORK)
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "late_helper.py").write_text("FILTERS = 4\n")
    search(tmp_path, installed_command(), model="model: my_network:build")
    assert not ran(tmp_path)
    journal = (tmp_path / "runs" / "my" / "journal.jsonl").read_text().splitlines()
    files = json.loads(journal[0][9:])["files"]
    assert sorted(files) == ["helper.py", "late_helper.py", "my_network.py"]


@pytest.mark.parametrize("path", ["", f"{os.pathsep}/nowhere", "."])
def test_as_a_module(path: str, tmp_path: Path) -> None:
    """And with a path that names the current folder without meaning to."""
    names = [name for name in OTHERS if name not in STARTED_BY or (name == "random" and not path)]
    if path:  # Python itself then runs these whenever it starts, in every program
        names = [name for name in names if not name.endswith("customize")]
    shadow(tmp_path, *names)
    root = os.pathsep.join(filter(None, [str(ROOT), path]))
    command = (sys.executable, "-m", "search")
    search(tmp_path, *command, model="model: keras:build", check=3, PYTHONPATH=root)
    if not path:
        search(tmp_path, *command, PYTHONPATH=root)
    assert not ran(tmp_path)


@pytest.mark.parametrize(
    ("name", "owner"),
    [("random", "standard library"), ("search", "cbam-search itself"), ("yaml", "installed")],
)
def test_a_model_of_a_name_that_is_taken(name: str, owner: str, tmp_path: Path) -> None:
    shadow(tmp_path, name)
    said = search(tmp_path, installed_command(), model=f"model: {name}:build", check=3)
    assert f"the name {name} is taken by" in said and owner in said and "Rename it" in said
    assert not ran(tmp_path) and not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_from_a_wheel(tmp_path: Path) -> None:
    wheels, here = tmp_path / "wheels", tmp_path / "here"
    here.mkdir()
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (wheel,) = wheels.glob("*.whl")
    target = ["--python", python, "install", "--no-deps"]
    subprocess.run([*pip, *target, wheel], check=True)
    # What it needs is borrowed, without the editable install that may be among it.
    for path in Path(sys.prefix).glob("lib/python*/site-packages/*"):
        if not path.name.startswith(("_cbam", "cbam", "__pycache__")):
            (packages / path.name).exists() or (packages / path.name).symlink_to(path)
    shadow(here, "search", *OTHERS)
    search(here, python.with_name("cbam-search"))
    assert not ran(here)
    said = subprocess.run(
        [python, "-P", "-c", "import search; print(search.__file__)"],
        capture_output=True,
        text=True,
    ).stdout
    assert str(packages) in said
