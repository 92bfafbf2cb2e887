"""YAML text to plain values that remember their line, within safe bounds.

PyYAML's safe loader alone would expand a few hundred bytes of aliases to gigabytes,
recurse until Python gives up, keep the last of two equal keys without a word, and read
numbers as YAML 1.1 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from search.errors import SpaceError
from search.space.yaml_errors import Refused, reader_error, syntax_error
from search.space.yaml_scalars import misread, number

MAX_BYTES = 100_000
MAX_DEPTH = 12


@dataclass(frozen=True)
class Node:
    """A value of a YAML file and the line it stands on.

    Args:
        value: A scalar, a list of `Node`, or a dict from string to `Node`.
        line: Integer from 1.
        written: String, an unquoted scalar as it stands in the file, else empty.
    """

    value: Any
    line: int
    written: str = ""

    def plain(self) -> Any:
        """The value without line numbers."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def at(self, location: tuple[str | int, ...]) -> Node:
        """The node at a path of keys and indices."""
        found = self
        for key in location:
            found = found.value[key]
        return found


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
    except Refused as error:
        raise SpaceError(f"{name}:{error.line}: {error}.") from error
    except yaml.MarkedYAMLError as error:
        raise syntax_error(name, error) from error
    except yaml.reader.ReaderError as error:
        raise reader_error(name, text, error) from error
    if not isinstance(node.value, dict):
        raise SpaceError(
            f"{name}:{node.line}: a space is a mapping with keys such as `backbone:`. "
            f"Received: {type(node.value).__name__}."
        )
    return node


class _Loader(yaml.SafeLoader):
    """Composes nodes without aliases and tags, and to a bounded depth."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise Refused(
                f"alias *{event.anchor} is not allowed in a space; write the value out", line
            )
        if getattr(event, "tag", None) is not None:
            raise Refused(
                f"the tag {_shown_tag(event.tag)} is not allowed in a space; leave it out", line
            )
        if self._depth >= MAX_DEPTH:
            raise Refused(f"nested deeper than {MAX_DEPTH} levels", line)
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


def _shown_tag(tag: str) -> str:
    standard = "tag:yaml.org,2002:"
    return f"!!{tag.removeprefix(standard)}" if tag.startswith(standard) else tag


def _convert(loader: _Loader, node: yaml.Node, name: str) -> Node:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = _key(loader, key_node, name)
            if key in entries:
                raise SpaceError(
                    f"{name}:{key_node.start_mark.line + 1}: the key {key!r} stands here "
                    f"and on line {entries[key].line}. Keep one of them."
                )
            entries[key] = _convert(loader, value_node, name)
        return Node(entries, line)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(loader, item, name) for item in node.value], line)
    assert isinstance(node, yaml.ScalarNode)
    return Node(_scalar(loader, node, name), line, node.value if node.style is None else "")


def _key(loader: _Loader, node: yaml.Node, name: str) -> str:
    where = f"{name}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.ScalarNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
        raise SpaceError(f"{where}: keys are words. Received: {kind}.")
    if node.style is None and node.value == "<<":
        raise SpaceError(
            f"{where}: the merge key << is not allowed in a space; write the keys out."
        )
    key = _scalar(loader, node, name)
    if isinstance(key, str):
        return key
    as_written = node.value.lower() in ("", str(key).lower())
    read = "" if as_written else f", which YAML reads as {_plain(key)}"
    raise SpaceError(f"{where}: keys are words. Received: {node.value or 'nothing'}{read}.")


def _plain(value: Any) -> str:
    return "nothing" if value is None else str(value).lower()


def _scalar(loader: _Loader, node: yaml.ScalarNode, name: str) -> Any:
    where = f"{name}:{node.start_mark.line + 1}"
    if node.style is not None:
        try:  # JSON, which is YAML, writes some characters as two escapes
            return node.value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise SpaceError(
                f"{where}: half a character (a lone surrogate) stands in a text."
            ) from error
    reason = misread(node.value)
    if reason is not None:
        raise SpaceError(f"{where}: {reason}.")
    if node.value == "=":  # a value of its own in YAML 1.1
        return "="
    value = loader.construct_object(node)
    as_number = number(node.value) if isinstance(value, str) else None
    return value if as_number is None else as_number
