"""YAML text to plain values that remember their line, within safe bounds.

PyYAML's safe loader alone would expand a few hundred bytes of aliases to gigabytes,
recurse until Python gives up, and keep the last of two equal keys without a word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search.errors import SpaceError

MAX_BYTES = 100_000
MAX_DEPTH = 12
MAX_INTEGER = 2**63 - 1
# YAML 1.1, which PyYAML speaks, takes 1e-5 for a string because it has no dot.
_DOTLESS_FLOAT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


@dataclass(frozen=True)
class Node:
    """A value of a YAML file and the line it stands on.

    Args:
        value: A scalar, a list of `Node`, or a dict from string to `Node`.
        line: Integer from 1.
    """

    value: Any
    line: int

    def plain(self) -> Any:
        """The value without line numbers."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def read_yaml(path: Path) -> Node:
    """Reads a YAML file.

    Args:
        path: The file.

    Returns:
        The root `Node`, a mapping.

    Raises:
        SpaceError: If the file is missing, a folder, unreadable, empty, not text, larger
            than `MAX_BYTES`, malformed, nested too deep, uses aliases or has a key twice.
    """
    try:
        with path.open("rb") as file:  # a device or a pipe has no size to ask for
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpaceError(f"cannot read the space {path}: {error.strerror or error}.") from error
    if len(raw) > MAX_BYTES:
        raise SpaceError(
            f"{path} is not a space: it has more than {MAX_BYTES:,} bytes. "
            "A space is a short YAML file."
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpaceError(f"{path} is not a space: it is not UTF-8 text.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> Node:
    """Parses YAML text; `name` stands for the file in messages. See `read_yaml`."""
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise SpaceError(f"{name} is empty. A space needs at least `backbone:`.")
        node = _convert(loader, root, name)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise SpaceError(f"{where}: {error.problem or error.context}.") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpaceError(f"{name}:{line}: {str(error).splitlines()[0]}.") from error
    if not isinstance(node.value, dict):
        raise SpaceError(
            f"{name}:{node.line}: a space is a mapping with keys such as `backbone:`. "
            f"Received: {type(node.value).__name__}."
        )
    return node


class _Loader(yaml.SafeLoader):
    """Composes nodes without aliases and to a bounded depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem=f"alias *{event.anchor} is not allowed in a space; write the value out",
                problem_mark=event.start_mark,
            )
        if self._depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {MAX_DEPTH} levels",
                problem_mark=self.peek_event().start_mark,  # type: ignore[no-untyped-call]
            )
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _convert(loader: _Loader, node: yaml.Node, name: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = _scalar(loader, key_node, name)
            if not isinstance(key, str):
                raise SpaceError(
                    f"{name}:{key_node.start_mark.line + 1}: keys are words. Received: {key!r}."
                )
            if key in entries:
                raise SpaceError(
                    f"{name}:{key_node.start_mark.line + 1}: the key {key!r} stands here "
                    f"and on line {entries[key].line}. Keep one of them."
                )
            entries[key] = _convert(loader, value_node, name)
        return Node(entries, line)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(loader, item, name) for item in node.value], line)
    value = _scalar(loader, node, name)
    unquoted = isinstance(node, yaml.ScalarNode) and node.style is None
    if isinstance(value, str) and unquoted and _DOTLESS_FLOAT.fullmatch(value):
        value = float(value)
    return Node(value, line)


def _scalar(loader: _Loader, node: yaml.Node, name: str) -> Any:
    where = f"{name}:{node.start_mark.line + 1}"
    try:
        value = loader.construct_object(node)
    except yaml.MarkedYAMLError:
        raise
    except Exception as error:
        # PyYAML leaks whatever its constructors meet: `!!bool maybe` is a KeyError.
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        received = f"{str(node.value)[:40]!r}"
        raise SpaceError(f"{where}: this is no YAML {kind}. Received: {received}.") from error
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise SpaceError(f"{where}: the number is too large: above {MAX_INTEGER}.")
    return value
