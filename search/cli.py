"""The command line. Nothing heavy is imported before there is something to do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search import __version__
from search.errors import CbamSearchError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from search.export import Exported
    from search.run import Run

EPILOG = """\
commands on a run directory:
  cbam-search export RUN     export the best model of a run, finished or not
  cbam-search summary RUN    print every trial of a run (--format table, csv, json, markdown)
  cbam-search verify RUN     check a run against itself (--repair rebuilds views)

The same command resumes a search that was stopped, by whatever. Exit codes:
  0 done                          6 another process drives the run directory
  2 wrong command line            7 the machine refused a write
  3 wrong space                   8 no trial finished
  4 unusable data                 9 the exported model is not the trained one
  5 run directory of another     10 something in a run is not as its journal says
    search or program           129, 130, 143 stopped by SIGHUP, Ctrl-C, SIGTERM
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["export"]:
            return _export(_export_parser().parse_args(arguments[1:]))
        if arguments[:1] == ["summary"]:
            return _summary(_summary_parser().parse_args(arguments[1:]))
        if arguments[:1] == ["verify"]:
            return _verify(_verify_parser().parse_args(arguments[1:]))
        return _search(_search_parser().parse_args(arguments))
    except CbamSearchError as error:
        if os.environ.get("CBAM_SEARCH_DEBUG"):
            raise
        print(f"cbam-search: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("cbam-search: stopped.", file=sys.stderr)
        return 130


def _search_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cbam-search",
        usage="cbam-search --space FILE_OR_NAME [options]",
        description="Searches whether, which and where attention pays off in a CNN, and "
        "exports the best model.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--space",
        required=True,
        metavar="FILE_OR_NAME",
        help="a YAML file, or a shipped space: quickstart, resnet, resnet_v2",
    )
    parser.add_argument("--data", metavar="NAME_OR_PATH", help="data set instead of the space's")
    parser.add_argument(
        "--directory", default="runs", metavar="DIR", help="where run directories are (runs)"
    )
    parser.add_argument("--name", help="name of the run directory (the space's name)")
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="trials side by side (one a GPU, else one a core); the result does not depend on it",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed instead of the space's")
    parser.add_argument(
        "--max-epochs", type=_positive, metavar="N", help="full budget instead of the space's"
    )
    parser.add_argument(
        "--hyperband-iterations",
        type=_positive,
        metavar="N",
        help="runs of all brackets instead of the space's; more than a finished run had "
        "extends it, as does --max-epochs times a power of the factor",
    )
    parser.add_argument(
        "--limit", type=_positive, metavar="N", help="use at most N training images, balanced"
    )
    parser.add_argument(
        "--keep",
        type=_positive,
        default=1,
        metavar="N",
        help="best trainings whose checkpoint stays when the search is over (1)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="delete the run of that name and start anew"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--verbose", action="store_true", help="plain lines, one a trial")
    parser.add_argument("--version", action="version", version=f"cbam-search {__version__}")
    return parser


def _export_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cbam-search export", description="Exports the best model of a run to RUN/best."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _summary_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cbam-search summary", description="Prints every trial of a run."
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument(
        "--format", choices=("table", "csv", "json", "markdown"), default="table", help="(table)"
    )
    return parser


def _verify_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cbam-search verify",
        description="Checks journal, decisions, data, checkpoints, KerasTuner's views and the "
        "exported model of a run, and lists what is wrong.",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--repair", action="store_true", help="rebuild wrong or missing views")
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return value


