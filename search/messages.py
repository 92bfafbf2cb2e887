"""What the driver tells a worker, and what a worker tells the driver."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hypermodels.knobs import Value
from hypermodels.knobs.renamed import with_old_names
from search.errors import CbamSearchError, StorageError

if TYPE_CHECKING:
    from hypermodels.image import ImageSpec


@dataclass(frozen=True)
class Assignment:
    """The training of one trial, from its lineage's last epoch to its own last epoch.

    Args:
        trial_id: String.
        lineage: String; names the checkpoint.
        configuration: The configuration as plain values.
        epochs: Integer, epochs in all that it must have trained when it ends.
        full_epochs: Integer, the full budget, on which the schedule is stretched.
        seed: Integer, the search seed.
        batch_size: Integer.
        threads: Integer, threads to compute with on a CPU.
        objective: String, the metric that is the score.
        run_directory: The run directory.
        token: String, the worker's right to write the lineage's checkpoint.
    """

    trial_id: str
    lineage: str
    configuration: dict[str, dict[str, Any]]
    epochs: int
    full_epochs: int
    seed: int
    batch_size: int
    threads: int
    objective: str
    run_directory: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def training(self, data: str) -> str:
        """Names the training that this is a part of, as its checkpoints do.

        Args:
            data: The fingerprint of the data.
        """
        # Checkpoints from before a knob was renamed have its old name in theirs.
        content = [with_old_names(self.configuration), self.seed, self.batch_size, data]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class ExportRequest:
    """The request for an export: what, and where to.

    Args:
        assignment: The trial's `Assignment`, as it was trained.
        score: The objective that the journal has for it.
        target: Folder to write to; it exists and is empty.
        backend: The Keras backend of the search.
        rehearsal: Whether it is tried with the untrained network, before the search.
    """

    assignment: Assignment
    score: float
    target: Path
    backend: str = "tensorflow"
    rehearsal: bool = False


@dataclass(frozen=True)
class DescribeRequest:
    """The request to describe a network that a person's own code builds.

    Args:
        settings: The resolved section `backbone`.
        image: The `ImageSpec`.
    """

    settings: Mapping[str, Value]
    image: ImageSpec


@dataclass(frozen=True)
class LatencyRequest:
    """The request to time networks.

    Args:
        configurations: Each as plain values; the others are compared with the first.
        image: The `ImageSpec`.
        batch: Integer, images at a time.
    """

    configurations: tuple[dict[str, dict[str, Any]], ...]
    image: ImageSpec
    batch: int


@dataclass(frozen=True)
class Task:
    """Work for a process of its own.

    Args:
        function: String, `module:name` of a callable `(payload, report) -> dict | None`.
        payload: What it is given; must pickle.
        trial_id: String, whose task it is.
        threads: Integer, threads to compute with on a CPU.
        log: File that takes what the process prints; see `executors/output.py`.
        backend: The Keras backend that it needs; empty for the search's own.
        handed_out: Number, the time it was made at.
    """

    function: str
    payload: Any
    trial_id: str
    threads: int
    log: Path
    backend: str = ""
    handed_out: float = field(default_factory=time.time)


PHASES = {
    "start": "from handing out to the trial's own code",
    "build": "building the network, loading its checkpoint",
    "trace": "the first training step, which is traced and compiled",
    "data": "making batches",
    "train": "all other training steps",
    "validate": "scores of the validation images",
    "checkpoint": "writing the state after an epoch",
}
"""What a worker does in a trial, in order; it says how many seconds each took."""


@dataclass(frozen=True)
class Began:
    """Imports are done and the device is ready: from now on the task itself runs."""

    trial_id: str
    final: ClassVar[bool] = False


@dataclass(frozen=True)
class EpochDone:
    """An epoch is trained, and its state is on disk. `epoch` counts from 1."""

    trial_id: str
    epoch: int
    metrics: dict[str, float]
    final: ClassVar[bool] = False


@dataclass(frozen=True)
class TrialDone:
    """A task has reached its end; `result` is what it returned."""

    trial_id: str
    seconds: float
    result: dict[str, Any] = field(default_factory=dict)
    final: ClassVar[bool] = True


@dataclass(frozen=True)
class TrialFailed:
    """A task failed and would fail again, because of its configuration."""

    trial_id: str
    reason: str
    seconds: float
    final: ClassVar[bool] = True


@dataclass(frozen=True)
class WorkerDied:
    """A worker ended during its task without an event: a signal, an exit, out of memory."""

    trial_id: str
    reason: str
    seconds: float
    final: ClassVar[bool] = True


@dataclass(frozen=True)
class WorkerLost:
    """A worker ended before its task began, or with its fork server: hand the task out again.

    The task is not to blame. `reason` quotes what is, as far as it is known.
    """

    trial_id: str
    reason: str
    final: ClassVar[bool] = True


@dataclass(frozen=True)
class MachineFault:
    """Something on the machine is wrong (a full disk, no memory): no configuration is to blame.

    `error` is the class of the error in `search.errors`.
    """

    trial_id: str
    reason: str
    error: type[CbamSearchError] = StorageError
    final: ClassVar[bool] = True


Event = Began | EpochDone | TrialDone | TrialFailed | WorkerDied | WorkerLost | MachineFault
