"""An executor that trains nothing: state, scores and files as a worker would have them.

A state is a hash chain over epochs that begins with the configuration, and scores are read
off the state, so a training that skips, repeats or mixes up an epoch gives other scores for
ever after. Checkpoints are written by the program's own code, fences are taken.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from search.data import open_prepared
from search.errors import CbamSearchError, DataError, RunDirectoryError, StorageError
from search.executors.output import BoundedLog
from search.messages import (
    Assignment,
    EpochDone,
    Event,
    ExportRequest,
    MachineFault,
    Task,
    TrialDone,
    TrialFailed,
    WorkerDied,
)
from search.runs.export_formats import EXPECTED, KERAS_FILE, SAVED_MODEL, WEIGHTS
from search.runs.layout import checkpoint_path, data_folder, fence_path
from search.storage.entries import open_to_append
from search.storage.files import storage_errors
from search.worker.checkpoint import load_checkpoint, save_checkpoint
from search.worker.compiled_code import CompiledCode
from search.worker.fence import Fence

LATER = ("precision",)

AHEAD = 2
"""Epochs a worker trains before the driver hears of the first, as a real one may."""


class Variable:
    def __init__(self, path: str, value: np.ndarray) -> None:
        self.path, self.value, self.shape = path, value, value.shape

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


class FakeModel:
    """As much of a model as a checkpoint touches; one epoch is one link of a hash chain."""

    def __init__(self, configuration: dict[str, Any], seed: int) -> None:
        # Without knobs that came later: tests name the trials that win and are promoted.
        recipe = {
            name: value for name, value in configuration["recipe"].items() if name not in LATER
        }
        text = json.dumps([{**configuration, "recipe": recipe}, seed], sort_keys=True).encode()
        first = np.frombuffer(hashlib.sha256(text).digest(), np.uint8)
        self.weights = self.variables = [Variable("fake/kernel", first.copy())]
        self.metrics_variables: list[Any] = []
        self.optimizer = type("Optimizer", (), {"variables": [Variable("step", np.zeros(1))]})

    def train_epoch(self) -> dict[str, float]:
        step = self.optimizer.variables[0]  # type: ignore[attr-defined]
        step.assign(step.value + 1)
        link = self.weights[0].value.tobytes() + step.value.tobytes()
        digest = hashlib.sha256(link).digest()
        self.weights[0].assign(np.frombuffer(digest, np.uint8).copy())
        loss, accuracy = (int.from_bytes(digest[i : i + 4], "big") / 2**32 for i in (0, 4))
        return {"loss": 1 + loss, "val_loss": 2 + loss, "val_accuracy": accuracy}


class FakeExecutor:
    """An `Executor` that runs tasks in this process, a step at a time.

    Attributes:
        trained: Called with lineage and epoch whenever an epoch is trained.
        fails: Called with a trial's id and the epoch that would be next; the text that it
            returns, if any, is why the trial fails there.
    """

    trained: ClassVar[Callable[[str, int], None]] = staticmethod(lambda lineage, epoch: None)
    fails: ClassVar[Callable[[str, int], str]] = staticmethod(lambda trial_id, epoch: "")

    def __init__(self, workers: int, log: Path, compiled: Path) -> None:
        self._names = [f"worker{number}" for number in range(workers)]
        self._busy: dict[str, tuple[str, Iterator[Event]]] = {}
        self._log = log
        self._compiled = CompiledCode(compiled)

    def __enter__(self) -> FakeExecutor:
        with storage_errors("the log of the workers", self._log):
            open_to_append(self._log).close()
        self._compiled.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._compiled.remove()

    @property
    def workers(self) -> int:
        return len(self._names)

    def idle(self) -> list[str]:
        return [name for name in self._names if name not in self._busy]

    def running(self) -> dict[str, str]:
        return {name: trial_id for name, (trial_id, _) in self._busy.items()}

    def has_room(self) -> bool:
        return True

    def submit(self, worker: str, task: Task) -> None:
        self._busy[worker] = (task.trial_id, _events(task))

    def events(self, timeout: float) -> Iterator[tuple[str, Event]]:
        for name in sorted(self._busy):
            event = next(self._busy[name][1])
            if event.final:
                del self._busy[name]
            yield name, event

    def silent(self, seconds: float) -> list[str]:
        return []

    def kill_worker(self, name: str, reason: str) -> None:
        trial_id = self._busy[name][0]
        self._busy[name] = (trial_id, iter([WorkerDied(trial_id, reason, 0.0)]))

    def kill(self) -> None:
        self._busy.clear()


def work_of(function: str) -> Callable[[Any], Iterator[Event]]:
    """The fake of a worker's function."""
    return {
        "search.worker.train:train": _train,
        "search.worker.export:take": _take,
        "search.worker.export:save": _save,
        "search.worker.export:compare": _compare,
        "search.worker.export:compare_keras": _compare,
    }[function]


