"""What can be built and trained: backbones, attention and their search spaces.

Keras and KerasTuner only, no search. Importing it makes Keras know every layer that an
exported `model.keras` can hold, so that `keras.saving.load_model` opens the file. The names
below are the public ones; modules further down may change freely.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hypermodels import attention, image
from hypermodels.image import ImageSpec
from hypermodels.knobs import Choice, FloatRange, IntRange
from hypermodels.networks import serving
from hypermodels.settings.recipe import Budget

if TYPE_CHECKING:
    from hypermodels.hypermodel import (
        AttentionHyperModel,
        DenseNetHyperModel,
        InceptionResNetV2HyperModel,
        InceptionV3HyperModel,
        MobileNetHyperModel,
        ResNetV1HyperModel,
        ResNetV2HyperModel,
        ResNeXtHyperModel,
    )

__all__ = [
    "AttentionHyperModel",
    "Budget",
    "Choice",
    "DenseNetHyperModel",
    "FloatRange",
    "ImageSpec",
    "InceptionResNetV2HyperModel",
    "InceptionV3HyperModel",
    "IntRange",
    "MobileNetHyperModel",
    "ResNetV1HyperModel",
    "ResNetV2HyperModel",
    "ResNeXtHyperModel",
    "attention",
    "image",
    "serving",
]


def __getattr__(name: str) -> Any:
    """The HyperModel classes when they are asked for: KerasTuner takes a second to import."""
    if name in __all__:
        return getattr(importlib.import_module("hypermodels.hypermodel"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
