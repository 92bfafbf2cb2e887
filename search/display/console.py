"""The terminal: one way to make a console, to print prose and to print a table.

Nothing that is printed is markup: a name `[red]` is a name, `:smile:` is no picture.
"""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from search.text import columns, printable, printable_lines, wrapped

_ANY_WIDTH = 10_000


def make_console(*, plain: bool = False, to_stderr: bool = False) -> Console:
    """A console that interprets nothing of what it prints.

    Args:
        plain: Boolean, whether to print lines even on a terminal.
        to_stderr: Boolean, whether to print to standard error.
    """
    return Console(
        stderr=to_stderr,
        force_terminal=False if plain else None,
        markup=False,
        highlight=False,
        emoji=False,
    )


def print_prose(console: Console, text: str, style: str = "") -> None:
    """Prints sentences, broken at spaces alone; into a file or a pipe, not at all."""
    said = printable_lines(text)
    if console.is_terminal:
        said = wrapped(said, console.width)
    console.print(Text(said, style), soft_wrap=True)


def make_table() -> Table:
    """A table without lines."""
    return Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)


def print_table(console: Console, table: Table) -> None:
    """Prints a table in full: cells are broken at spaces, and a name is never cut short.

    Where the terminal is too narrow even so, or nothing is a terminal, the table is as wide
    as it has to be.
    """
    widest = Measurement.get(console, console.options.update(max_width=_ANY_WIDTH), table)
    for column in table.columns:
        if not column.no_wrap:
            words = [word for cell in column.cells for word in str(cell).split(" ")]
            column.min_width = max(map(columns, [*words, str(column.header)]))
    narrowest = Measurement.get(console, console.options.update(max_width=1), table).minimum
    wanted = narrowest if console.is_terminal else widest.maximum
    before, console.width = console.width, max(console.width, wanted)
    try:
        console.print(table, soft_wrap=True)
    finally:
        console.width = before


def cells(*values: object) -> list[str]:
    """Values as cells of a table, each on one line."""
    return [printable(value) for value in values]
