"""YAML to a validated `Space`: every fault is named with its file and line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.errors import SpaceError, did_you_mean
from search.space.reader import SpaceReader
from search.space.space import Space
from search.space.yaml_nodes import Node, parse_yaml, read_yaml

_MOST_PROBLEMS = 20


def shipped_spaces() -> dict[str, Path]:
    """The spaces that come with the package, by name."""
    package = Path(__file__).parents[1]
    for folder in (package / "spaces", package.parent / "spaces"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def load_space(name: str) -> Space:
    """Loads a space from a file, or one that ships with the package by its name.

    Args:
        name: String, a path such as `spaces/resnet.yaml` or a name such as `resnet`.

    Returns:
        A validated `Space`.

    Raises:
        SpaceError: If there is no such space or anything in it is wrong; all faults are
            listed, each with its line, what was expected and what was received.
    """
    path = Path(name)
    shipped = shipped_spaces()
    try:
        there = path.exists() and not (name in shipped and path.is_dir())
    except OSError as error:
        raise SpaceError(f"cannot read the space {name}: {error.strerror or error}.") from error
    if there or path.suffix in (".yaml", ".yml") or path.parent != Path("."):
        if not there:
            hint = did_you_mean(path.stem, shipped).replace("mean", "mean the shipped space")
            raise SpaceError(f"there is no space at {path}.{hint}")
        return build_space(read_yaml(path), name)
    if name not in shipped:
        raise SpaceError(
            f"there is no space called {name!r}.{did_you_mean(name, shipped)} "
            f"Shipped spaces: {', '.join(shipped)}; or give the path of a YAML file."
        )
    return build_space(read_yaml(shipped[name]), name)


def parse_space(text: str, name: str = "space") -> Space:
    """Validates a space given as YAML text. See `load_space`."""
    return build_space(parse_yaml(text, name), name)


def recorded_space(content: Mapping[str, Any], name: str) -> Space:
    """Validates a space as `Space.to_dict` wrote it out. See `load_space`."""
    return build_space(parse_yaml(json.dumps(content), name), name, written_out=True)


def build_space(root: Node, source: str, *, written_out: bool = False) -> Space:
    """Validates a parsed space; see `load_space` and, for `written_out`, `SpaceReader`."""
    reader = SpaceReader(source, written_out=written_out)
    space = reader.space(root)
    if reader.problems:
        count = len(reader.problems)
        head = f"{count} problems in {source}:\n" if count > 1 else ""
        rest = count - _MOST_PROBLEMS
        tail = f"\nand {rest} more." if rest > 0 else ""
        raise SpaceError(head + "\n".join(reader.problems[:_MOST_PROBLEMS]) + tail)
    return space
