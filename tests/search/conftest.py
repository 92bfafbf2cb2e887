"""What the `search` suite shares. The driver never loads TensorFlow, so neither does this."""

from __future__ import annotations

from search.keras_in_driver import import_keras_without_tensorflow

import_keras_without_tensorflow()  # before anything here imports hypermodels
