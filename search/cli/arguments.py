"""The arguments of the command line. Standard library alone: `--help` must be instant."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any, NoReturn

from search import __version__
from search.errors import exit_codes
from search.text import printable

MAX_WORKERS = 1024
"""Trials side by side; each is a process, with a gigabyte or so of memory."""

MAX_COUNT = 10**15
MAX_SIDE = 2**16

_EXIT_CODES = {
    "0": "done",
    **{str(code): meaning for code, meaning in exit_codes().items()},
    "129, 130, 143": "stopped by SIGHUP, Ctrl-C, SIGTERM",
}

EPILOG = """\
where attention can go:
  cbam-search sites --space FILE_OR_NAME   list every place, and what attention adds there

an answer without a search:
  cbam-search compare --space FILE_OR_NAME   train all that the space offers with several seeds

commands on a run directory:
  cbam-search confirm RUN      answer the question of a finished search (--more: the next look)
  cbam-search export RUN       export the best model of a run, finished or not
  cbam-search importance RUN   which settings mattered (--one-factor: compare around the best)
  cbam-search summary RUN      print every trial of a run (--format table, csv, json, markdown)
  cbam-search verify RUN       check a run against itself (--repair rebuilds views)

The same command resumes a search that was stopped, by whatever. Exit codes:
""" + "\n".join(f"  {code:<14} {meaning}" for code, meaning in _EXIT_CODES.items())


class _Parser(argparse.ArgumentParser):
    """Takes options by their whole names alone, and shows what it refuses as text."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def search_parser() -> argparse.ArgumentParser:
    """The arguments of the command itself."""
    parser = _Parser(
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
        help="a YAML file, or a shipped space: quickstart, cifar10, cbam_paper_tables, "
        "resnet, resnet_v2, resnext, mobilenet, densenet, inception_v3, inception_resnet_v2, "
        "application",
    )
    _add_data_and_place(parser, "the space's name")
    parser.add_argument(
        "--workers",
        type=_workers,
        metavar="N",
        help="trials side by side (one a GPU, else one a core); the result does not depend on it",
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="seed instead of the space's")
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


def _add_data_and_place(parser: argparse.ArgumentParser, name: str) -> None:
    """Adds on which images a command works and where its run directory is."""
    parser.add_argument("--data", metavar="NAME_OR_PATH", help="data set instead of the space's")
    parser.add_argument(
        "--limit", type=_positive, metavar="N", help="use at most N training images, balanced"
    )
    parser.add_argument(
        "--directory", default="runs", metavar="DIR", help="where run directories are (runs)"
    )
    parser.add_argument("--name", help=f"name of the run directory ({name})")


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")


def _add_look(parser: argparse.ArgumentParser) -> None:
    """Adds what every command that ends with an answer takes."""
    parser.add_argument(
        "--more", action="store_true", help="go on to the next planned look, with more seeds"
    )
    parser.add_argument(
        "--seeds", type=_seeds, metavar="N", help="seeds at the first look (the space's, or 5)"
    )
    parser.add_argument("--workers", type=_workers, metavar="N", help="trainings side by side")
    parser.add_argument("--json", action="store_true", help="print the answer as JSON")


def confirm_parser() -> argparse.ArgumentParser:
    """The arguments of `confirm`."""
    parser = _Parser(
        prog="cbam-search confirm",
        description="Answers whether attention helps: trains the best of a finished search, "
        "published attention and the network without attention with fresh seeds, and compares "
        "them on the test images. Going on after a stop is the same command.",
    )
    _add_run(parser)
    _add_look(parser)
    parser.add_argument(
        "--top",
        type=_positive,
        metavar="N",
        help="kinds of attention compared (the space's, or 3)",
    )
    return parser


