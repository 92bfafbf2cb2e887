"""The worker's side: trains one trial from its last checkpoint to its last epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from hypermodels.seeds import restart_global_generator, seed_python
from hypermodels.settings.configuration import Configuration
from hypermodels.settings.recipe import Budget
from hypermodels.training.batches import BatchSource, steps_per_epoch
from hypermodels.training.epoch import EpochSteps
from hypermodels.training.model import training_model
from search.data import PreparedData, Split, open_prepared
from search.errors import CbamSearchError, ExportError
from search.messages import Assignment
from search.runs.layout import checkpoint_path, data_folder, fence_path
from search.space.image_spec import image_spec
from search.storage.files import storage_errors
from search.worker.checkpoint import load_checkpoint, save_checkpoint
from search.worker.fence import Fence
from search.worker.stopwatch import Stopwatch

EVALUATION_BATCH = 100
"""Images a validation step; its size is fixed, so that every step has one shape. On a CPU,
400 images of 32x32 take a fifth less time in steps of 100 than in one: maps stay in cache."""


class TrainingFailed(CbamSearchError):
    """A configuration whose training cannot go on."""


Report = Callable[[int, dict[str, float]], None]


def train(assignment: Assignment, report: Report) -> dict[str, Any]:
    """Trains a trial, one checkpoint an epoch.

    Args:
        assignment: The `Assignment`.
        report: Called with each epoch's number, from 1, and its metrics, once the state
            after it is on disk; epochs that an earlier attempt trained are reported too.

    Returns:
        A dict with `profile`, the seconds of each phase.

    Raises:
        TrainingFailed: If the loss is not finite.
        StorageError: If the machine refuses to write the checkpoint.
        RunDirectoryError: If the checkpoint that is there is not of this training.
    """
    # ---- model, at the state where the lineage stands -----------------------------
    watch = Stopwatch()
    with watch.phase("build"):
        data = open_prepared(data_folder(assignment.run_directory))
        configuration = Configuration.from_dict(assignment.configuration)
        batches = BatchSource(
            data.train.images,
            data.train.labels,
            len(data.info.class_names),
            assignment.batch_size,
            assignment.seed,
            configuration.recipe,
        )
        model = compiled_model(assignment, data, configuration)
        path = checkpoint_path(assignment.run_directory, assignment.lineage)
        fence = Fence(fence_path(assignment.run_directory, assignment.lineage), assignment.token)
        fence.take()
        training = assignment.training(data.info.fingerprint)
        curve = load_checkpoint(path, model, training)
    for epoch, metrics in enumerate(curve[: assignment.epochs], 1):
        report(epoch, metrics)

    # ---- the epochs that are left -------------------------------------------------
    seed_python(assignment.seed, "trace")
    for epoch in range(len(curve), assignment.epochs):
        restart_global_generator(assignment.seed, "epoch", epoch)
        metrics = _train_epoch(model, batches, epoch, watch)
        with watch.phase("validate"):
            metrics |= validate(model, data.validation)
        if not all(math.isfinite(value) for value in metrics.values()):
            wrong = [name for name, value in metrics.items() if not math.isfinite(value)]
            raise TrainingFailed(f"{', '.join(wrong)} is not finite after epoch {epoch + 1}")
        curve.append(metrics)
        with (
            watch.phase("checkpoint"),
            fence.held(),
            storage_errors("the checkpoint", path),
        ):
            save_checkpoint(path, model, curve, training)
        report(epoch + 1, metrics)
    return {"profile": watch.seconds}


def load_finished(assignment: Assignment, model: keras.Model, data: PreparedData) -> None:
    """Brings a compiled model to the state at the end of its training.

    Raises:
        ExportError: If the checkpoint does not stand at the training's last epoch.
        RunDirectoryError: If the checkpoint that is there is not of this training.
    """
    path = checkpoint_path(assignment.run_directory, assignment.lineage)
    curve = load_checkpoint(path, model, assignment.training(data.info.fingerprint))
    if len(curve) != assignment.epochs:
        raise ExportError(
            f"the checkpoint of trial {assignment.trial_id} stands at epoch {len(curve)}, not "
            f"at {assignment.epochs}: its training goes on. Finish the search first."
        )


def compiled_model(
    assignment: Assignment, data: PreparedData, configuration: Configuration
) -> keras.Model:
    """Builds a trial's model with its optimizer built, at its initial state."""
    steps = steps_per_epoch(len(data.train.images), assignment.batch_size)
    budget = Budget(assignment.full_epochs, steps)
    model = training_model(configuration, image_spec(data.info), budget, seed=assignment.seed)
    model.optimizer.build(model.trainable_variables)
    return model


def _train_epoch(
    model: keras.Model, batches: BatchSource, epoch: int, watch: Stopwatch
) -> dict[str, float]:
    """One pass over the training images."""
    steps = EpochSteps(model)
    source = batches.epoch(epoch)
    while True:
        with watch.phase("data"):
            batch = next(source, None)
        if batch is None:
            with watch.phase("train"):  # what a GPU has not done yet
                return steps.metrics()
        with watch.phase("train" if "trace" in watch.seconds else "trace"):
            steps.step(*batch)


def validate(model: keras.Model, split: Split) -> dict[str, float]:
    """Loss and accuracy on a split, with the averaged weights where the recipe has them.

    Returns:
        A dict with `val_loss` (cross-entropy without label smoothing) and `val_accuracy`.
    """
    raw = use_averaged_weights(model)
    scores = predict(model, split.images)
    for variable, value in raw:
        variable.assign(value)
    return {f"val_{name}": value for name, value in figures_of(scores, split.labels).items()}


def figures_of(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The `loss` (cross-entropy without label smoothing) and `accuracy` of class scores."""
    true = scores[np.arange(len(scores)), labels].astype("float64")
    return {
        "loss": float(-np.log(np.maximum(true, 1e-7)).mean()),
        "accuracy": float((scores.argmax(axis=1) == labels).mean()),
    }


def use_averaged_weights(model: keras.Model) -> list[tuple[Any, np.ndarray]]:
    """Puts the moving average into the weights, if the optimizer keeps one.

    Returns:
        The weights as they were, to be assigned back.
    """
    if not model.optimizer.use_ema or int(model.optimizer.iterations) == 0:
        return []
    raw = [(variable, np.array(variable)) for variable in model.trainable_variables]
    model.optimizer.finalize_variable_values(model.trainable_variables)
    if keras.config.backend() == "jax":
        # There, a weight now has the very array of its average, and a prediction donates the
        # arrays of all weights: the average would be gone. A copy of its own may be donated.
        for variable in model.trainable_variables:
            variable.assign(np.array(variable))
    return raw


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Class scores `(n, classes)` of raw images `(n, height, width, channels)`."""
    count = len(images)
    size = min(EVALUATION_BATCH, count)
    scores = []
    for start in range(0, count, size):
        batch = np.asarray(images[start : start + size])
        short = size - len(batch)
        if short:
            batch = np.concatenate([batch, np.repeat(batch[-1:], short, axis=0)])
        scores.append(np.asarray(model.predict_on_batch(batch))[: size - short])
    return np.concatenate(scores)
