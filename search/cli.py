"""The command line. Nothing heavy is imported before there is something to do."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.arguments import (
    export_parser,
    search_parser,
    sites_parser,
    summary_parser,
    verify_parser,
)
from search.errors import CbamSearchError, StorageError, UsageError
from search.signals import Interrupted
from search.streams import forgiving_streams, went_away

if TYPE_CHECKING:
    from rich.console import Console

    from search.executors.local import LocalExecutor
    from search.export import Exported
    from search.run import Run

MAX_NAME = 255
"""Bytes that file systems allow in a name."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with forgiving_streams() as output:
        code = _run(arguments)
        output.flush()
        if code == 0 and output.lost and not went_away(output.lost):
            print(f"cbam-search: cannot print: {output.lost.strerror}.", file=sys.stderr)
            code = StorageError.exit_code
    return code


def _run(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["export"]:
            return _export(export_parser().parse_args(arguments[1:]))
        if arguments[:1] == ["sites"]:
            return _sites(sites_parser().parse_args(arguments[1:]))
        if arguments[:1] == ["summary"]:
            return _summary(summary_parser().parse_args(arguments[1:]))
        if arguments[:1] == ["verify"]:
            return _verify(verify_parser().parse_args(arguments[1:]))
        return _search(search_parser().parse_args(arguments))
    except CbamSearchError as error:
        if os.environ.get("CBAM_SEARCH_DEBUG"):
            raise
        print(f"cbam-search: {error}", file=sys.stderr)
        return error.exit_code
    except Interrupted as stop:
        print(f"cbam-search: stopped by {stop} before the first trial.", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("cbam-search: stopped.", file=sys.stderr)
        return 130


def _search(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.narrator import Narrator
    from search.run import open_run
    from search.signals import Signals
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
    if "\0" in name or len(os.fsencode(name)) > MAX_NAME:
        raise UsageError(
            f"--name has at most {MAX_NAME} bytes. Received: {ascii(name[:40])}. Choose another."
        )
    path = Path(options.directory) / name
    console = _console(options)
    with (
        Signals().caught() as signals,
        open_run(
            space,
            path,
            overwrite=options.overwrite,
            mend_data=True,
            compare_source=True,
            progress=Narrator(signals.check),
        ) as run,
    ):
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
    from search.executors.local import default_workers
    from search.export import export_best
    from search.progress import Progress
    from search.report import print_notices
    from search.summary import write_summary
    from search.tuner import SearchTuner

    workers = options.workers or default_workers(int(run.space.search["threads"]))
    console.print(_opening(run, workers), highlight=False)
    print_notices(console, run.notices)
    with _executor(run, workers) as executor:
        tuner = SearchTuner(run, executor, signals, options.keep)
        try:
            with Progress(run, tuner.hyperband, workers, console) as progress:
                tuner.search(progress)
            return export_best(run, executor, signals)
        finally:
            executor.kill()
            write_summary(run.path, run.state)


def _executor(run: Run, workers: int) -> LocalExecutor:
    from search.executors.local import LocalExecutor
    from search.run_directory import compiled_folder

    return LocalExecutor(workers, run.path / "workers.log", compiled_folder(run.path))


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
    command = shlex.join(["cbam-search", *sys.argv[1:]])
    console.print(
        f"Stopped by {stop}. {done} finished trials are kept in {run.path}, and the others up "
        f"to their last epoch. To go on, run the same command again:\n  {command}",
        highlight=False,
        soft_wrap=True,
    )


def _export(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.export import export_best
    from search.report import print_export
    from search.run import open_run, read_run, space_of
    from search.signals import Signals
    from search.summary import write_summary

    space = space_of(read_run(options.run), options.run)
    console = _console(options)
    with Signals().caught() as signals, open_run(space, options.run, mend_data=True) as run:
        try:
            with _executor(run, 1) as executor:
                exported = export_best(run, executor, signals)
        except Interrupted as stop:
            return stop.exit_code
        write_summary(run.path, run.state)
        if options.json:
            print(json.dumps(_result(run, exported), indent=2))
        else:
            print_export(console, exported)
    return 0


def _sites(options: argparse.Namespace) -> int:
    from search.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from hypermodels.image import ImageSpec
    from search.narrator import Narrator
    from search.report import print_notices, print_sites
    from search.run import image_of_data
    from search.sites import site_table
    from search.space_loading import load_space
    from search.summary import to_csv

    space = load_space(options.space).override("data", name=options.data)
    notices: list[str] = []
    if options.image:
        image = ImageSpec(options.image, classes=10)
    else:
        image, notices = image_of_data(space, Narrator())
    table = site_table(space, image)
    if options.format == "csv":
        print(to_csv(table), end="")
    elif options.format == "json":
        print(json.dumps(table, indent=2))
    else:
        print_sites(_console(options), table, space.configuration({}).backbone)
    print_notices(_stderr(), notices)
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
    from search.run import open_run, read_run, space_of
    from search.signals import Signals
    from search.tuner import SearchTuner
    from search.verify import verify

    space = space_of(read_run(options.run), options.run)
    signals = Signals()
    with (
        open_run(space, options.run) as run,
        _executor(run, 1) as executor,
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


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True)


if __name__ == "__main__":
    sys.exit(main())
