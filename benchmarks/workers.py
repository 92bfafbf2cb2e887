"""How many workers a search can use: simulated for many, measured for as many as are given.

    python -m benchmarks.workers [--measure 1 2 4] [--runs 1]

The simulation makes the real decisions of Hyperband with random scores, and hands trials
out as the search does; an epoch takes 1 to 1.5 units of time, by the configuration, and
starting a trial one. Next to it stands another order, the trial with the longest way to the
full budget first, which scheduling theory would suggest: it does not shorten the search by
more than chance, and the first fully trained model comes later. `--measure` runs a real
search (that of `whole_search`, as many epochs) with each number of workers, in turn as often
as `--runs` says; a minute or two each.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from search.imports.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

from benchmarks.machine import described, ratio  # noqa: E402
from benchmarks.whole_search import ours, sample  # noqa: E402
from search.algorithms.hyperband import Hyperband  # noqa: E402
from search.algorithms.simulator import (  # noqa: E402
    Choice,
    Simulated,
    Unlimited,
    random_scores,
    random_seconds,
    simulate,
)
from search.algorithms.trials import TrialSpec  # noqa: E402
from search.analysis.profile import worker_seconds  # noqa: E402

START = 1.0
"""Units of time that starting a trial takes."""


def in_order(waiting: Sequence[TrialSpec], trained: Mapping[str, int]) -> TrialSpec:
    return waiting[0]


def longest_first(waiting: Sequence[TrialSpec], trained: Mapping[str, int]) -> TrialSpec:
    return max(waiting, key=lambda trial: trial.full_epochs - trained[trial.lineage])


def simulated(max_epochs: int, workers: int, choose: Choice, seed: int) -> Simulated:
    return simulate(
        Hyperband((max_epochs,), 3, Unlimited()),
        random_scores(seed, levels=10**6),
        workers=workers,
        seconds=random_seconds(seed, start=START),
        choose=choose,
    )


def print_simulated() -> None:
    print("Simulated, mean of five draws: share of the workers' time that is used, and when the")
    print("first model is trained to the full budget, as a share of the whole search.\n")
    print("| full budget | workers | used | first full model | longest first: used | first full |")
    print("|---:|---:|---:|---:|---:|---:|")
    for max_epochs in (9, 27, 81):
        for workers in (1, 2, 4, 8, 16):
            cells = []
            for choose in (in_order, longest_first):
                runs = [simulated(max_epochs, workers, choose, seed) for seed in range(5)]
                cells.append(f"{sum(run.used for run in runs) / 5:.0%}")
                cells.append(
                    f"{sum((run.first_at(max_epochs) or 0) / run.wall for run in runs) / 5:.0%}"
                )
            print(f"| {max_epochs} | {workers} | {' | '.join(cells)} |")


def print_measured(counts: Sequence[int], runs: int) -> None:
    print(f"\nMeasured, {runs} in turn, median and range. {described()}\n")
    print("| workers | wall, s | share of the first | idle, share of the workers' time |")
    print("|---:|---:|---:|---:|")
    walls: dict[int, list[float]] = {workers: [] for workers in counts}
    idle: dict[int, list[float]] = {workers: [] for workers in counts}
    for _ in range(runs):
        for workers in counts:
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                result = ours(folder, sample(folder, 2000), 9, workers)
            walls[workers].append(result["seconds"])
            idle[workers].append(result["profile"]["idle"] / worker_seconds(result["profile"]))
    for workers in counts:
        wall, unused = statistics.median(walls[workers]), statistics.median(idle[workers])
        spread = f"{min(walls[workers]):.0f} to {max(walls[workers]):.0f}"
        share, least, most = ratio(walls[workers], walls[counts[0]])
        print(
            f"| {workers} | {wall:.0f} ({spread}) | {share:.2f} ({least:.2f} to {most:.2f}) "
            f"| {unused:.0%} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", type=int, nargs="*", default=[])
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    print_simulated()
    if options.measure:
        print_measured(options.measure, options.runs)


if __name__ == "__main__":
    main()
