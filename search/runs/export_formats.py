"""What an export writes, by the names that the driver and its workers both know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SAVED_MODEL = "saved_model"
"""Folder that TensorFlow alone can load."""

KERAS_FILE = "model.keras"
"""File for Keras on any backend; needs this package, and a person's own classes."""

WEIGHTS, EXPECTED = "weights.npz", "expected.npy"
"""What the processes of an export hand to each other; gone when it is done."""


def notes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Notes on the files of an export, a sentence each.

    Args:
        metrics: What `save_model` returned, or an export's `metrics.json`.
    """
    for name, reason in metrics.get("missing", {}).items():
        yield (
            f"{name} cannot be had of this network ({reason}). The SavedModel has all that "
            "TensorFlow needs."
        )
    objects: Mapping[str, str] = metrics.get("custom_objects", {})
    if objects and KERAS_FILE not in metrics.get("missing", {}):
        modules = ", ".join(dict.fromkeys(path.rpartition(".")[0] for path in objects.values()))
        given = ", ".join(f"{name!r}: {path}" for name, path in objects.items())
        yield (
            f"{KERAS_FILE} holds classes or functions that are not registered with Keras: load "
            f"it with custom_objects={{{given}}} after importing {modules}."
        )
