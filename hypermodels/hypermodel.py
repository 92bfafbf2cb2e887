"""`kt.HyperModel` classes: a search space over attention for every backbone family.

They declare their tuned knobs as KerasTuner hyperparameters, so they work in this
package's own search and in stock tuners alike.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner as kt
import numpy as np

from hypermodels.image import ImageSpec
from hypermodels.knobs import Setting, Value
from hypermodels.settings.configuration import Configuration, sections
from hypermodels.settings.recipe import Budget
from hypermodels.training.batches import BatchSource
from hypermodels.training.data import (
    checked_data_set,
    checked_images,
    checked_labels,
    is_data_set,
    one_hot,
)
from hypermodels.training.model import training_model


class AttentionHyperModel(kt.HyperModel):
    """A backbone with attention. Any setting can be fixed or tuned.

    Args:
        image: The `ImageSpec`: image shape, classes, normalization.
        budget: The `Budget` over which the learning rate schedule is stretched.
        backbone: Mapping of backbone knobs to values or domains.
        attention: Mapping of attention knobs to values or domains.
        recipe: Mapping of recipe knobs to values or domains.
        seed: Integer; initial weights, order and augmentation are derived from it.
        batch_size: Integer, used when `fit` receives arrays.

    Raises:
        KnobError: If a knob is unknown or cannot take its value.

    Example:

    >>> hypermodel = AttentionHyperModel(
    ...     ImageSpec((32, 32, 3), 10),
    ...     Budget(epochs=9, steps_per_epoch=14),
    ...     attention={"type": Choice(("none", "se", "cbam"))},
    ... )
    >>> tuner = kt.RandomSearch(hypermodel, "val_accuracy", max_trials=3)
    """

    def __init__(
        self,
        image: ImageSpec,
        budget: Budget,
        *,
        backbone: Mapping[str, Setting] | None = None,
        attention: Mapping[str, Setting] | None = None,
        recipe: Mapping[str, Setting] | None = None,
        seed: int = 0,
        batch_size: int = 128,
    ) -> None:
        super().__init__(name="attention")
        self.image = image
        self.budget = budget
        given = {"backbone": backbone, "attention": attention, "recipe": recipe}
        self.settings: dict[str, Mapping[str, Setting]] = {
            section.name: section.accept(given[section.name] or {}) for section in sections()
        }
        self.seed = seed
        self.batch_size = batch_size

    def declare_hyperparameters(self, hp: kt.HyperParameters) -> None:
        """Declares every tuned knob, each in the scope of the variants that have it."""
        for section in sections(self.settings):
            section.declare(hp, self.settings[section.name])

    def configuration(self, hp: kt.HyperParameters) -> Configuration:
        """The configuration that `hp`'s values stand for."""
        self.declare_hyperparameters(hp)
        values: dict[str, Value] = {
            name: bool(value) if self._is_boolean(name) else value
            for name, value in hp.values.items()
        }
        return Configuration.resolve(self.settings, values)

    def build(self, hp: kt.HyperParameters) -> keras.Model:
        """Builds and compiles the model of `hp`'s values."""
        configuration = self.configuration(hp)
        return training_model(configuration, self.image, self.budget, seed=self.seed)

    def fit(self, hp: kt.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        """Trains `model` as `model.fit` does; class numbers are turned to one-hot.

        When `x` and `y` are arrays, batches come from a `BatchSource` with the recipe's
        augmentation; a data set object is passed on once its batches have been looked at.
        With weight averaging, the averages are what is validated and what a checkpoint
        callback saves.

        Args:
            hp: The `kt.HyperParameters` that `model` was built from.
            model: A model of `build`.
            *args: As `keras.Model.fit` takes them.
            **kwargs: As `keras.Model.fit` takes them. With arrays, not `sample_weight`,
                `steps_per_epoch` and `shuffle=False`: each epoch goes once over all images,
                in the order of the seed.

        Returns:
            The `History` of `keras.Model.fit`.

        Raises:
            ValueError: If images are not `uint8` or of another shape than the network
                takes, a label is of no class, or an argument is one of the above. All of
                it holds for `validation_data` as well.
        """
        given = dict(inspect.signature(model.fit).bind(*args, **kwargs).arguments)
        recipe = self.configuration(hp).recipe
        if float(recipe["weight_averaging"]) > 0:
            # First of all, so that callbacks at an epoch's end see the averages.
            swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
            given["callbacks"] = [swap, *(given.get("callbacks") or ())]
        x, y = given.pop("x", None), given.pop("y", None)
        if is_data_set(x):
            self._check_validation(given)
            return model.fit(checked_data_set(x, self.image, "x"), y, **given)
        _refuse_ignored(given)
        x = checked_images(x, self.image, "x")
        y = checked_labels(y, len(x), self.image.classes, "y")
        share = float(given.pop("validation_split", None) or 0.0)
        if share:
            kept = math.floor(len(x) * (1.0 - share))  # the last ones validate, as in Keras
            given["validation_data"] = (x[kept:], y[kept:])
            x, y = x[:kept], y[:kept]
        batch_size = int(given.pop("batch_size", None) or self.batch_size)
        if self._check_validation(given):
            given.setdefault("validation_batch_size", batch_size)
        source = BatchSource(x, y, self.image.classes, batch_size, self.seed, recipe)
        batches = _Epochs(source, int(given.get("initial_epoch", 0)))
        begin = keras.callbacks.LambdaCallback(lambda epoch, logs: batches.to(epoch))
        given["callbacks"] = [begin, *(given.get("callbacks") or ())]
        # Keras would shuffle the batches of a PyDataset by Python's global generator.
        return model.fit(batches, **{**given, "shuffle": False})

    def _check_validation(self, given: dict[str, Any]) -> bool:
        """Checks `validation_data` in place; returns whether it is arrays."""
        validation = given.get("validation_data")
        if validation is None:
            return False
        if is_data_set(validation):
            given["validation_data"] = checked_data_set(validation, self.image, "validation_data")
            return False
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise ValueError(
                "validation_data is a data set, or a tuple of images and labels. Received: "
                f"{type(validation).__name__}."
            )
        images = checked_images(validation[0], self.image, "validation_data")
        classes = self.image.classes
        labels = checked_labels(
            validation[1], len(images), classes, "the labels of validation_data"
        )
        given["validation_data"] = (images, one_hot(labels, classes), *validation[2:])
        return True

    def _is_boolean(self, name: str) -> bool:
        return any(
            section.path(knob) == name and knob.kind == "boolean"
            for section in sections(self.settings)
            for knob, _ in section.tuned(self.settings[section.name])
        )


def _refuse_ignored(given: dict[str, Any]) -> None:
    """Refuses the arguments of `keras.Model.fit` that a fixed order of batches leaves no room for.

    Raises:
        ValueError: If one of them is given.
    """
    for name in ("sample_weight", "steps_per_epoch"):
        if given.get(name) is not None:
            raise ValueError(
                f"{name} is not taken with arrays: every epoch goes once over all images. Pass a "
                "data set object instead, or leave it out."
            )
    if given.get("shuffle") is False:
        raise ValueError(
            "shuffle=False is not taken with arrays: the order comes from the seed and the "
            "epoch. Pass a data set object instead, or leave it out."
        )
    share = given.get("validation_split") or 0.0
    if not 0 <= share < 1:
        raise ValueError(f"validation_split is at least 0 and below 1. Received: {share}.")
    if share and given.get("validation_data") is not None:
        raise ValueError("validation_split and validation_data are given. Leave one of them out.")


class _Epochs(keras.utils.PyDataset):
    """A `BatchSource` as Keras's `fit` takes it; each epoch has its own order.

    Which epoch it is comes from a callback: Keras also calls `on_epoch_end` of a data set
    once before the first epoch, so counting those calls would start with the second.
    """

    def __init__(self, source: BatchSource, first: int) -> None:
        super().__init__()
        self._source = source
        self.to(first)

    def to(self, epoch: int) -> None:
        """Goes to the batches of `epoch`."""
        self._batches = list(self._source.epoch(epoch))

    def __len__(self) -> int:
        return self._source.steps_per_epoch

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self._batches[index]


class FamilyHyperModel(AttentionHyperModel):
    """`AttentionHyperModel` over one family; a subclass says which.

    Args:
        image: The `ImageSpec`.
        budget: The `Budget`.
        backbone: Mapping of the family's knobs (such as `depth`) to values or domains.
        **kwargs: As for `AttentionHyperModel`.
    """

    family: str

    def __init__(
        self,
        image: ImageSpec,
        budget: Budget,
        *,
        backbone: Mapping[str, Setting] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            image, budget, backbone={**(backbone or {}), "family": self.family}, **kwargs
        )


class ResNetV1HyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over ResNet v1 (basic blocks, 6n+2 layers)."""

    family = "resnet_v1"


class ResNetV2HyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over ResNet v2 (pre-activation bottlenecks, 9n+2 layers)."""

    family = "resnet_v2"


class ResNeXtHyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over ResNeXt (grouped bottlenecks)."""

    family = "resnext"


class MobileNetHyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over MobileNet v1 (depthwise separable blocks)."""

    family = "mobilenet"


class DenseNetHyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over DenseNet (densely connected blocks)."""

    family = "densenet"


class InceptionV3HyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over Inception v3 (mixed blocks)."""

    family = "inception_v3"


class InceptionResNetV2HyperModel(FamilyHyperModel):
    """`AttentionHyperModel` over Inception-ResNet v2 (residual Inception blocks)."""

    family = "inception_resnet_v2"
