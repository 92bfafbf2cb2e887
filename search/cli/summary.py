"""`cbam-search summary`: prints every trial of a run."""

from __future__ import annotations

import argparse

from search.analysis.summary import rows, to_csv, to_json, to_markdown
from search.cli.common import console_of
from search.display.report import print_table
from search.runs.run import load_run


def carry_out(options: argparse.Namespace) -> int:
    """Prints the trials in the form that is asked for."""
    state = load_run(options.run)
    if options.format == "csv":
        print(to_csv(rows(state)), end="")
    elif options.format == "json":
        print(to_json(state), end="")
    elif options.format == "markdown":
        print(to_markdown(state), end="")
    else:
        print_table(console_of(options), state)
    return 0
