"""The exact state of a training after an epoch, in one file that is whole or not there.

Weights, batch-norm statistics, optimizer slots, the step count that the schedule reads,
and the generator states of random layers: what Keras's `.weights.h5` leaves out. Arrays
only, no pickles.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from search.errors import RunDirectoryError
from search.storage.arrays import ArrayArchive
from search.storage.entries import open_to_read
from search.storage.files import write_atomically

FORMAT = 1
META = "meta"

LARGEST_META = 2**26
"""Bytes that a checkpoint's description of itself has at most."""


def _variables(model: Any) -> dict[str, Any]:
    """Every variable that training changes, by a key that a rebuilt model has too."""
    weights: dict[str, Any] = {}
    for weight in model.weights:
        # Layers of one name in two models within the model share a path.
        path = f"weight/{weight.path}"
        twins = itertools.count(2)
        while path in weights:
            path = f"weight/{weight.path}#{next(twins)}"
        weights[path] = weight
    # What is not a weight (generator states, optimizer slots) is named by counters that
    # differ from process to process; its order does not.
    known = {id(variable) for variable in (*model.weights, *model.metrics_variables)}
    states = [variable for variable in model.variables if id(variable) not in known]
    return {
        **weights,
        **{f"state/{index:05d}": variable for index, variable in enumerate(states)},
        **{
            f"optimizer/{index:05d}": variable
            for index, variable in enumerate(model.optimizer.variables)
        },
    }


def save_checkpoint(
    path: Path, model: Any, curve: list[dict[str, float]], training: str = ""
) -> None:
    """Writes the state of a compiled, built model after `len(curve)` epochs.

    Args:
        path: The file; replaced in one step.
        model: Compiled `keras.Model` whose optimizer is built.
        curve: The metrics of every epoch so far, from the first.
        training: String, which training it is; see `Assignment.training`.

    Raises:
        OSError: If the machine refuses the write; the file is then as it was.
    """
    arrays = {key: np.asarray(variable) for key, variable in _variables(model).items()}
    meta = json.dumps({"format": FORMAT, "training": training, "curve": curve}).encode()
    arrays[META] = np.frombuffer(meta, np.uint8)
    write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **arrays))


def load_checkpoint(path: Path, model: Any, training: str = "") -> list[dict[str, float]]:
    """Puts a saved state into a compiled model whose optimizer is built.

    Args:
        path: The file.
        model: The model, built from the same configuration.
        training: String, which training it must be; empty if any will do.

    Returns:
        The metrics of every epoch that the state has behind it; empty if there is no
        file, and the model is then as it was.

    Raises:
        RunDirectoryError: If the file is damaged or of another network.
    """
    variables = _variables(model)
    try:
        with open_to_read(path, folders=1) as file:
            _check_size(file, variables)
            archive = ArrayArchive(file)
            if set(archive.headers) != {*variables, META}:
                raise ValueError("it holds the state of another network")
            for key, variable in variables.items():
                if archive.headers[key].shape != tuple(variable.shape):
                    raise ValueError(f"{key} has shape {archive.headers[key].shape}")
            meta = read_meta(archive)
            if training and meta.get("training", training) != training:
                raise ValueError("it holds the state of another training")
            for key, variable in variables.items():
                variable.assign(archive.read(key))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RunDirectoryError(_damaged(path, str(error))) from error
    curve: list[dict[str, float]] = meta["curve"]
    return curve


def read_meta(archive: ArrayArchive) -> dict[str, Any]:
    """The metadata of a checkpoint: its training, and its curve so far.

    Raises:
        ValueError: If it says anything else.
    """
    header = archive.headers.get(META)
    if header is None or header.size > LARGEST_META:
        raise ValueError("it does not say what it is")
    try:
        meta = json.loads(archive.read(META).tobytes())
    except RecursionError as error:
        raise ValueError("it does not say what it is") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ValueError("it does not say what it is, or is of another version")
    curve = meta.get("curve")
    if not isinstance(curve, list) or not all(
        isinstance(metrics, dict) and all(map(_finite, metrics.values())) for metrics in curve
    ):
        raise ValueError("its curve is none")
    return meta


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # as in the journal


def _check_size(file: IO[bytes], variables: Mapping[str, Any]) -> None:
    """The directory of an archive alone can state any size."""
    numbers = sum(math.prod(variable.shape) for variable in variables.values())
    size = os.fstat(file.fileno()).st_size
    if size > 16 * numbers + 4096 * len(variables) + LARGEST_META:
        raise ValueError(f"it has {size:,} bytes, more than the state of this network takes")


def _damaged(path: Path, reason: str) -> str:
    return (
        f"the checkpoint {path} cannot be used: {reason}. Move it to another place and run the "
        "same command again: its trials are then trained anew from the first epoch."
    )
