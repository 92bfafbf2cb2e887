"""The command line. Nothing heavy is imported before there is something to do."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.cli.arguments import (
    export_parser,
    search_parser,
    sites_parser,
    summary_parser,
    verify_parser,
)
from search.cli.streams import forgiving_streams, went_away
from search.driver.signals import Interrupted
from search.errors import CbamSearchError, StorageError, UsageError, did_you_mean
from search.text import counted, printable, printable_lines, readable, shell_line

if TYPE_CHECKING:
    from rich.console import Console

    from search.driver.export import Exported
    from search.executors.base import Executor
    from search.runs.run import Run

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
        _check_verb(arguments)
        return _search(search_parser().parse_args(arguments), arguments)
    except CbamSearchError as error:
        if os.environ.get("CBAM_SEARCH_DEBUG"):
            raise
        _print_error(_without_overwriting(str(error), arguments))
        return error.exit_code
    except Interrupted as stop:
        print(f"cbam-search: stopped by {stop} while the data was read.", file=sys.stderr)
        return stop.exit_code
    except MemoryError:
        _print_error("there is too little memory to go on. What is on disk is kept.")
        return StorageError.exit_code
    except KeyboardInterrupt:
        print("cbam-search: stopped.", file=sys.stderr)
        return 130


VERBS = ("export", "sites", "summary", "verify")


def _check_verb(arguments: list[str]) -> None:
    """Refuses a command line without options that only looks like a search.

    Raises:
        UsageError: If it begins with a word, or a command comes after an option.
    """
    verbs = ", ".join(VERBS)
    first = arguments[0] if arguments else "-"
    if not first.startswith("-"):
        if os.path.isdir(first):
            said = f"{first} is a folder; say what to do with it: one of {verbs}."
        elif os.path.isfile(first):
            said = f"to search the space {first}, run cbam-search --space {shell_line([first])}."
        else:
            hint = did_you_mean(first, VERBS)
            said = f"there is no command {first!r}.{hint} The commands: {verbs}."
        raise UsageError(f"{said} A search has no command of its own: it begins with --space.")
    searches = any(word == "--space" or word.startswith("--space=") for word in arguments)
    later = [word for word in arguments if word in VERBS]
    if later and not searches:
        raise UsageError(f"the command comes first: cbam-search {later[0]} ...")


def _print_error(message: str) -> None:
    """Prints a message to standard error, broken at spaces where that is a terminal."""
    said = printable_lines(f"cbam-search: {message}")
    if sys.stderr.isatty():
        import shutil

        from search.text import wrapped

        said = wrapped(said, shutil.get_terminal_size().columns)
    print(said, file=sys.stderr)


def _without_overwriting(message: str, arguments: list[str]) -> str:
    """A message that says to run the same command again, where that would delete the run."""
    if "--overwrite" not in arguments or "same command" not in message:
        return message
    return f"{message} Leave out --overwrite then: it would delete what is kept."


def _search(options: argparse.Namespace, arguments: list[str]) -> int:
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.display.narrator import Narrator
    from search.driver.opening import open_run
    from search.driver.signals import Signals
    from search.space.loading import load_space

    space = load_space(options.space)
    space = space.override("data", name=options.data, limit=options.limit)
    space = space.override(
        "search",
        seed=options.seed,
        max_epochs=options.max_epochs,
        hyperband_iterations=options.hyperband_iterations,
    )
    space.check_size()
    for option, given in (("--name", options.name), ("--directory", options.directory)):
        if given == "":
            raise UsageError(f"{option} is empty. Give a name, or leave {option} out.")
    name = options.name or Path(options.space).stem
    _check_readable("--data", options.data or "")
    if Path(name).name != name or name in (".", ".."):
        raise UsageError(f"--name is a name, not a path. Received: {name!r}. Use --directory.")
    if "\0" in name or len(os.fsencode(name)) > MAX_NAME:
        raise UsageError(
            f"--name has at most {MAX_NAME} bytes. Received: {ascii(name[:40])}. Choose another."
        )
    path = Path(options.directory) / name
    _check_readable("the run directory", _absolute(path))
    console = _console(options)
    with (
        Signals().caught() as signals,
        open_run(
            space,
            path,
            overwrite=options.overwrite,
            mend_data=True,
            searching=True,
            progress=Narrator(signals.check),
        ) as run,
    ):
        try:
            exported = _run_search(run, options, console, signals)
        except Interrupted as stop:
            _say_stopped(console, run, stop, arguments)
            return stop.exit_code
        if options.json:
            print(json.dumps(_result(run, exported), indent=2))
        else:
            from search.display.report import print_result

            print_result(console, run.path, run.state, exported)
    return 0


def _run_search(run: Run, options: argparse.Namespace, console: Console, signals: Any) -> Exported:
    from search.analysis.summary import write_summary
    from search.display.console import print_prose
    from search.display.narrator import Narrator
    from search.display.progress import Progress
    from search.display.report import print_notices
    from search.driver.export import export_best
    from search.driver.rehearsal import rehearse
    from search.driver.tuner import SearchTuner
    from search.executors.devices import default_workers

    workers = options.workers or default_workers(run.space.search.threads)
    print_prose(console, _opening(run, workers))
    print_notices(console, run.notices)
    narrator = Narrator(signals.check)
    with _executor(run, workers) as executor:
        tuner = SearchTuner(run, executor, signals, options.keep, narrator)
        try:
            print_notices(console, rehearse(run, tuner, executor, narrator))
            with Progress(run, tuner.rungs, tuner.oracle.decisions, workers, console) as progress:
                tuner.search(progress)
            return export_best(run, executor, narrator)
        finally:
            executor.kill()
            write_summary(run.path, run.state)


def _executor(run: Run, workers: int) -> Executor:
    from search.executors.local import LocalExecutor
    from search.runs.layout import compiled_folder

    return LocalExecutor(workers, run.path / "workers.log", compiled_folder(run.path))


def _opening(run: Run, workers: int) -> str:
    torn = run.journal.torn
    verb = "Resuming" if run.resumed else "Searching"
    info = run.info
    cut = f" A torn last record ({len(torn)} bytes) was cut off its journal." if torn else ""
    return (
        f"{verb} {run.space.source} in {run.path}: {info.source}, {info.train_count:,} training "
        f"and {info.validation_count:,} validation images, {counted(workers, 'worker')}.{cut}"
    )


def _say_stopped(console: Console, run: Run, stop: BaseException, arguments: list[str]) -> None:
    from search.display.console import print_prose

    done = counted(sum(trial.ended for trial in run.state.trials.values()), "finished trial")
    again = [word for word in arguments if word != "--overwrite"]
    how = (
        "run the same command again"
        if again == arguments
        else "run it again without --overwrite, which would delete them"
    )
    print_prose(
        console,
        f"Stopped by {stop}. Kept in {run.path}: {done}, and the other trials up to their last "
        f"epoch. To go on, {how}:\n  {shell_line(['cbam-search', *again])}",
    )


def _absolute(path: Path) -> str:
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise UsageError("the current folder was deleted. Go to one that is there.") from error


def _check_readable(what: str, path: str) -> None:
    """Refuses a path whose bytes are no text: not every library that is to use it can.

    Raises:
        UsageError: If it has such bytes.
    """
    if not readable(path):
        raise UsageError(
            f"{what} has bytes that are no text in this locale. Received: {path}. Choose "
            "another name, or, if the name is right, set LC_ALL=C.UTF-8."
        )


def _export(options: argparse.Namespace) -> int:
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.analysis.summary import write_summary
    from search.display.narrator import Narrator
    from search.display.report import print_export
    from search.driver.export import export_best
    from search.driver.opening import open_run
    from search.driver.signals import Signals
    from search.runs.run import load_run, space_of

    space = space_of(load_run(options.run), options.run)
    _check_readable("the run directory", _absolute(options.run))
    console = _console(options)
    with (
        Signals().caught() as signals,
        open_run(space, options.run, mend_data=True, progress=Narrator(signals.check)) as run,
    ):
        try:
            with _executor(run, 1) as executor:
                exported = export_best(run, executor, Narrator(signals.check))
        except Interrupted as stop:
            return stop.exit_code
        write_summary(run.path, run.state)
        if options.json:
            print(json.dumps(_result(run, exported), indent=2))
        else:
            print_export(console, exported)
    return 0


def _sites(options: argparse.Namespace) -> int:
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from hypermodels.image import ImageSpec
    from hypermodels.networks.cost import CostModel
    from search.analysis.sites import site_table
    from search.analysis.summary import to_csv
    from search.display.console import make_console
    from search.display.narrator import Narrator
    from search.display.report import print_notices, print_sites
    from search.driver.describing import describe_foreign
    from search.runs.descriptions import Descriptions, notices_of
    from search.space.data_of import image_of_data
    from search.space.loading import load_space

    space = load_space(options.space).override("data", name=options.data)
    notices: list[str] = []
    if options.image:
        image = ImageSpec(options.image, classes=10)
    else:
        image, notices = image_of_data(space, Narrator())
    described = describe_foreign(space, image, {}, Narrator())
    notices += notices_of(described)
    table = site_table(space, CostModel(image, Descriptions(described)))
    if options.format == "csv":
        print(to_csv(table), end="")
    elif options.format == "json":
        print(json.dumps(table, indent=2))
    else:
        print_sites(_console(options), table, space.configuration({}).backbone)
    print_notices(make_console(to_stderr=True), notices)
    return 0


def _summary(options: argparse.Namespace) -> int:
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.analysis.summary import rows, to_csv, to_json, to_markdown
    from search.display.report import print_table
    from search.runs.run import load_run

    state = load_run(options.run)
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
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.errors import VerificationError
    from search.verifying.verify import verify

    findings = verify(options.run, repair=options.repair)
    if findings.wrong:
        lines = "\n".join(f"  {line}" for line in findings.wrong)
        raise VerificationError(f"{options.run} is not as its journal says:\n{lines}")
    checked = ", ".join(
        counted(count, kind.removesuffix("s")) for kind, count in findings.checked.items()
    )
    print(printable(f"{options.run} is as its journal says: {checked}."))
    return 0


def _result(run: Run, exported: Exported) -> dict[str, Any]:
    from search.analysis.summary import rows

    return {
        "run": str(run.path),
        "best": {"folder": str(exported.folder), **exported.metrics},
        "trials": rows(run.state),
    }


def _console(options: argparse.Namespace) -> Console:
    from search.display.console import make_console

    return make_console(
        plain=getattr(options, "verbose", False), to_stderr=getattr(options, "json", False)
    )


if __name__ == "__main__":
    sys.exit(main())
