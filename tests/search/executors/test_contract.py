"""What every executor keeps: one task a worker, its events in order, exactly one last event."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hypermodels.settings.configuration import Configuration
from search.data import SplitSettings, prepare
from search.executors.base import Executor
from search.executors.local import LocalExecutor
from search.messages import (
    Assignment,
    EpochDone,
    Event,
    MachineFault,
    Task,
    TrialDone,
    WorkerDied,
)
from search.runs.layout import checkpoint_path, data_folder
from tests.search.data.data_files import toy_dataset
from tests.search.reliability.fake_executor import FakeExecutor

EXECUTORS: dict[str, Callable[[int, Path, Path], Executor]] = {
    "local": LocalExecutor,
    "fake": FakeExecutor,
}
"""A new executor is added here and has to pass all of it."""

PATIENCE = 120
"""Seconds after which a task counts as hung."""


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Executor]:
    folder = tmp_path_factory.mktemp("executor")
    with EXECUTORS[request.param](2, folder / "workers.log", folder / "compiled") as found:
        yield found


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory with data and nothing trained."""
    prepare(toy_dataset(), SplitSettings(0.3, None, 0), data_folder(tmp_path))
    checkpoint_path(tmp_path, "0000").parent.mkdir()
    return tmp_path


def training(run: Path, name: str = "0000", epochs: int = 2) -> Task:
    configuration = Configuration.resolve(
        {"backbone": {"family": "resnet_v1", "depth": 8}, "attention": {"type": "none"}}
    )
    content: dict[str, Any] = configuration.to_dict()
    assignment = Assignment(name, name, content, epochs, 9, 1, 10, 1, "val_accuracy", run)
    return Task("search.worker.train:train", assignment, name, 1, run / f"{name}.log")


def events_until(
    executor: Executor, enough: Callable[[list[tuple[str, Event]]], bool]
) -> list[tuple[str, Event]]:
    found: list[tuple[str, Event]] = []
    end = time.monotonic() + PATIENCE
    while not enough(found):
        assert time.monotonic() < end, f"nothing more comes after {found}"
        found += executor.events(0.2)
    return found


def to_the_end(executor: Executor) -> list[tuple[str, Event]]:
    return events_until(executor, lambda found: not executor.running())


def test_an_idle_executor(executor: Executor) -> None:
    assert executor.workers == 2 == len(set(executor.idle()))
    assert executor.running() == {} and executor.has_room()
    assert list(executor.events(0.0)) == [] and executor.silent(0.0) == []


def test_a_task_from_its_start_to_its_last_event(executor: Executor, run: Path) -> None:
    worker = executor.idle()[0]
    executor.submit(worker, training(run))
    assert executor.running() == {worker: "0000"} and worker not in executor.idle()
    assert executor.silent(1e9) == []
    found = to_the_end(executor)
    assert {name for name, _ in found} == {worker}
    events = [event for _, event in found]
    epochs = [event.epoch for event in events if isinstance(event, EpochDone)]
    assert epochs == [1, 2]
    assert [event.final for event in events] == [False, False, True]
    assert isinstance(events[-1], TrialDone) and events[-1].trial_id == "0000"
    assert executor.running() == {} and worker in executor.idle()
    assert checkpoint_path(run, "0000").exists() and (run / "0000.log").exists()


def test_two_tasks_side_by_side_are_as_one_alone(executor: Executor, run: Path) -> None:
    def curves(*names: str) -> dict[str, list[dict[str, float]]]:
        for worker, name in zip(executor.idle(), names, strict=False):
            executor.submit(worker, training(run, name))
        found: dict[str, list[dict[str, float]]] = {}
        for _, event in to_the_end(executor):
            if isinstance(event, EpochDone):
                found.setdefault(event.trial_id, []).append(event.metrics)
        return found

    beside = curves("0000", "0001")
    assert curves("0002")["0002"] == beside["0000"] == beside["0001"]


def test_a_training_goes_on_where_it_stands(executor: Executor, run: Path) -> None:
    """What was trained before is told again, and not trained again."""
    told = []
    for epochs in (1, 3):
        executor.submit(executor.idle()[0], training(run, epochs=epochs))
        told.append(
            [event.metrics for _, event in to_the_end(executor) if isinstance(event, EpochDone)]
        )
    assert [len(metrics) for metrics in told] == [1, 3] and told[1][0] == told[0][0]


def test_a_worker_that_is_killed_says_so_last(executor: Executor, run: Path) -> None:
    worker = executor.idle()[0]
    executor.submit(worker, training(run, epochs=9))
    events_until(executor, bool)
    executor.kill_worker(worker, "it was told to")
    *_, (name, last) = to_the_end(executor)
    assert name == worker and isinstance(last, WorkerDied) and last.reason == "it was told to"
    assert worker in executor.idle()


def test_a_fault_of_the_machine_is_told_as_one(executor: Executor, run: Path) -> None:
    (data_folder(run) / "train_images.npy").unlink()
    executor.submit(executor.idle()[0], training(run))
    ((_, event),) = to_the_end(executor)
    assert isinstance(event, MachineFault) and "train_images.npy" in event.reason


def test_all_are_ended_at_once(executor: Executor, run: Path) -> None:
    for worker, name in zip(executor.idle(), ("0000", "0001"), strict=True):
        executor.submit(worker, training(run, name, epochs=9))
    events_until(executor, bool)
    executor.kill()
    assert executor.running() == {} and len(executor.idle()) == 2
    assert list(executor.events(0.0)) == []
    # And it can be used again.
    executor.submit(executor.idle()[0], training(run, epochs=1))
    assert isinstance(to_the_end(executor)[-1][1], TrialDone)
