"""What the images of the test split add to the noise of a difference.

A difference that is measured on one test split holds for those images. A claim about images
like them has to allow for another draw of them.

Reference:
    - [Variance components of a two-way layout](https://doi.org/10.1002/9780470316856)
    - [Calibrated Chaos: Variance Between Runs of Neural Network
      Training](https://arxiv.org/abs/2304.01910)
"""

from __future__ import annotations

import numpy as np


def variance_of_images(arm: np.ndarray, control: np.ndarray) -> float:
    """The variance that drawing other test images adds to a mean difference.

    Args:
        arm: Array `(seeds, images)`, 1 where the arm's network of a seed is right.
        control: Array of the same shape, that of the control.

    Returns:
        A float, in squared units of accuracy; what seeds contribute is not in it.
    """
    difference = arm.astype("float64") - control
    seeds, images = difference.shape
    if seeds < 2 or images < 2:
        return 0.0
    of_seeds, of_images = difference.mean(1), difference.mean(0)
    mean = float(difference.mean())
    square_seeds = images * float(((of_seeds - mean) ** 2).sum())
    square_images = seeds * float(((of_images - mean) ** 2).sum())
    square_all = float(((difference - mean) ** 2).sum())
    mean_images = square_images / (images - 1)
    mean_rest = (square_all - square_seeds - square_images) / ((seeds - 1) * (images - 1))
    return float(max(0.0, mean_images - mean_rest) / (seeds * images))


def noise_floor(first: np.ndarray, second: np.ndarray) -> float:
    """The standard deviation of a network's accuracy over seeds, from two trainings of it.

    Where networks of two seeds err independently, given an image, the share of images of
    which only one of them is right is twice that variance times the number of images. Two
    trainings tell it better than the spread of five scores does.

    Args:
        first: Array `(images,)`, 1 where the first training is right.
        second: Array `(images,)`, the other's.

    Returns:
        A float, in units of accuracy.
    """
    disagreement = float((first.astype(bool) != second.astype(bool)).mean())
    return float(np.sqrt(disagreement / (2 * len(first))))


def expected_noise(accuracy: float, images: int) -> float:
    """An upper limit of that deviation before anything is trained: that of independent images."""
    return float(np.sqrt(accuracy * (1 - accuracy) / images))
