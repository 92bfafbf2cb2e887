"""What is asked of a split, and the manifest that says what a prepared folder holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from search.data.class_counts import ClassCounts
from search.errors import DataError

MANIFEST = "data.json"
FORMAT = 1
FILES = (
    "train_images.npy",
    "train_labels.npy",
    "validation_images.npy",
    "validation_labels.npy",
    "test/test_images.npy",
    "test/test_labels.npy",
)


@dataclass(frozen=True)
class SplitSettings:
    """What a space's `data:` says about the splits.

    Args:
        validation: Integer, how many training images to validate on, or float, which
            fraction of them; of no effect where the data has a validation split. Defaults
            to `0.1`.
        limit: Integer, how many training images to keep, balanced over the classes and
            before the validation cut, or `None` for all. Defaults to `None`.
        seed: Integer, which images these are. Defaults to `0`.
    """

    validation: int | float = 0.1
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class PreparedInfo:
    """The manifest of a prepared folder.

    Args:
        source: Name or path of the data set, as a person gave it.
        class_names: One name a class, in the order of the labels.
        image_shape: `(height, width, channels)`.
        train_count: Number of training images.
        validation_count: Number of validation images.
        test_count: Number of test images.
        validation: The setting behind `validation_count`.
        limit: The setting that kept so many training images, or `None`.
        seed: The seed of the split.
        mean: Mean of each channel over the training images, on the scale 0..255.
        std: Standard deviation of each channel, likewise.
        sha256: SHA-256 of each file's bytes, by its name in the folder.
        class_counts: Images of each class by split; none in manifests of version 0.1.
        own_validation: Boolean, whether the validation images were the source's own and
            not cut from its training images. Defaults to `False`.
    """

    source: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train_count: int
    validation_count: int
    test_count: int
    validation: int | float
    limit: int | None
    seed: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sha256: Mapping[str, str] = field(hash=False)
    class_counts: ClassCounts = field(hash=False, default_factory=dict)
    own_validation: bool = False

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the contents: arrays and class names, wherever they came from."""
        content = {
            "class_names": list(self.class_names),
            "sha256": {name: self.sha256[name] for name in FILES},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode("ascii")).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON values; `from_dict` reads it back."""
        return {
            "format": FORMAT,
            "source": self.source,
            "class_names": list(self.class_names),
            "image_shape": list(self.image_shape),
            "counts": {
                "train": self.train_count,
                "validation": self.validation_count,
                "test": self.test_count,
            },
            "settings": {
                "validation": self.validation,
                "limit": self.limit,
                "seed": self.seed,
            },
            "mean": list(self.mean),
            "std": list(self.std),
            "class_counts": {name: list(each) for name, each in self.class_counts.items()},
            "own_validation": self.own_validation,
            "sha256": dict(self.sha256),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_dict(cls, values: Any, origin: str = MANIFEST) -> PreparedInfo:
        """Reads what `to_dict` gave.

        Args:
            values: JSON values.
            origin: Path of the manifest, for messages.

        Raises:
            DataError: When the format is another one, an entry is missing or malformed,
                or the entries do not have the fingerprint they state.
        """
        received = values.get("format") if isinstance(values, dict) else type(values).__name__
        if received != FORMAT:
            raise DataError(
                f"{origin} is no manifest that this version reads. Expected format {FORMAT}. "
                f"Received: format={received!r}. Use the version of cbam-search that wrote it, "
                "or prepare the data anew in another run directory."
            )
        try:
            info = _parse(cls, values)
            if info.fingerprint != values["fingerprint"]:
                raise ValueError("a fingerprint that is not that of the entries")
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise DataError(
                f"{origin} is damaged. Expected a manifest as it was written when the search "
                f"started. Received: {type(error).__name__}: {error}. Move its folder to "
                "another place and start the command again: it prepares the data anew."
            ) from error
        return info


def _parse(cls: type[PreparedInfo], values: Mapping[str, Any]) -> PreparedInfo:
    counts, settings = values["counts"], values["settings"]
    height, width, channels = map(_integer, values["image_shape"])
    validation, limit = settings["validation"], settings["limit"]
    return cls(
        source=_string(values["source"]),
        class_names=tuple(map(_string, values["class_names"])),
        image_shape=(height, width, channels),
        train_count=_integer(counts["train"]),
        validation_count=_integer(counts["validation"]),
        test_count=_integer(counts["test"]),
        validation=validation if isinstance(validation, float) else _integer(validation),
        limit=None if limit is None else _integer(limit),
        seed=_integer(settings["seed"]),
        mean=tuple(float(value) for value in values["mean"]),
        std=tuple(float(value) for value in values["std"]),
        sha256={name: _string(values["sha256"][name]) for name in FILES},
        class_counts={
            _string(name): tuple(map(_integer, each))
            for name, each in values.get("class_counts", {}).items()
        },
        own_validation=values.get("own_validation", False) is True,
    )


def _integer(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError(f"{value!r} where a whole number belongs")


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    raise TypeError(f"{value!r} where a string belongs")
