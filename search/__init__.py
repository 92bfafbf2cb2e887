"""How it is searched: the driver's side, and the worker's side of a trial.

The names below are the public ones; modules further down may change freely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.runs.run import load_run
    from search.space.loading import load_space

__version__ = "0.4.0"
__all__ = ["load_run", "load_space"]


def __getattr__(name: str) -> Any:
    """The public functions when they are asked for: importing `search` loads no framework."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from search.imports.keras_in_driver import import_keras_without_tensorflow

    import_keras_without_tensorflow()
    from search.runs.run import load_run
    from search.space.loading import load_space

    return {"load_run": load_run, "load_space": load_space}[name]
