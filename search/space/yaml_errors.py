"""Errors of a YAML file in plain words: PyYAML's describe its parser."""

from __future__ import annotations

import re

import yaml

from search.errors import SpaceError
from search.text import printable

_SAID: tuple[tuple[str, str], ...] = (
    (
        r"found another document",
        "a space is one YAML document. Put all sections into one, without `---` between them",
    ),
    (
        r"found character '\\t'",
        "a tab stands here, which YAML takes for no indentation. Indent with spaces",
    ),
    (
        r"found character '(.+)' that cannot start",
        "a value cannot begin with {0}. Put it in quotes",
    ),
    (r"but found '([\]}])'", "a {0} closes no bracket. Remove it"),
    (
        r"mapping values are not allowed|but got ':'",
        "a colon stands where no key can. Write `key: value`, each on a line of its own, or "
        "`{{key: value, key: value}}`; put a text that holds a colon in quotes",
    ),
    (r"expected ',' or '([\]}])'", "a bracket is not closed, or a comma is missing: expected {0}"),
    (
        r"expected <block end>|expected the node content|sequence entries are not allowed",
        "the line does not fit those above it. Keys of one section begin in one column, and "
        "stand each on a line of its own as `key: value`",
    ),
    (r"but found ','", "a comma stands where a value is expected. Remove it"),
    (r"could not find expected ':'", "a key lacks its colon. Write `key: value`"),
    (r"unexpected end of stream", "a quotation mark is not closed"),
    (r"unexpected document separator", "a quotation mark is not closed before `---`"),
    (
        r"unknown escape character|expected escape sequence|escape sequence of",
        "a backslash in double quotes begins an escape. Use single quotes instead",
    ),
    (
        r"directive|YAML document|tag handle|YAML version",
        "YAML directives are not allowed. Leave them out",
    ),
    (r"duplicate anchor", "anchors are not allowed in a space. Write the value out"),
)
"""Patterns of PyYAML's sentences, and ours."""

_ANYTHING = (
    "this is not YAML. A space is made of `key: value` lines, `[a, b]` lists and `{key: value}`"
)


def syntax_error(name: str, error: yaml.MarkedYAMLError) -> SpaceError:
    """The error of a file that is not well-formed.

    Args:
        name: String, the file.
        error: What PyYAML met.

    Returns:
        A `SpaceError` with the line where it was met and, where that is another one, the
        line where what is not closed begins.
    """
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}" if mark else name
    said = _in_our_words(error.problem or error.context or "")
    began = error.context_mark
    if began and mark and began.line != mark.line and "not closed" in said:
        said += f" (it begins on line {began.line + 1})"
    return SpaceError(f"{where}: {said}.")


def _in_our_words(problem: str) -> str:
    for pattern, said in _SAID:
        found = re.search(pattern, problem)
        if found:
            return said.format(*map(printable, found.groups()))
    return _ANYTHING


def reader_error(name: str, text: str, error: yaml.reader.ReaderError) -> SpaceError:
    """The error of a character that no YAML file may hold."""
    line = text.count("\n", 0, error.position) + 1
    character = error.character
    shown = chr(character) if isinstance(character, int) else str(character)
    return SpaceError(
        f"{name}:{line}: the character {printable(shown)} is not allowed in YAML. Remove it."
    )


class Refused(Exception):
    """Something that YAML has and a space must not.

    Args:
        reason: String, a sentence without its full stop.
        line: Integer from 1.
    """

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line
