"""Keras without scikit-learn, in the driver and in the fork server."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def without_scikit_learn() -> Iterator[None]:
    """Has Keras, where it is imported in the block, do without scikit-learn.

    Wherever that is installed Keras imports it, for classes that wrap models; nothing here
    uses them, and it is a third of a second and 600 modules.
    """
    if "sklearn" in sys.modules:
        yield
        return
    sys.modules["sklearn"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["sklearn"]
