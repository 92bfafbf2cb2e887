"""Keras on the driver's backend, unless another suite of the same process loaded it first."""

from __future__ import annotations

from search.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()  # before anything here imports hypermodels
