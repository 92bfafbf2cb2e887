"""The command line. Nothing heavy is imported before there is something to do."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

from search.cli.arguments import (
    compare_parser,
    confirm_parser,
    export_parser,
    importance_parser,
    search_parser,
    sites_parser,
    summary_parser,
    verify_parser,
)
from search.cli.streams import forgiving_streams, went_away
from search.driver.signals import Interrupted
from search.errors import CbamSearchError, StorageError, UsageError, did_you_mean
from search.imports.keras_in_driver import import_keras_without_tensorflow
from search.text import printable_lines, shell_line, wrapped

COMMANDS: Mapping[str, Callable[[], argparse.ArgumentParser]] = {
    "compare": compare_parser,
    "confirm": confirm_parser,
    "export": export_parser,
    "importance": importance_parser,
    "sites": sites_parser,
    "summary": summary_parser,
    "verify": verify_parser,
}
"""Each command that is a word, with its arguments; the file of its name carries it out."""


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
        verb = arguments[0] if arguments and arguments[0] in COMMANDS else "search"
        if verb == "search":
            _check_verb(arguments)
            options = search_parser().parse_args(arguments, argparse.Namespace(line=arguments))
        else:
            options = COMMANDS[verb]().parse_args(arguments[1:])
        import_keras_without_tensorflow()
        carry_out: Callable[[argparse.Namespace], int]
        carry_out = importlib.import_module(f"search.cli.{verb}").carry_out
        return carry_out(options)
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


def _check_verb(arguments: list[str]) -> None:
    """Refuses a command line without options that only looks like a search.

    Raises:
        UsageError: If it begins with a word, or a command comes after an option.
    """
    verbs = ", ".join(COMMANDS)
    first = arguments[0] if arguments else "-"
    if not first.startswith("-"):
        if os.path.isdir(first):
            said = f"{first} is a folder; say what to do with it: one of {verbs}."
        elif os.path.isfile(first):
            said = f"to search the space {first}, run cbam-search --space {shell_line([first])}."
        else:
            hint = did_you_mean(first, COMMANDS)
            said = f"there is no command {first!r}.{hint} The commands: {verbs}."
        raise UsageError(f"{said} A search has no command of its own: it begins with --space.")
    searches = any(word == "--space" or word.startswith("--space=") for word in arguments)
    later = [word for word in arguments if word in COMMANDS]
    if later and not searches:
        raise UsageError(f"the command comes first: cbam-search {later[0]} ...")


def _print_error(message: str) -> None:
    """Prints a message to standard error, broken at spaces where that is a terminal."""
    said = printable_lines(f"cbam-search: {message}")
    if sys.stderr.isatty():
        said = wrapped(said, shutil.get_terminal_size().columns)
    print(said, file=sys.stderr)


def _without_overwriting(message: str, arguments: list[str]) -> str:
    """A message that says to run the same command again, where that would delete the run."""
    if "--overwrite" not in arguments or "same command" not in message:
        return message
    return f"{message} Leave out --overwrite then: it would delete what is kept."


if __name__ == "__main__":
    sys.exit(main())