def _events(task: Task) -> Iterator[Event]:
    """What a worker says while it runs a task; errors as `run_task` tells them."""
    try:
        log = BoundedLog(task.log)
        log.write(b"a worker's first line\n")
        log.close()
        yield from work_of(task.function)(task.payload)
    except (StorageError, DataError, RunDirectoryError) as error:
        yield MachineFault(task.trial_id, str(error), type(error))
    except OSError as error:
        yield MachineFault(task.trial_id, str(error))
    except CbamSearchError as error:
        yield TrialFailed(task.trial_id, str(error), 0.0)


def _train(assignment: Assignment) -> Iterator[Event]:
    run, lineage = assignment.run_directory, assignment.lineage
    model = FakeModel(assignment.configuration, assignment.seed)
    path = checkpoint_path(run, lineage)
    fence = Fence(fence_path(run, lineage), assignment.token)
    fence.take()
    training = assignment.training(open_prepared(data_folder(run)).info.fingerprint)
    curve = load_checkpoint(path, model, training)
    told = 0
    for epoch in range(len(curve) + 1, assignment.epochs + 1):
        reason = FakeExecutor.fails(assignment.trial_id, epoch)
        if reason:
            yield TrialFailed(assignment.trial_id, reason, 0.0)
            return
        curve.append(model.train_epoch())
        FakeExecutor.trained(lineage, epoch)
        with fence.held(), storage_errors("the checkpoint", path):
            save_checkpoint(path, model, curve, training)
        while told < epoch - AHEAD:
            told += 1
            yield EpochDone(assignment.trial_id, told, curve[told - 1])
    for epoch in range(told + 1, assignment.epochs + 1):
        yield EpochDone(assignment.trial_id, epoch, curve[epoch - 1])
    yield TrialDone(assignment.trial_id, 0.0)


def _take(request: ExportRequest) -> Iterator[Event]:
    assignment = request.assignment
    model = FakeModel(assignment.configuration, assignment.seed)
    curve = load_checkpoint(checkpoint_path(assignment.run_directory, assignment.lineage), model)
    if not curve or curve[-1][assignment.objective] != request.score:
        yield TrialFailed(assignment.trial_id, "the checkpoint is not the recorded state", 0.0)
        return
    data = (data_folder(assignment.run_directory) / "data.json").read_text()
    np.save(request.target / EXPECTED, model.weights[0].value)
    np.savez(request.target / WEIGHTS, model.weights[0].value)
    result = {
        "epochs": assignment.epochs,
        "validation": curve[-1],
        "validation_images": json.loads(data)["counts"]["validation"],
        "test": {"accuracy": 0.5, "correct": 5},
        "test_images": 10,
        "classes": 10,
    }
    yield TrialDone(assignment.trial_id, 0.0, result)


def _save(request: ExportRequest) -> Iterator[Event]:
    with np.load(request.target / WEIGHTS) as archive:
        (request.target / KERAS_FILE).write_bytes(archive["arr_0"].tobytes())
    (request.target / SAVED_MODEL).mkdir()
    (request.target / SAVED_MODEL / "saved_model.pb").write_bytes(b"graph")
    result: dict[str, Any] = {"missing": {}, "custom_objects": {}}
    yield TrialDone(request.assignment.trial_id, 0.0, result)


def _compare(request: ExportRequest) -> Iterator[Event]:
    yield TrialDone(request.assignment.trial_id, 0.0, {"largest_difference": 0.0})
