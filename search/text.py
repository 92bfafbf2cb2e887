"""Makes other people's text safe for a terminal, a Markdown file or a spreadsheet.

Names, labels, keys, reasons and paths come from whoever made the data, the space or the
journal. They are shown as what they are: no control character acts, nothing becomes markup
or a formula.
"""

from __future__ import annotations

import re
import shlex
import unicodedata

_CONTROLS = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode's categories of controls, lone surrogates, line and paragraph separators."""

_BIDI = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F))} | {
    *map(chr, range(0x2066, 0x206A))
}
"""The characters that turn the direction of what follows (Unicode's Bidi_Control)."""

_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def printable(text: object) -> str:
    r"""The text with every control character escaped.

    Args:
        text: Anything; its `str` is taken.

    Returns:
        A string of one line in which control characters, marks that turn the direction of
        writing, line separators and lone surrogates stand as `\n`, `\x1b`, `\u202e`; all
        that can be seen, in any script, is as it was.

    Example:

    >>> printable("\x1b[31mred")
    '\\x1b[31mred'
    """
    return _escaped(str(text), kept="")


def printable_lines(text: object) -> str:
    """`printable`, but line breaks and tabs stay: for texts of several lines."""
    return _escaped(str(text), kept="\n\t")


def _escaped(text: str, kept: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char in kept else _seen(char) for char in text)


def _seen(char: str) -> str:
    if unicodedata.category(char) not in _CONTROLS and char not in _BIDI:
        return char
    number = ord(char)
    if 0xDC80 <= number <= 0xDCFF:  # a byte of a file name that is no text
        number -= 0xDC00
    return _NAMED.get(char) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def readable(text: str) -> bool:
    """Whether a text has no lone surrogates, so that every program can take it."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def shell_line(words: list[str]) -> str:
    """A command as a person can paste it into a shell, whatever its words hold."""
    return " ".join(_shell_word(word) for word in words)


def _shell_word(word: str) -> str:
    if printable(word) == word:
        return shlex.quote(word)
    # Bash, zsh and ksh read the escapes of $'...'; bytes stay bytes.
    return "$'" + "".join(map(_shell_char, word)) + "'"


def _shell_char(char: str) -> str:
    if char in "\\'":
        return "\\" + char
    if printable(char) == char:
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def wrapped(text: str, width: int) -> str:
    """Breaks lines at spaces alone; a word or a path that is longer than a line stays whole.

    Args:
        text: String; its own line breaks stay, and what a line is indented by.
        width: Integer, columns of the terminal.
    """
    return "\n".join(_wrapped_line(line, width) for line in text.split("\n"))


def _wrapped_line(line: str, width: int) -> str:
    if columns(line) <= width:
        return line
    first, *words = line.lstrip(" ").split(" ")
    lines = [line[: len(line) - len(line.lstrip(" "))] + first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if columns(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def columns(text: str) -> int:
    """The columns that a text takes on a terminal: wide characters take two, marks none."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


_MARKUP = re.compile(r"[\\`*\[\]<>|~$&]|(?<!\w)_|_(?!\w)|:(?=\w+:)")


def markdown(text: object) -> str:
    r"""The text as Markdown shows it: `a|b` is `a\|b`, on one line, without markup or HTML."""
    return _MARKUP.sub(r"\\\g<0>", printable(re.sub(r"[ \t\r\n]+", " ", str(text))))


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula."""


def spreadsheet(value: object) -> object:
    """A value as a cell of a CSV file.

    Numbers are left alone. A text has its control characters escaped but for line breaks,
    and where it begins as a formula does, an apostrophe before it, which spreadsheets take
    for the mark of a text.
    """
    if not isinstance(value, str):
        return value
    text = printable_lines(value)
    return f"'{text}" if value.startswith(_FORMULA) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?", text) is not None


def pluralize(count: int, what: str, several: str | None = None) -> str:
    """`1 epoch`, `2 epochs`, `10,000 trials`; `several` is a plural that is not `what` and s."""
    number = f"{count:,}" if count >= 10_000 else str(count)
    return f"{number} {what if count == 1 else several or what + 's'}"
