"""The worker's side of a look: what a confirmation's training does on the test images."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from hypermodels.settings.configuration import Configuration
from search.data import open_prepared, open_test
from search.messages import Assignment
from search.runs.layout import data_folder
from search.worker.train import (
    Report,
    compiled_model,
    figures_of,
    load_finished,
    predict,
    use_averaged_weights,
)


def score(assignment: Assignment, report: Report) -> dict[str, Any]:
    """Scores the test images with a finished training.

    Args:
        assignment: The `Assignment`, as it was trained.
        report: Not called.

    Returns:
        A dict with `accuracy`, `loss` (cross-entropy), the number of `images`, and `right`:
        one bit an image, packed, in base64.

    Raises:
        ExportError: If the checkpoint does not stand at the training's last epoch.
    """
    data = open_prepared(data_folder(assignment.run_directory))
    model = compiled_model(assignment, data, Configuration.from_dict(assignment.configuration))
    load_finished(assignment, model, data)
    use_averaged_weights(model)
    test = open_test(data_folder(assignment.run_directory))
    scores = predict(model, test.images)
    right = scores.argmax(axis=1) == test.labels
    return {
        **figures_of(scores, test.labels),
        "images": len(right),
        "right": base64.b64encode(np.packbits(right).tobytes()).decode("ascii"),
    }