def compare_parser() -> argparse.ArgumentParser:
    """The arguments of `compare`."""
    parser = _Parser(
        prog="cbam-search compare",
        description="Compares what a space offers without a search: its presets and every "
        "combination of its attention's choices against the network without attention, over "
        "fresh seeds, on the test images. Going on after a stop is the same command.",
    )
    parser.add_argument("--space", required=True, metavar="FILE_OR_NAME", help="as for a search")
    _add_data_and_place(parser, "the space's name, -compared")
    _add_look(parser)
    return parser


def importance_parser() -> argparse.ArgumentParser:
    """The arguments of `importance`."""
    parser = _Parser(
        prog="cbam-search importance",
        description="Prints which settings mattered in a search, and the mean score of each of "
        "their values.",
    )
    _add_run(parser)
    parser.add_argument(
        "--epochs",
        type=_positive,
        metavar="N",
        help="compare the trainings after N epochs (the most that ten trainings have)",
    )
    parser.add_argument(
        "--one-factor",
        type=Path,
        metavar="FILE",
        help="write a space for `cbam-search compare`: the best attention, and each change of "
        "one of its settings",
    )
    parser.add_argument("--json", action="store_true", help="print as JSON")
    return parser


def export_parser() -> argparse.ArgumentParser:
    """The arguments of `export`."""
    parser = _Parser(
        prog="cbam-search export", description="Exports the best model of a run to RUN/best."
    )
    _add_run(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def summary_parser() -> argparse.ArgumentParser:
    """The arguments of `summary`."""
    parser = _Parser(prog="cbam-search summary", description="Prints every trial of a run.")
    _add_run(parser)
    parser.add_argument(
        "--format", choices=("table", "csv", "json", "markdown"), default="table", help="(table)"
    )
    return parser


def sites_parser() -> argparse.ArgumentParser:
    """The arguments of `sites`."""
    parser = _Parser(
        prog="cbam-search sites",
        description="Lists where attention can go in a space's backbone: layer, stage, port, "
        "channels, map size, and the parameters and multiply-adds it would add. Nothing is "
        "trained or written.",
    )
    parser.add_argument("--space", required=True, metavar="FILE_OR_NAME", help="as for a search")
    parser.add_argument("--data", metavar="NAME_OR_PATH", help="data set instead of the space's")
    parser.add_argument(
        "--image",
        type=_image,
        metavar="HxWxC",
        help="size and channels of an image, instead of looking into the data",
    )
    parser.add_argument(
        "--format", choices=("table", "csv", "json"), default="table", help="(table)"
    )
    return parser


def verify_parser() -> argparse.ArgumentParser:
    """The arguments of `verify`."""
    parser = _Parser(
        prog="cbam-search verify",
        description="Checks journal, decisions, curves and scores, data, checkpoints, "
        "KerasTuner's views and the exported model of a run, and lists what is wrong.",
    )
    _add_run(parser)
    parser.add_argument("--repair", action="store_true", help="rebuild wrong or missing views")
    return parser


def _image(text: str) -> tuple[int, int, int]:
    try:
        height, width, channels = (_whole(part, 1, MAX_SIDE) for part in text.lower().split("x"))
    except (argparse.ArgumentTypeError, ValueError):
        raise argparse.ArgumentTypeError(
            f"expected HEIGHTxWIDTHxCHANNELS, such as 32x32x3, each from 1 to {MAX_SIDE}. "
            f"Received: {text[:60]}"
        ) from None
    return height, width, channels


def _positive(text: str) -> int:
    return _whole(text, 1, MAX_COUNT)


def _seeds(text: str) -> int:
    return _whole(text, 2, 40)


def _workers(text: str) -> int:
    return _whole(text, 1, MAX_WORKERS)


def _seed(text: str) -> int:
    return _whole(text, -MAX_COUNT, MAX_COUNT)


def _whole(text: str, minimum: int, maximum: int) -> int:
    """The whole number that a text is, written as Python writes it."""
    shape = re.fullmatch(r"[+-]?[0-9]{1,20}", text.strip())
    value = int(text) if shape else None
    if value is None or not minimum <= value <= maximum:
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {minimum} to {maximum}. Received: {text[:60]}"
        )
    return value
