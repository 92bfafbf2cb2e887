"""Text of others: what can be seen is as it was, what would act is escaped."""

from __future__ import annotations

import io
import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from search.display.console import cells, make_console, make_table, print_prose, print_table
from search.text import (
    markdown,
    pluralize,
    printable,
    printable_lines,
    readable,
    shell_line,
    spreadsheet,
    wrapped,
)

SEEN = [
    *("cat", "Gr\u00f6\u00dfe", "\u732b", "\u0642\u0637\u0629", "\u05d7\u05ea\u05d5\u05dc"),
    *("\u0643\u062a\u0627\u0628\u200c\u0647\u0627", "\U0001f469\u200d\U0001f467", "a\u00a0b"),
    *("[red]x", ":smile:", "\\[", "[/]"),
]
ESCAPED = {
    "\x1b[31mred": r"\x1b[31mred",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "a\nb\tc\r": r"a\nb\tc\r",
    "\x7f\x80\x9b31m\x85": r"\x7f\x80\x9b31m\x85",
    "gpj.\u202eexe": r"gpj.\u202eexe",
    "\u2066a\u2069\u200f": r"\u2066a\u2069\u200f",
    "a\u2028b\u2029": r"a\u2028b\u2029",
    "\ud800": r"\ud800",
    "caf\udce9": r"caf\xe9",
}


@pytest.mark.parametrize("text", SEEN)
def test_what_can_be_seen_is_as_it_was(text: str) -> None:
    assert printable(text) == printable_lines(text) == text


@pytest.mark.parametrize("text", ESCAPED)
def test_what_would_act_is_escaped(text: str) -> None:
    assert printable(text) == ESCAPED[text]


def test_lines_keep_their_breaks() -> None:
    assert printable_lines("a\n\tb\r\x1b") == "a\n\tb\\r\\x1b"


@given(st.text())
def test_any_text_becomes_one_line_that_any_program_takes(text: str) -> None:
    shown = printable(text)
    assert readable(shown) and len(shown.splitlines()) <= 1
    assert shown.encode("utf-8").decode() == printable(shown) == shown


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_a_command_can_be_pasted(word: str) -> None:
    said = shell_line(["printf", "%s", word])
    assert printable(said) == said
    if printable(word) == word:
        assert shlex.split(said)[2] == word


def test_a_command_with_bytes_that_are_no_text_can_be_pasted() -> None:
    word = "it's \x1b[31m caf\udce9 \\ \u202e"
    said = shell_line(["printf", "%s", word])
    done = subprocess.run(["bash", "-c", said], capture_output=True, check=True)
    assert done.stdout == word.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("[x](y)", r"\[x\](y)"),
        ("![x](y)", r"!\[x\](y)"),
        ("**bold** and _low_", r"\*\*bold\*\* and \_low\_"),
        ("channel_first", "channel_first"),
        ("`code` &lt; ~~x~~", r"\`code\` \&lt; \~\~x\~\~"),
        ("a\nb\r\n c", "a b c"),
        ("\x1b[2J", r"\\x1b\[2J"),
        ("\\|", r"\\\|"),
        (":smile:", r"\:smile:"),
        (12, "12"),
    ],
)
def test_a_name_is_no_markup(text: object, expected: str) -> None:
    assert markdown(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('=cmd|" /C calc"!A0', '\'=cmd|" /C calc"!A0'),
        ("+1+1", "'+1+1"),
        ("-x", "'-x"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\\r=1"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        (-5, -5),
        (-0.5, -0.5),
        (None, None),
        ("a=b", "a=b"),
        ("two\nlines\x1b", "two\nlines\\x1b"),
    ],
)
def test_a_cell_is_no_formula(value: object, expected: object) -> None:
    assert spreadsheet(value) == expected


def test_lines_are_broken_at_spaces_alone() -> None:
    path = "/a/very/long/path/that/is/longer/than/a/line"
    text = f"Exported to {path} and more words here.\n  indented command --with options"
    lines = wrapped(text, 20).split("\n")
    assert path in lines and "  indented command" in lines
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert all(len(line) <= 20 for line in lines if line != path)
    assert wrapped("漢字 " * 6, 10).split("\n")[0] == "漢字 漢字"


def test_one_is_not_many() -> None:
    assert pluralize(1, "trial") == "1 trial"
    assert pluralize(0, "trial") == "0 trials"
    assert pluralize(12_345, "trial") == "12,345 trials"


# ---- on the terminal --------------------------------------------------------------------


def console(width: int, *, terminal: bool) -> tuple[Console, io.StringIO]:
    made, text = make_console(), io.StringIO()
    made.file, made.width = text, width
    made._force_terminal, made.no_color = terminal, True
    return made, text


@pytest.mark.parametrize("terminal", [True, False])
def test_prose_is_broken_on_a_terminal_and_nowhere_else(terminal: bool) -> None:
    made, text = console(30, terminal=terminal)
    said = "Kept in runs/[red]x/:smile:/[/]/a_long_name_for_a_run_directory and here \x1b[31m."
    print_prose(made, said)
    printed = text.getvalue()
    assert " ".join(printed.split()) == printable_lines(said)
    assert (len(printed.splitlines()) > 1) == terminal


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("width", [20, 60, 200])
def test_a_table_cuts_no_word(width: int, terminal: bool) -> None:
    made, text = console(width, terminal=terminal)
    table = make_table()
    table.add_column("trial", no_wrap=True)
    table.add_column("attention")
    table.add_column("recipe")
    words = ["[red]x", "[/b]", ":smile:", "a_word_of_many_letters", "spatial_kernel_size=7"]
    table.add_row(*cells("0000", " ".join(words), "lr=0.0123456 wd=0.000123 \x1b[2J"))
    print_table(made, table)
    printed = text.getvalue()
    for word in ("0000", *words, "lr=0.0123456", "wd=0.000123", r"\x1b[2J"):
        assert word in printed
    assert made.width == width
