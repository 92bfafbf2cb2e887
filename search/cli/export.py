"""`cbam-search export`: exports the best model of a run, finished or not."""

from __future__ import annotations

import argparse
import json

from search.analysis.summary import write_summary
from search.cli.common import absolute, check_readable, console_of, executor_of, result_of
from search.display.narrator import Narrator
from search.display.report import print_export
from search.driver.export import export_best
from search.driver.opening import open_run
from search.driver.signals import Interrupted, Signals
from search.runs.run import load_run, space_of


def carry_out(options: argparse.Namespace) -> int:
    """Exports, unless that is done already, and says what it is worth."""
    space = space_of(load_run(options.run), options.run)
    check_readable("the run directory", absolute(options.run))
    console = console_of(options)
    with (
        Signals().caught() as signals,
        open_run(space, options.run, restore_data=True, progress=Narrator(signals.check)) as run,
    ):
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
