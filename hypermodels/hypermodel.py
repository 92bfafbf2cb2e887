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

from hypermodels.batches import BatchSource
from hypermodels.configuration import Configuration, sections
from hypermodels.knobs import Setting, Value
from hypermodels.network import ImageSpec
from hypermodels.recipe import Budget
from hypermodels.training import training_model


class AttentionHyperModel(kt.HyperModel):
    """A backbone with attention, of which any setting can be fixed or tuned.

    Args:
        image: The `ImageSpec`: image shape, classes, normalisation.
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
        """Trains `model` as `model.fit` does; integer labels are turned to one-hot.

        When `x` and `y` are arrays, batches come from a `BatchSource` with the recipe's
        augmentation; anything else (a data set object) is passed on as it is. With weight
        averaging, the averages are what is validated and what a checkpoint callback saves.

        Raises:
            ValueError: If the images are an array of another type than `uint8`.
        """
        given = dict(inspect.signature(model.fit).bind(*args, **kwargs).arguments)
        recipe = self.configuration(hp).recipe
        if float(recipe["weight_averaging"]) > 0:
            # First of all, so that callbacks at an epoch's end see the averages.
            swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
            given["callbacks"] = [swap, *(given.get("callbacks") or ())]
        x, y = given.pop("x", None), given.pop("y", None)
        if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
            return model.fit(x, y, **given)
        if x.dtype != np.uint8:
            raise ValueError(
                f"the network takes raw uint8 images, 0 to 255, and normalises them itself. "
                f"Received: an array of {x.dtype}."
            )
        share = float(given.pop("validation_split", None) or 0.0)
        if share and given.get("validation_data") is None:
            kept = math.floor(len(x) * (1.0 - share))  # the last ones validate, as in Keras
            given["validation_data"] = (x[kept:], y[kept:])
            x, y = x[:kept], y[:kept]
        batch_size = int(given.pop("batch_size", None) or self.batch_size)
        validation = given.get("validation_data")
        if isinstance(validation, tuple | list):
            images, labels, *weights = validation
            given["validation_data"] = (images, self._one_hot(labels), *weights)
            given.setdefault("validation_batch_size", batch_size)
        source = BatchSource(
            x,
            self._one_hot(y).argmax(axis=1),
            self.image.classes,
            batch_size,
            self.seed,
            recipe,
        )
        batches = _Epochs(source, int(given.get("initial_epoch", 0)))
        begin = keras.callbacks.LambdaCallback(lambda epoch, logs: batches.to(epoch))
        given["callbacks"] = [begin, *(given.get("callbacks") or ())]
        # Keras would shuffle the batches of a PyDataset by Python's global generator.
        return model.fit(batches, **{**given, "shuffle": False})

    def _one_hot(self, labels: Any) -> np.ndarray:
        received = np.asarray(labels)
        if received.ndim == 2 and received.shape[1] == self.image.classes > 1:
            return received
        one_hot: np.ndarray = np.eye(self.image.classes, dtype="float32")[received.reshape(-1)]
        return one_hot

    def _is_boolean(self, name: str) -> bool:
        return any(
            section.path(knob) == name and knob.kind == "boolean"
            for section in sections(self.settings)
            for knob, _ in section.tuned(self.settings[section.name])
        )


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
