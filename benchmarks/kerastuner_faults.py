"""The same faults put to plain KerasTuner 1.4.8 and to this package; prints a table.

    python -m benchmarks.kerastuner_faults

KerasTuner's side drives stock `kt.oracles.HyperbandOracle` with synthetic scores; this
side drives the same decisions, or the installed command on a tiny search where files or
processes are concerned. No TensorFlow is loaded in this process. About two minutes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.imports.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()

import keras_tuner as kt  # noqa: E402

from hypermodels.settings.configuration import Configuration  # noqa: E402
from search.algorithms.hyperband import Hyperband  # noqa: E402
from search.algorithms.trials import Candidate  # noqa: E402
from tests.search.command import SMALL_SPACE, run, worker_processes  # noqa: E402

Fails = Callable[[int], bool]


# ---- KerasTuner's side ---------------------------------------------------------------------


def stock_oracle(folder: Path, max_epochs: int, values: int, seed: int = 1) -> Any:
    space = kt.HyperParameters()
    space.Int("configuration", 0, values - 1)
    oracle = kt.oracles.HyperbandOracle(
        kt.Objective("score", "max"),
        max_epochs=max_epochs,
        seed=seed,
        hyperparameters=space,
        max_consecutive_failed_trials=10**6,
    )
    oracle._set_project_dir(str(folder), "project")
    oracle.verbose = 0
    return oracle


def drive(oracle: Any, fails: Fails, limit: int = 10**6) -> Counter[int]:
    """Runs trials until the oracle stops; counts finished trials by their epochs."""
    finished: Counter[int] = Counter()
    count = 0
    while count < limit and (trial := oracle.create_trial("worker")).status == "RUNNING":
        if fails(count):
            trial.status = "FAILED"
        else:
            value = trial.hyperparameters.values["configuration"]
            oracle.update_trial(trial.trial_id, {"score": (value * 7919) % 1009 / 1009})
            trial.status = "COMPLETED"
            finished[trial.hyperparameters.values["tuner/epochs"]] += 1
        oracle.end_trial(trial)
        count += 1
    return finished


def stock_after(damage: Callable[[Path], None]) -> str:
    """What a stock search says when it is resumed after its files were damaged."""
    folder = Path(tempfile.mkdtemp())
    oracle = stock_oracle(folder, 9, 1000)
    drive(oracle, lambda count: False, limit=8)
    oracle.save()
    before = {name: trial.score for name, trial in oracle.trials.items()}
    damage(folder / "project")
    try:
        again = stock_oracle(folder, 9, 1000)
        again.reload()
        drive(again, lambda count: False, limit=3)
        lost = [name for name in before if again.trials.get(name) is None]
        changed = [
            name
            for name, score in before.items()
            if name not in lost and again.trials[name].score != score
        ]
        said = "goes on"
        if lost or changed:
            said = f"goes on; of 8 results {len(lost)} lost, {len(changed)} overwritten"
    except Exception as error:
        said = f"cannot resume: {type(error).__name__}"
    shutil.rmtree(folder)
    return said


# ---- this package's side -------------------------------------------------------------------


class Numbered:
    """Candidates that are numbers, as the stock oracle's configurations are."""

    def __init__(self, values: int) -> None:
        self._values = values

    def _candidate(self, number: int) -> Candidate:
        configuration = Configuration({"number": number}, {"type": "none"}, {})
        return Candidate(configuration, str(number))

    def initial(self, iteration: int, bracket: int, count: int) -> list[Candidate]:
        start = bracket * 1000
        numbers = {(start + offset) % self._values: None for offset in range(count)}
        return [self._candidate(number) for number in numbers]

    def spares(self, iteration: int, bracket: int, count: int) -> list[Candidate]:
        start = 500_000 + bracket * 1000
        fresh = [start + offset for offset in range(count)] if self._values > 10**6 else []
        return [self._candidate(number) for number in fresh]


