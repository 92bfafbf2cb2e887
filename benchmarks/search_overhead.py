"""What a search costs beside its training: time, processor and memory; prints a table.

    python -m benchmarks.search_overhead [--runs 1] [--depth 8] [--plain]

One search by the command line in a process of its own, on a terminal, whose panel is a part
of the driver's work (`--plain` has it print lines instead): Hyperband over a ResNet with
none, SE and CBAM, full budget 9, factor 3, epochs of 2,000 images, as many workers as there
are cores. Times come from the journal, the rest from /proc, see `processes.py`. Several runs
stand side by side in the table. One minute a run at depth 8, about four at depth 20.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search.imports.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

from benchmarks.machine import described  # noqa: E402
from benchmarks.processes import INTERVAL, Watch, watched  # noqa: E402
from benchmarks.whole_search import sample, written_space  # noqa: E402
from search.analysis.profile import profile, worker_seconds  # noqa: E402
from search.runs.layout import journal_path  # noqa: E402
from search.runs.run import load_run  # noqa: E402
from search.runs.state import RunState, TrialState  # noqa: E402

VALIDATION = 400  # as the space has it
IMAGES, MAX_EPOCHS = 2000, 9

SUMMED = "median, largest"

Row = tuple[str, str, str]


def training_rows(state: RunState) -> list[Row]:
    found = profile(state)
    seconds = worker_seconds(found)
    first, rest = found["trace"] / seconds, found["train"] / seconds
    target = "at least 0.90"
    return [
        (
            "share of worker-seconds in training steps, first ones included",
            f"{first + rest:.2f}",
            target,
        ),
        (
            "the same, first ones not counted as training (taken out of the whole, too)",
            f"{rest:.2f} ({rest / (1 - first):.2f})",
            target,
        ),
    ]


def start_rows(state: RunState) -> list[Row]:
    trials = list(state.trials.values())  # as they were handed out
    seconds = [trial.profile["start"] + trial.profile["build"] for trial in trials]
    workers = state.sessions[0].workers
    what = "handing out to first training step, s"
    return [
        (f"{what}: {SUMMED} of the trials", of_all(seconds[workers:], ".2f"), "at most 0.30"),
        (
            f"{what}: first trial of each worker, the framework's import included",
            ", ".join(f"{each:.2f}" for each in seconds[:workers]),
            "-",
        ),
    ]


def driver_rows(state: RunState, watch: Watch, seconds: float, used: float) -> list[Row]:
    session = state.sessions[0]
    first = next(moment for moment in watch.moments if moment.trials)
    last = next(moment for moment in watch.moments if moment.sessions)
    finished = next(moment for moment in watch.moments if moment.ended)
    end = watch.moments[-1]
    what = "driver's processor time over wall time"
    target = "at most 1 %"
    return [
        (
            f"{what}: search, by the journal",
            part(session.driver_seconds, session.seconds),
            target,
        ),
        (
            f"{what}: search, by /proc",
            part(last.processor - first.processor, last.seconds - first.seconds),
            target,
        ),
        (f"{what}: whole life, by /proc, startup and export included", part(used, seconds), "-"),
        (
            "driver's resident memory, MB: after its first finished trial, at the end, peak",
            f"{finished.resident:.0f}, {end.resident:.0f}, {watch.peak:.0f}",
            "at most 300, no growth",
        ),
    ]


def worker_rows(state: RunState, watch: Watch) -> list[Row]:
    trials, workers = list(state.trials.values()), list(watch.workers.values())
    if len(workers) < len(trials) or any(trial.score is None for trial in trials):
        raise SystemExit("a worker died or was not seen: no telling which one had which trial")
    own = [worker.own for worker in workers]
    whole = of_all([worker.whole for worker in workers], ".0f")
    what, target = "worker's own memory (peak of Private_Dirty), MB", "at most 300"
    return [
        (f"{what}: {SUMMED} of the trials", of_all(own[: len(trials)], ".0f"), target),
        (
            f"{what}: first and last third of each kind's trials",
            growth(list(zip(trials, own, strict=False))),
            "no growth",
        ),
        (f"{what}: {SUMMED} of the export", of_all(own[len(trials) :], ".0f"), target),
        (
            f"worker's resident memory, shared pages too (VmHWM), MB: {SUMMED}; "
            "fork server's, with its first and last worker",
            f"{whole}; {watch.server[0]:.0f}, {watch.server[-1]:.0f}",
            "-",
        ),
    ]


def growth(peaks: Sequence[tuple[TrialState, float]]) -> str:
    """Medians of the first and the last third of the trials of each kind of attention.

    Kinds differ by more than all else: CBAM's trials hold what XLA compiled. Lengths are not
    told apart. As later trials are longer, growth with either would show.
    """
    by_kind: dict[str, list[float]] = {}
    for trial, peak in peaks:
        by_kind.setdefault(str(trial.configuration.attention["type"]), []).append(peak)
    said = []
    for kind, values in sorted(by_kind.items()):
        third = max(1, len(values) // 3)
        early, late = statistics.median(values[:third]), statistics.median(values[-third:])
        said.append(f"{kind} {early:.0f} to {late:.0f} ({len(values)})")
    return "; ".join(said)


def of_all(values: Sequence[float], form: str) -> str:
    return f"{statistics.median(values):{form}}, {max(values):{form}} of {len(values)}"


def part(seconds: float, whole: float) -> str:
    return f"{seconds / whole:.2%} ({seconds:.2f} s of {whole:.1f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--plain", action="store_true", help="lines instead of the live panel")
    options = parser.parse_args()
    machine = described()
    runs = [searched(options) for _ in range(options.runs)]
    shown = "lines" if options.plain else "live panel"
    print(
        f"Hyperband over ResNet-{options.depth}, {IMAGES} images an epoch, batch {options.batch}, "
        f"R={MAX_EPOCHS}, factor 3, {shown}, {options.runs} run{'s' if len(runs) > 1 else ''}."
    )
    heads = ["measured"] if len(runs) == 1 else [f"run {n + 1}" for n in range(len(runs))]
    print(f"{machine}.\n\n| | {' | '.join(heads)} | target |\n|---|{'---:|' * len(heads)}---:|")
    for rows in zip(*(rows for rows, _ in runs), strict=True):
        name, _, target = rows[0]
        print(f"| {name} | {' | '.join(found for _, found, _ in rows)} | {target} |")
    print("\n" + "\n".join(said for _, said in runs))


def searched(options: argparse.Namespace) -> tuple[list[Row], str]:
    """One search: its rows, and how it was watched."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = sample(folder, IMAGES + VALIDATION)
        space = written_space(folder, images, MAX_EPOCHS, options.depth, options.batch)
        arguments: list[Any] = ["--space", space, "--directory", folder, "--name", "run"]
        arguments += ["--verbose"] if options.plain else []
        before = time.process_time()
        watch, seconds, used = watched(arguments, journal_path(folder / "run"))
        sampling, load = time.process_time() - before, os.getloadavg()[0]
        state = load_run(folder / "run")
    rows = [*training_rows(state), *start_rows(state)]
    rows += [*driver_rows(state, watch, seconds, used), *worker_rows(state, watch)]
    unseen = max(worker.whole - worker.resident for worker in watch.workers.values())
    return rows, (
        f"Load at the end: {load:.1f}; the search alone makes for one a worker. Sampled every "
        f"{INTERVAL} s, for {sampling:.1f} s of processor time in all; a worker's resident memory "
        f"was at most {unseen:.1f} MB above its highest sample."
    )


if __name__ == "__main__":
    main()
