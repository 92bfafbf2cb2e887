"""Nothing is imported from the current folder, whatever put it on Python's path.

`python -m` puts the current folder first, and an empty entry of `PYTHONPATH` stands for it: a
`random.py` that lies there would then be run in the place of Python's own. The one thing
that is imported from there, a model of the person's, is found by the finder in
`hypermodels/backbones/foreign/own_code.py`.

Imports nothing that is not loaded when Python starts: it runs before all else.
"""

from __future__ import annotations

import os
import sys

_ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def forget_current_folder() -> None:
    """Takes the current folder off `sys.path`.

    Where this program itself lies in it, as in a checkout, it goes to the end instead, so
    that it hides nothing.
    """
    if any(map(is_current_folder, sys.path)):
        others = [entry for entry in sys.path if not is_current_folder(entry)]
        sys.path[:] = [*others, _ROOT] if is_current_folder(_ROOT) else others


def is_current_folder(entry: str) -> bool:
    """Whether an entry of `sys.path` is the current folder, by whatever name."""
    try:
        return os.path.samefile(entry or os.curdir, os.curdir)
    except (OSError, ValueError):  # there is no such folder, or the current one is deleted
        return entry in ("", os.curdir)
