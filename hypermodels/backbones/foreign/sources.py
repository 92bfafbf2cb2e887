"""A person's code: a function by its name, and the files that it is written in."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypermodels.backbones.foreign.own_code import allow, spec_in, taken_by
from hypermodels.errors import BackboneError, reason_of


def imported(reference: str) -> Callable[..., Any]:
    """The function that `package.module:function` names.

    Raises:
        BackboneError: If there is none, or its module cannot be imported.
    """
    module_name, _, function_name = reference.partition(":")
    _look_here(module_name)
    try:
        with _search_path_without_here():
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # a module runs whatever a person wrote
        raise BackboneError(
            f"backbone.model: {module_name} cannot be imported: {reason_of(error)}. "
            "Expected package.module:function, importable from the current directory"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        what = "nothing" if function is None else f"a {type(function).__name__}"
        raise BackboneError(
            f"backbone.model: {module_name} must have a function {function_name}. "
            f"Received: {what} of that name in {getattr(module, '__file__', None)}"
        )
    found: Callable[..., Any] = function
    return found


def source_files(module_name: str) -> tuple[Path, ...]:
    """The file of a module and its packages, and of all they import from their own folder.

    Nothing is run but the packages that the module is in. Installed packages have
    versions, which are for others to watch: of those, it is the module's file alone.

    Returns:
        Sorted paths, relative to the current directory where they are in it; empty if
        there is no such module.
    """
    try:
        _look_here(module_name)
        spec = importlib.util.find_spec(module_name)
    except Exception:  # a package that fails, or what is no module; `imported` says which
        return ()
    if spec is None or not spec.has_location or spec.origin is None:
        return ()
    path = Path(spec.origin).resolve()
    files = {module_name: path}
    if path.suffix == ".py" and "site-packages" not in path.parts:
        root = path.parents[module_name.count(".") + (path.name == "__init__.py")]
        parts = module_name.split(".")
        packages = [".".join(parts[:end]) for end in range(1, len(parts))]
        files |= {name: file for name in packages if (file := _file(root, name))}
        waiting = list(files)
        while waiting:
            name = waiting.pop()
            for other in _imports(files[name], name):
                file = _file(root, other)
                if file is not None and other not in files:
                    files[other] = file
                    waiting.append(other)
    here = Path.cwd()
    shown = {
        path.relative_to(here) if path.is_relative_to(here) else path for path in files.values()
    }
    return tuple(sorted(shown))


def _look_here(module_name: str) -> None:
    """Lets a module be imported from the current directory.

    Raises:
        BackboneError: If its name is another's, which would be imported instead.
    """
    name, here = module_name.partition(".")[0], Path.cwd()
    owner = taken_by(name, here)
    if owner:
        raise BackboneError(
            f"backbone.model: the name {name} is taken by {owner}, so what the current directory "
            "has under it cannot be imported. Rename it, and give its new name"
        )
    allow(name, here)


@contextlib.contextmanager
def _search_path_without_here() -> Iterator[None]:
    """Takes the current directory off Python's path again where the block puts it there.

    Modules do that to find their neighbors, which are found in any case.
    """
    before = list(sys.path)
    try:
        yield
    finally:
        here = os.getcwd()
        added = {entry for entry in sys.path if entry not in before}
        sys.path[:] = [
            entry
            for entry in sys.path
            if entry not in added or os.path.realpath(entry) != os.path.realpath(here)
        ]


def _file(root: Path, module_name: str) -> Path | None:
    """Where a module is under a folder, if it is there and importing it would find it there."""
    *packages, last = module_name.split(".")
    if spec_in(root, module_name.partition(".")[0]) is None:
        return None
    folder = root.joinpath(*packages)
    files = (folder / f"{last}.py", folder / last / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _imports(path: Path, module_name: str) -> Iterator[str]:
    """The modules that the code in a file imports, anywhere in it, and their packages."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return  # importing it fails too, and says why
    package = module_name if path.name == "__init__.py" else module_name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from . import x` in `a.b` is `a.x`.
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))