def decide(max_epochs: int, values: int, fails: Fails) -> Counter[int]:
    """Runs this package's decisions to their end; counts finished trials by their epochs."""
    hyperband = Hyperband((max_epochs,), 3, Numbered(values))
    outcomes: dict[str, float | None] = {}
    finished: Counter[int] = Counter()
    while open_trials := [t for t in hyperband.trials(outcomes) if t.trial_id not in outcomes]:
        trial = open_trials[0]
        if fails(len(outcomes)):
            outcomes[trial.trial_id] = None
        else:
            number = int(trial.candidate.configuration.backbone["number"])
            outcomes[trial.trial_id] = (number * 7919) % 1009 / 1009
            finished[trial.epochs] += 1
    return finished


class TinyRun:
    """A finished search of the installed command, to be damaged and run again."""

    def __init__(self, folder: Path) -> None:
        self.space = folder / "small.yaml"
        self.space.write_text(SMALL_SPACE)
        self.arguments = ("--space", self.space, "--directory", folder, "--workers", 2)
        run(*self.arguments)
        self.path = folder / "small"
        self.whole = folder / "whole"
        shutil.copytree(self.path, self.whole)

    def after(self, damage: Callable[[Path], None]) -> str:
        shutil.rmtree(self.path)
        shutil.copytree(self.whole, self.path)
        damage(self.path)
        result = run(*self.arguments, check=None)
        if result.returncode:
            return f"refuses, exit code {result.returncode}"
        same = table(self.path) == table(self.whole)
        return "goes on, same table" if same else "goes on, ANOTHER table"


