"""`cbam-search export`: exports the best model of a run, finished or not."""

from __future__ import annotations

import argparse
import json

from search.analysis.summary import write_summary
from search.cli.common import console_of, executor_of, opened_again, result_of
from search.display.narrator import Narrator
from search.display.report import print_export
from search.driver.export import export_best
from search.driver.signals import Interrupted


def carry_out(options: argparse.Namespace) -> int:
    """Exports, unless that is done already, and says what it is worth."""
    console = console_of(options)
    with opened_again(options.run) as (run, signals):
        try:
            with executor_of(run, 1) as executor:
                exported = export_best(run, executor, Narrator(signals.check))
        except Interrupted as stop:
            return stop.exit_code
        write_summary(run.path, run.state)
        if options.json:
            print(json.dumps(result_of(run, exported), indent=2))
        else:
            print_export(console, exported)
    return 0
