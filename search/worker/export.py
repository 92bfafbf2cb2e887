"""The worker's side of an export, in processes of their own: take, save, compare twice.

The first has the backend that the search trains on: it takes the trained weights and the
scores that they give. The second has TensorFlow, whatever the search trains on: it builds
the same network, gives it the weights and saves it. Two more load what was saved, the
SavedModel and `model.keras`, as a stranger would, and compare the scores.

The same is gone through with the untrained network before a search begins, so that
what cannot be exported is known before anything is trained; see `driver/rehearsal.py`.
"""

from __future__ import annotations

import contextlib
from typing import Any

import keras
import numpy as np

from hypermodels.backbones import get_family
from hypermodels.errors import reason_of
from hypermodels.graph.remake import objects_of
from hypermodels.networks.checking import check_probabilities
from hypermodels.networks.network import build_network
from hypermodels.networks.serving import serving_model
from hypermodels.settings.configuration import Configuration
from search.data import PreparedData, Split, constant_answer, counts_of, open_prepared, open_test
from search.errors import ExportError
from search.messages import ExportRequest
from search.runs.export_formats import EXPECTED, KERAS_FILE, SAVED_MODEL, WEIGHTS
from search.runs.layout import data_folder
from search.space.image_spec import image_spec
from search.worker.saved_model import load_served, save_for_tensorflow, scores_of
from search.worker.train import (
    Report,
    compiled_model,
    load_finished,
    predict,
    use_averaged_weights,
    validate,
)

TOLERANCE = 1e-4
"""Largest difference of a class score that counts as the same model."""

REHEARSED = 8
"""Images that a rehearsal scores."""


