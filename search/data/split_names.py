"""The names that people give to the splits of a data set, in any capitalization."""

from __future__ import annotations

TRAIN = "train"
VALIDATION = "validation"
TEST = "test"

SPLIT_NAMES = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation"),
    TEST: ("test", "testing"),
}

_KINDS = {name: kind for kind, names in SPLIT_NAMES.items() for name in names}


def split_of(name: str) -> str | None:
    """The split that a name stands for, or `None`."""
    return _KINDS.get(name.lower())
