"""The worker's side of an export: build the best model, save it, compare what was saved."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np

from hypermodels.configuration import Configuration
from hypermodels.network import build_network
from search.assignment import ExportRequest
from search.checkpoint import load_checkpoint
from search.data import open_prepared, open_test
from search.errors import ExportError
from search.run_directory import checkpoint_path, data_folder
from search.trial import (
    EVALUATION_BATCH,
    Report,
    compiled_model,
    image_spec,
    predict,
    use_averaged_weights,
    validate,
)

TOLERANCE = 1e-4
"""Largest difference of a class score that counts as the same model."""


def export(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Saves a trial's model in both formats, with its scores on the test images.

    Returns:
        A dict with `epochs`, `validation` and `test` metrics and the image counts.

    Raises:
        ExportError: If the model does not give the recorded score any more.
    """
    assignment = request.assignment
    folder = data_folder(assignment.run_directory)
    data = open_prepared(folder)
    configuration = Configuration.from_dict(assignment.configuration)
    trained = compiled_model(assignment, data, configuration)
    curve = load_checkpoint(
        checkpoint_path(assignment.run_directory, assignment.lineage),
        trained,
        assignment.training(data.info.fingerprint),
    )
    if len(curve) != assignment.epochs:
        raise ExportError(
            f"the checkpoint of trial {assignment.trial_id} stands at epoch {len(curve)}, not "
            f"at {assignment.epochs}: its training goes on. Finish the search first."
        )
    validation = validate(trained, data.validation)
    if abs(validation[assignment.objective] - request.score) > 1e-6:
        raise ExportError(
            f"trial {assignment.trial_id} was recorded with {assignment.objective} "
            f"{request.score}, but its checkpoint gives {validation[assignment.objective]}."
        )
    use_averaged_weights(trained)
    served = build_network(configuration, image_spec(data.info), seed=assignment.seed)
    served.set_weights(trained.get_weights())
    test = open_test(folder)
    scores = predict(served, test.images)
    served.save(request.target / "model.keras")
    with contextlib.chdir(request.target):  # TensorFlow takes `[` in a path for a pattern
        served.export("saved_model", format="tf_saved_model", verbose=False)
    names = "".join(f"{name}\n" for name in data.info.class_names)
    (request.target / "class_names.txt").write_text(names, "utf-8")
    np.save(request.target / "expected.npy", scores)
    right = int((scores.argmax(axis=1) == test.labels).sum())
    return {
        "epochs": assignment.epochs,
        "validation": validation,
        "validation_images": len(data.validation.labels),
        "test": {"accuracy": right / len(test.labels), "correct": right},
        "test_images": len(test.labels),
        "classes": len(data.info.class_names),
    }


def compare(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Loads what was saved, in a process that did not make it, and compares its scores.

    Returns:
        A dict with the largest difference of a class score for each format.

    Raises:
        ExportError: If a format differs by more than `TOLERANCE`.
    """
    expected = np.load(request.target / "expected.npy", allow_pickle=False)
    scores = saved_scores(request)
    differences = {name: float(np.abs(each - expected).max()) for name, each in scores.items()}
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the exported {name} differs from the trained model by {difference:.3g} in a "
                f"class score; at most {TOLERANCE:g} was expected. It was not kept."
            )
    return {"largest_difference": differences}


def measure(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Counts how many test images each exported format classifies correctly."""
    labels = open_test(data_folder(request.assignment.run_directory)).labels
    return {
        name: int((scores.argmax(axis=1) == labels).sum())
        for name, scores in saved_scores(request).items()
    }


def saved_scores(request: ExportRequest) -> dict[str, np.ndarray]:
    """The class scores `(n, classes)` of the test images by each exported format."""
    import tensorflow as tf

    images = open_test(data_folder(request.assignment.run_directory)).images
    with contextlib.chdir(request.target):  # TensorFlow takes `[` in a path for a pattern
        served = tf.saved_model.load("saved_model")
    size = EVALUATION_BATCH
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    # The file may be a stranger's: nothing that it carries as code is run.
    model = keras.saving.load_model(request.target / "model.keras", safe_mode=True)
    return {
        "saved_model": np.concatenate([served.serve(tf.constant(b)).numpy() for b in batches]),
        "keras": predict(model, images),
    }