def take(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Takes a trial's weights and the scores that they give.

    Returns:
        A dict with `epochs`, `validation` and `test` metrics and the image counts; empty
        for a rehearsal.

    Raises:
        ExportError: If the model does not give the recorded score any more, or its scores
            are no probabilities.
    """
    data = open_prepared(data_folder(request.assignment.run_directory))
    configuration = Configuration.from_dict(request.assignment.configuration)
    trained = compiled_model(request.assignment, data, configuration)
    validation = {} if request.rehearsal else _trained(request, trained, data)
    network = _network(request, data)
    network.set_weights(trained.get_weights())
    # Opening the test images reads and hashes them all, so it is done once.
    test = None if request.rehearsal else _test(request)
    scores = predict(network, _images(request) if test is None else test.images)
    check_probabilities(scores, f"the network of trial {request.assignment.trial_id}")
    np.save(request.target / EXPECTED, scores)
    np.savez(request.target / WEIGHTS, *network.get_weights())
    if test is None:
        return {}
    labels = test.labels
    answer, share = constant_answer(counts_of(labels, len(data.info.class_names)))
    right = int((scores.argmax(axis=1) == labels).sum())
    return {
        "epochs": request.assignment.epochs,
        "validation": validation,
        "validation_images": len(data.validation.labels),
        "test": {"accuracy": right / len(labels), "correct": right},
        "test_images": len(labels),
        "constant_answer": {"accuracy": share, "class": data.info.class_names[answer]},
        "classes": len(data.info.class_names),
    }


def save(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Saves the model in both formats; runs on TensorFlow.

    Returns:
        A dict with `missing`, why a format could not be written, by its name; and with
        `custom_objects`, where `model.keras` needs a person's own to be loaded.

    Raises:
        ExportError: If the network is not built as it was in the first process.
    """
    data = open_prepared(data_folder(request.assignment.run_directory))
    network = _network(request, data)
    with np.load(request.target / WEIGHTS, allow_pickle=False) as archive:
        weights = [archive[name] for name in archive.files]
    if request.rehearsal and request.backend == "tensorflow":
        _check_same_start(network, weights)
    network.set_weights(weights)
    served = serving_model(network)
    names = "".join(f"{name}\n" for name in data.info.class_names)
    (request.target / "class_names.txt").write_text(names, encoding="utf-8")
    save_for_tensorflow(served, request.target / SAVED_MODEL)
    missing = {}
    try:
        served.save(request.target / KERAS_FILE)
    except Exception as error:  # a person's layers raise what they like
        (request.target / KERAS_FILE).unlink(missing_ok=True)
        missing[KERAS_FILE] = reason_of(error)
    return {"missing": missing, "custom_objects": _unregistered(served)}


def compare(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Loads the SavedModel, in a process that did not make it, and compares its scores.

    Returns:
        A dict with the `largest_difference` of a class score.

    Raises:
        ExportError: If it differs by more than `TOLERANCE`, or from one call to the next.
    """
    images = _images(request)
    serve = load_served(request.target / SAVED_MODEL)
    difference = _difference(scores_of(serve, images), request, SAVED_MODEL)
    few = images[:REHEARSED]
    if not np.array_equal(serve(few), serve(few)):
        raise ExportError(
            f"the exported {SAVED_MODEL} gives other scores for the same images when it is "
            "called again. It was not kept."
        )
    return {"largest_difference": difference}


def compare_keras(request: ExportRequest, report: Report) -> dict[str, Any]:
    """Loads `model.keras` on the search's own backend and compares its scores.

    What is wrong with it takes the file away, not the export.

    Returns:
        A dict with the `largest_difference` of a class score, or why it is `missing`.
    """
    path = request.target / KERAS_FILE
    try:
        # Nothing that the file carries as code is run.
        with keras.saving.custom_object_scope(_objects(request)):
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        images = _images(request)
        scores = predict(model, images)
        few = images[:REHEARSED]
        called = np.asarray(keras.ops.convert_to_numpy(model(few)))
        if not np.abs(called - scores[: len(few)]).max() <= TOLERANCE:
            raise ExportError("it gives other scores when it is called than when it predicts")
        return {"largest_difference": _difference(scores, request, path.name)}
    except Exception as error:
        with contextlib.suppress(OSError):
            path.unlink()
        return {"missing": reason_of(error)}


# ---- parts of the steps ---------------------------------------------------------------------


def _network(request: ExportRequest, data: PreparedData) -> keras.Model:
    """The network of the request at its initial state, computing in `float32`."""
    configuration = Configuration.from_dict(request.assignment.configuration)
    return build_network(configuration, image_spec(data.info), seed=request.assignment.seed)


def _images(request: ExportRequest) -> np.ndarray:
    """The test images; for a rehearsal, which may not see them, some training images."""
    if request.rehearsal:
        folder = data_folder(request.assignment.run_directory)
        return np.asarray(open_prepared(folder).train.images[:REHEARSED])
    return np.asarray(_test(request).images)


def _test(request: ExportRequest) -> Split:
    return open_test(data_folder(request.assignment.run_directory))


def _trained(request: ExportRequest, model: keras.Model, data: PreparedData) -> dict[str, float]:
    """Brings a model to the state of its trial; returns its validation metrics."""
    assignment = request.assignment
    load_finished(assignment, model, data)
    validation = validate(model, data.validation)
    if abs(validation[assignment.objective] - request.score) > 1e-6:
        raise ExportError(
            f"trial {assignment.trial_id} was recorded with {assignment.objective} "
            f"{request.score}, but its checkpoint gives {validation[assignment.objective]}."
        )
    use_averaged_weights(model)
    return validation


def _check_same_start(network: keras.Model, weights: list[np.ndarray]) -> None:
    """A resumed search builds its networks in other processes: they must start alike."""
    for variable, there in zip(network.weights, weights, strict=True):
        if not np.array_equal(np.asarray(variable), there):
            raise ExportError(
                f"the weight {variable.path} starts from other values in another process, so "
                "trials would not start alike. Draw it with an initializer of Keras"
            )


def _difference(scores: np.ndarray, request: ExportRequest, name: str) -> float:
    expected = np.load(request.target / EXPECTED, allow_pickle=False)
    difference = float(np.abs(scores - expected).max())
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the exported {name} differs from the trained model by {difference:.3g} in a "
            f"class score; at most {TOLERANCE:g} was expected. It was not kept."
        )
    return difference


def _objects(request: ExportRequest) -> dict[str, Any]:
    """A person's own classes and functions that the model is made of, by name."""
    configuration = request.assignment.configuration
    if not get_family(str(configuration["backbone"]["family"])).foreign:
        return {}
    data = open_prepared(data_folder(request.assignment.run_directory))
    return objects_of(_network(request, data))


def _unregistered(served: keras.Model) -> dict[str, str]:
    """The objects that `load_model` must be given, by name: where each is defined."""
    return {
        name: f"{held.__module__}.{held.__qualname__}"
        for name, held in sorted(objects_of(served).items())
        if keras.saving.get_registered_object(keras.saving.get_registered_name(held)) is None
    }
