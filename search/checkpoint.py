"""The exact state of a training after an epoch, in one file that is whole or not there.

Weights, batch-norm statistics, optimizer slots, the step count that the schedule reads,
and the generator states of random layers: what Keras's `.weights.h5` leaves out. Arrays
only, no pickles.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from search.errors import RunDirectoryError
from search.files import write_atomically

FORMAT = 1


def _variables(model: Any) -> dict[str, Any]:
    """Every variable that training changes, by a key that a rebuilt model has too."""
    weights = {f"weight/{weight.path}": weight for weight in model.weights}
    # What is not a weight (generator states, optimizer slots) is named by counters that
    # differ from process to process; its order does not.
    known = {id(variable) for variable in (*model.weights, *model.metrics_variables)}
    states = [variable for variable in model.variables if id(variable) not in known]
    return {
        **weights,
        **{f"state/{place:05d}": variable for place, variable in enumerate(states)},
        **{
            f"optimizer/{place:05d}": variable
            for place, variable in enumerate(model.optimizer.variables)
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
    arrays["meta"] = np.frombuffer(meta, np.uint8)
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
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError:
        return []
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise RunDirectoryError(_damaged(path, str(error))) from error
    meta = json.loads(arrays.pop("meta", np.zeros(0, np.uint8)).tobytes() or b"{}")
    variables = _variables(model)
    if meta.get("format") != FORMAT or set(arrays) != set(variables):
        raise RunDirectoryError(_damaged(path, "it holds the state of another network"))
    if training and meta.get("training", training) != training:
        raise RunDirectoryError(_damaged(path, "it holds the state of another training"))
    for key, variable in variables.items():
        if arrays[key].shape != tuple(variable.shape):
            raise RunDirectoryError(_damaged(path, f"{key} has shape {arrays[key].shape}"))
        variable.assign(arrays[key])
    curve: list[dict[str, float]] = meta["curve"]
    return curve


def _damaged(path: Path, reason: str) -> str:
    return (
        f"the checkpoint {path} cannot be used: {reason}. Delete it and run the same command "
        "again: its trials are then trained anew from the first epoch."
    )