def _search(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.run import open_run
    from search.signals import Interrupted, Signals
    from search.space_loading import load_space

    space = load_space(options.space)
    space = space.override("data", name=options.data, limit=options.limit)
    space = space.override(
        "search",
        seed=options.seed,
        max_epochs=options.max_epochs,
        hyperband_iterations=options.hyperband_iterations,
    )
    name = options.name or Path(options.space).stem
    if Path(name).name != name or name in (".", ".."):
        raise UsageError(f"--name is a name, not a path. Received: {name!r}. Use --directory.")
    path = Path(options.directory) / name
    console = _console(options)
    with Signals().caught() as signals, open_run(space, path, overwrite=options.overwrite) as run:
        try:
            exported = _run_search(run, options, console, signals)
        except Interrupted as stop:
            _say_stopped(console, run, stop)
            return stop.exit_code
        if options.json:
            print(json.dumps(_result(run, exported), indent=2))
        else:
            from search.report import print_result

            print_result(console, run.path, run.state, exported)
    return 0


def _run_search(run: Run, options: argparse.Namespace, console: Console, signals: Any) -> Exported:
    from search.executors.local import LocalExecutor, default_workers
    from search.export import export_best
    from search.progress import Progress
    from search.summary import write_summary
    from search.tuner import SearchTuner

    workers = options.workers or default_workers(int(run.space.search["threads"]))
    console.print(_opening(run, workers), highlight=False)
    with LocalExecutor(workers, run.path / "workers.log") as executor:
        tuner = SearchTuner(run, executor, signals, options.keep)
        try:
            with Progress(run, tuner.hyperband, workers, console) as progress:
                tuner.search(progress)
            return export_best(run, executor, signals)
        finally:
            executor.kill()
            write_summary(run.path, run.state)


def _opening(run: Run, workers: int) -> str:
    torn = run.journal.torn
    verb = "Resuming" if run.resumed else "Searching"
    info = run.info
    cut = f" A torn last record ({len(torn)} bytes) was cut off its journal." if torn else ""
    return (
        f"{verb} {run.space.source} in {run.path}: {info.source}, {info.train_count:,} training "
        f"and {info.validation_count:,} validation images, {workers} "
        f"worker{'s' if workers > 1 else ''}.{cut}"
    )


def _say_stopped(console: Console, run: Run, stop: BaseException) -> None:
    done = sum(trial.ended for trial in run.state.trials.values())
    command = " ".join(["cbam-search", *sys.argv[1:]])
    console.print(
        f"Stopped by {stop}. {done} finished trials are kept in {run.path}, and the others up "
        f"to their last epoch. To go on, run the same command again:\n  {command}",
        highlight=False,
        soft_wrap=True,
    )


def _export(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.executors.local import LocalExecutor
    from search.export import export_best
    from search.report import print_export
    from search.run import open_run, read_run, space_of
    from search.signals import Interrupted, Signals
    from search.summary import write_summary

    space = space_of(read_run(options.run), options.run)
    console = _console(options)
    with Signals().caught() as signals, open_run(space, options.run) as run:
        try:
            with LocalExecutor(1, run.path / "workers.log") as executor:
                exported = export_best(run, executor, signals)
        except Interrupted as stop:
            return stop.exit_code
        write_summary(run.path, run.state)
        if options.json:
            print(json.dumps(_result(run, exported), indent=2))
        else:
            print_export(console, exported)
    return 0


def _summary(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.report import print_table
    from search.run import read_run
    from search.summary import rows, to_csv, to_json, to_markdown

    state = read_run(options.run)
    if options.format == "csv":
        print(to_csv(rows(state)), end="")
    elif options.format == "json":
        print(to_json(state), end="")
    elif options.format == "markdown":
        print(to_markdown(state), end="")
    else:
        print_table(_console(options), state)
    return 0


def _verify(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.errors import VerificationError
    from search.executors.local import LocalExecutor
    from search.run import open_run, read_run, space_of
    from search.signals import Signals
    from search.tuner import SearchTuner
    from search.verify import verify

    space = space_of(read_run(options.run), options.run)
    signals = Signals()
    with (
        open_run(space, options.run) as run,
        LocalExecutor(1, run.path / "workers.log") as executor,
    ):
        tuner = SearchTuner(run, executor, signals)
        if options.repair:
            tuner.save()
        findings = verify(run, tuner, executor)
    if findings.wrong:
        lines = "\n".join(f"  {line}" for line in findings.wrong)
        raise VerificationError(f"{options.run} is not as its journal says:\n{lines}")
    checked = ", ".join(f"{count} {kind}" for kind, count in findings.checked.items())
    print(f"{options.run} is as its journal says: {checked}.")
    return 0


def _result(run: Run, exported: Exported) -> dict[str, Any]:
    from search.summary import rows

    return {
        "run": str(run.path),
        "best": {"folder": str(exported.folder), **exported.metrics},
        "trials": rows(run.state),
    }


def _console(options: argparse.Namespace) -> Console:
    from rich.console import Console

    plain = getattr(options, "verbose", False)
    to_stderr = getattr(options, "json", False)
    return Console(stderr=to_stderr, force_terminal=False if plain else None)


if __name__ == "__main__":
    sys.exit(main())
