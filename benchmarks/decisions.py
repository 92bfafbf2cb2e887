"""What decisions cost as a search grows: time a decision, memory, and a journal's replay.

    python -m benchmarks.decisions [--trials 100 1000 3000 10000] [--recomputed]

A search of so many trials by 27 epochs and factor 3 is driven to its end with random scores:
one decision is what the driver asks between two events: which trial is next, which
checkpoints may go. Its journal is written, and replayed. Nothing is
trained; the journal is fsynced as in a search, and that time is not counted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from search.imports.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

from benchmarks.machine import described  # noqa: E402
from search.algorithms.base import Algorithm, Decisions  # noqa: E402
from search.algorithms.brackets import brackets  # noqa: E402
from search.algorithms.hyperband import Hyperband  # noqa: E402
from search.algorithms.recomputed import RecomputedDecisions  # noqa: E402
from search.algorithms.simulator import Unlimited, random_scores  # noqa: E402
from search.algorithms.trials import TrialSpec  # noqa: E402
from search.runs.encoding import to_record  # noqa: E402
from search.runs.journal import encode, read_journal  # noqa: E402
from search.runs.records import EpochTrained, TrialEnded, TrialStarted  # noqa: E402
from search.runs.state import RunState  # noqa: E402
from tests.search.example import run as header  # noqa: E402

EPOCHS, FACTOR = 27, 3


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = act()
    return time.perf_counter() - began, result


def decide(decisions: Decisions, ended: tuple[str, float | None] | None) -> TrialSpec | None:
    """What is asked between two events: a trial has ended, which is next, what may go."""
    if ended is not None:
        decisions.end(*ended)
    decisions.resumable()
    return decisions.next_trial(())


def searched(
    count: int, kind: Callable[[Algorithm], Decisions]
) -> tuple[list[float], list[dict[str, Any]]]:
    """The seconds of every decision of a search, and its journal."""
    whole = sum(rung.size for bracket in brackets(EPOCHS, FACTOR) for rung in bracket.rungs)
    algorithm = Hyperband((EPOCHS,) * max(1, round(count / whole)), FACTOR, Unlimited())
    score = random_scores(0, levels=10**6)
    records: list[dict[str, Any]] = [header()]
    state = RunState.replay(records)
    trained: dict[str, int] = {}
    seconds = []
    ended: tuple[str, float | None] | None = None
    decisions = kind(algorithm)

    def record(entry: Any) -> None:
        records.append(to_record(entry))
        state.apply(records[-1])

    while True:
        took, trial = timed(partial(decide, decisions, ended))
        seconds.append(took)
        if trial is None:
            return seconds, records
        configuration: dict[str, Any] = {"backbone": {}, "attention": {"type": "none"}}
        started = to_record(TrialStarted.of(trial, 78_666, 12_000_000))
        started["configuration"] = {**configuration, "recipe": {"learning_rate": 0.1}}
        records.append(started)
        state.apply(started)
        name, lineage = trial.trial_id, trial.lineage
        for epoch in range(trained.get(lineage, 0) + 1, trial.epochs + 1):
            metrics = {"loss": 1.0, "val_loss": 1.0, "val_accuracy": 0.5}
            record(EpochTrained(trial=name, lineage=lineage, epoch=epoch, metrics=metrics))
        trained[lineage] = trial.epochs
        value = score(trial)
        ended = name, value
        record(TrialEnded(trial=name, status="COMPLETED", score=value, reason="", seconds=1.0))


def kept_up_to_date(algorithm: Algorithm) -> Decisions:
    return algorithm.decisions({})


def recomputed(algorithm: Algorithm) -> Decisions:
    return RecomputedDecisions(algorithm, {})


def replayed(records: list[dict[str, Any]]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.jsonl"
        path.write_bytes(b"".join(map(encode, records)))
        return timed(lambda: RunState.replay(read_journal(path)[0]))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--recomputed", action="store_true", help="by the definition, from all outcomes each time"
    )
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 3000, 10_000])
    options = parser.parse_args()
    print(f"{described()}\n")
    print("| trials | decision, ms: median | last hundred | largest | replay, s | memory, MB |")
    print("|---:|---:|---:|---:|---:|---:|")
    for count in options.trials:
        seconds, records = searched(count, recomputed if options.recomputed else kept_up_to_date)
        tracemalloc.start()
        RunState.replay(records)
        memory = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        ms = [1000 * each for each in seconds]
        print(
            f"| {len(seconds) - 1:,} | {statistics.median(ms):.2f} | "
            f"{statistics.median(ms[-100:]):.2f} | {max(ms):.1f} | {replayed(records):.2f} | "
            f"{memory:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