def table(path: Path) -> list[dict[str, Any]]:
    rows = json.loads((path / "summary.json").read_text())["trials"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


# ---- the faults ----------------------------------------------------------------------------


def halve(name: str) -> Callable[[Path], None]:
    def damage(project: Path) -> None:
        path = sorted(project.glob(name))[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return damage


def delete(name: str) -> Callable[[Path], None]:
    def damage(project: Path) -> None:
        path = sorted(project.glob(name))[0]
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def full_budget(finished: Counter[int], epochs: int) -> str:
    return f"{finished[epochs]} trained to {epochs} epochs, of {sum(finished.values())} finished"


def stock_failures(fails: Fails) -> str:
    folder = Path(tempfile.mkdtemp())
    finished = drive(stock_oracle(folder, 27, 10**7), fails)
    shutil.rmtree(folder)
    return full_budget(finished, 27)


def stock_small_space(values: int) -> str:
    folder = Path(tempfile.mkdtemp())
    finished = drive(stock_oracle(folder, 81, values), lambda count: False)
    shutil.rmtree(folder)
    return full_budget(finished, 81)


def stock_seed_zero() -> str:
    drawn = []
    for _ in range(2):
        folder = Path(tempfile.mkdtemp())
        oracle = stock_oracle(folder, 9, 10**6, seed=0)
        drawn.append(oracle.create_trial("worker").hyperparameters.values["configuration"])
        shutil.rmtree(folder)
    return "the same trials" if drawn[0] == drawn[1] else "other trials each time"


def stock_edited_space() -> str:
    folder = Path(tempfile.mkdtemp())
    oracle = stock_oracle(folder, 9, 1000)
    drive(oracle, lambda count: False, limit=4)
    oracle.save()
    again = stock_oracle(folder, 27, 3)
    again.reload()
    drawn = [again.create_trial(f"w{n}").hyperparameters.values["configuration"] for n in range(4)]
    silent = again.max_epochs == 9 and max(drawn) > 2
    shutil.rmtree(folder)
    return "silently keeps the old space" if silent else "takes the new space"


POISON = """
import os, signal, sys
from search.imports.keras_in_driver import import_keras_without_tensorflow
import_keras_without_tensorflow()
from pathlib import Path
from benchmarks.kerastuner_faults import stock_oracle
oracle = stock_oracle(Path(sys.argv[1]), 9, 1000)
if (Path(sys.argv[1]) / "project" / "oracle.json").exists():
    oracle.reload()
trial = oracle.create_trial("worker")
print(trial.trial_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def stock_poison() -> str:
    folder = Path(tempfile.mkdtemp())
    begun = [
        subprocess.run(
            [sys.executable, "-c", POISON, str(folder)], capture_output=True, text=True
        ).stdout.strip()
        for _ in range(4)
    ]
    shutil.rmtree(folder)
    if len(set(begun)) == 1:
        return f"4 restarts, 4 times trial {begun[0]}"
    return f"4 restarts: trials {', '.join(begun)}"


def our_poison(folder: Path) -> str:
    """Kills the workers of one trial whenever they appear."""
    space = folder / "poison.yaml"
    space.write_text(SMALL_SPACE)
    process = subprocess.Popen(
        [sys.executable, "-m", "search", "--space", str(space), "--directory", str(folder)]
        + ["--workers", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    path = folder / "poison" / "journal.jsonl"
    while process.poll() is None:
        deaths = path.read_bytes().count(b'"type":"death"') if path.exists() else 0
        # The fork server has short-lived children of its own while it imports; what is
        # killed too early is killed again.
        for worker in worker_processes(process.pid) if deaths < 3 else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        time.sleep(0.05)
    rows = table(folder / "poison")
    failed = [row["trial"] for row in rows if row["status"] == "FAILED"]
    done = sum(row["status"] == "COMPLETED" for row in rows)
    return f"trial {', '.join(failed)} marked failed after 3 deaths, {done} others finished"


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    tiny = TinyRun(folder)
    edited = run(*tiny.arguments, "--seed", 9, check=None)
    seed_rows = []
    for name in ("a", "b"):
        run(*tiny.arguments, "--seed", 0, "--max-epochs", 1, "--name", name)
        seed_rows.append(table(folder / name))
    rows: list[tuple[str, str, str]] = [
        (
            "half of `oracle.json` written",
            stock_after(halve("oracle.json")),
            tiny.after(halve("oracle.json")),
        ),
        (
            "half of one `trial.json` written",
            stock_after(halve("trial_*/trial.json")),
            tiny.after(halve("trial_*/trial.json")),
        ),
        (
            "`oracle.json` deleted",
            stock_after(delete("oracle.json")),
            tiny.after(delete("oracle.json")),
        ),
        (
            "one trial's folder deleted",
            stock_after(delete("trial_0000*")),
            tiny.after(delete("trial_0000")),
        ),
        (
            "last record of the journal half written",
            "has none",
            tiny.after(
                lambda path: os.truncate(
                    path / "journal.jsonl", (path / "journal.jsonl").stat().st_size - 20
                )
            ),
        ),
        (
            "nothing fails (R=27)",
            stock_failures(lambda count: False),
            full_budget(decide(27, 10**7, lambda count: False), 27),
        ),
        (
            "1 of 27 trials fails (R=27)",
            stock_failures(lambda count: count == 0),
            full_budget(decide(27, 10**7, lambda count: count == 0), 27),
        ),
        (
            "every 4th trial fails (R=27)",
            stock_failures(lambda count: count % 4 == 0),
            full_budget(decide(27, 10**7, lambda count: count % 4 == 0), 27),
        ),
        (
            "12 configurations in all (R=81)",
            stock_small_space(12),
            full_budget(decide(81, 12, lambda count: False), 81),
        ),
        ("a configuration that kills its process", stock_poison(), our_poison(folder)),
        (
            "resumed with an edited space",
            stock_edited_space(),
            f"refuses, exit code {edited.returncode}, says what differs",
        ),
        (
            "seed 0, twice",
            stock_seed_zero(),
            "the same trials" if seed_rows[0] == seed_rows[1] else "other trials each time",
        ),
    ]
    print("| fault | KerasTuner 1.4.8 | cbam-search |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
