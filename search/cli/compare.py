"""`cbam-search compare`: an answer without a search, on what a space offers."""

from __future__ import annotations

import argparse
from pathlib import Path

from hypermodels.networks.cost import CostModel
from search.algorithms.confirmation import MOST_ARMS, Arm
from search.candidates.arms import arms_of_space
from search.cli.common import console_of, run_directory
from search.cli.confirm import confirm, say, say_stopped, settings_of
from search.display.narrator import Narrator
from search.driver.opening import open_run
from search.driver.signals import Interrupted, Signals
from search.errors import SpaceError
from search.space.loading import load_space
from search.space.space import Space
from search.text import shell_line


def carry_out(options: argparse.Namespace) -> int:
    """Runs or resumes a comparison."""
    space = load_space(options.space).override("data", name=options.data, limit=options.limit)
    check_comparable(space)
    path = run_directory(options, f"{Path(options.space).stem}-compared")
    console = console_of(options)
    again = ["compare", "--space", options.space]
    again += ["--directory", options.directory, "--name", path.name]
    with (
        Signals().caught() as signals,
        open_run(
            space, path, restore_data=True, searching=True, progress=Narrator(signals.check)
        ) as run,
    ):

        def arms(costs: CostModel) -> tuple[list[Arm], list[str]]:
            found, notices = arms_of_space(space, costs)
            if len(found) > MOST_ARMS:
                raise SpaceError(
                    f"{space.source}: a comparison has at most {MOST_ARMS} arms, and the space "
                    f"offers {len(found)}. Offer fewer values."
                )
            return found, notices

        settings = settings_of(run, options)
        try:
            answer = confirm(
                run, options.workers, signals, console, settings, arms, more=options.more
            )
        except Interrupted as stop:
            return say_stopped(console, run, stop, again)
        return say(console, run, answer, as_json=options.json)


def check_comparable(space: Space) -> None:
    """Makes sure that nothing but attention differs between the arms.

    Raises:
        SpaceError: If something else is tuned, or a value is not one of a list.
    """
    for name, (_, _, domain) in space.tuned().items():
        if not name.startswith("attention."):
            raise SpaceError(
                f"{space.source}: {name} is tuned. A comparison trains all arms alike: fix it, "
                f"or search first: {shell_line(['cbam-search', '--space', space.source])}"
            )
        if not hasattr(domain, "values"):
            raise SpaceError(
                f"{space.source}: {name} is a range. A comparison has an arm for every value: "
                "write {choice: [...]}."
            )
