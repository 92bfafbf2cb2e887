"""Training batches: a pure function of (seed, epoch), against a slow loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hypermodels.training.augmentation import cropped, flipped
from hypermodels.training.batches import BatchSource

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (23, 5, 7, 3), dtype="uint8")
LABELS = np.arange(23) % 4
NONE = {"augmentation": "none", "crop_padding": 2}


def source(seed: int = 1, batch_size: int = 5, **recipe: Any) -> BatchSource:
    return BatchSource(IMAGES, LABELS, 4, batch_size, seed, {**NONE, **recipe})


def epoch(source: BatchSource, number: int) -> tuple[np.ndarray, np.ndarray]:
    batches = list(source.epoch(number))
    return np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])


def places(images: np.ndarray) -> list[int]:
    """Which of IMAGES each image is."""
    table = {image.tobytes(): place for place, image in enumerate(IMAGES)}
    return [table[image.tobytes()] for image in images]


def test_shapes_and_types() -> None:
    made = source(augmentation="flip+crop")
    batches = list(made.epoch(0))
    assert len(batches) == made.steps_per_epoch == 4
    for images, labels in batches:
        assert (images.shape, images.dtype) == ((5, 5, 7, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((5, 4), np.float32)
        assert (labels.sum(axis=1) == 1).all() and set(np.unique(labels)) == {0.0, 1.0}


@pytest.mark.parametrize("augmentation", ["none", "flip", "flip+crop"])
def test_a_function_of_seed_and_epoch(augmentation: str) -> None:
    first = epoch(source(augmentation=augmentation), 3)
    np.random.seed(5)
    made = source(augmentation=augmentation)
    epoch(made, 7)  # what came before does not matter
    again = epoch(made, 3)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (epoch(made, 4)[0] != first[0]).any()
    assert (epoch(source(2, augmentation=augmentation), 3)[0] != first[0]).any()
    # (1, 2) and (2, 1) are different pairs
    assert (epoch(source(1), 2)[0] != epoch(source(2), 1)[0]).any()


def test_every_image_at_most_once_and_all_over_some_epochs() -> None:
    seen: set[int] = set()
    for number in range(6):
        images, labels = epoch(source(), number)
        chosen = places(images)
        assert len(chosen) == len(set(chosen)) == 20
        assert [LABELS[place] for place in chosen] == labels.argmax(axis=1).tolist()
        seen |= set(chosen)
    assert seen == set(range(23))


def test_batch_larger_than_the_data() -> None:
    made = source(batch_size=100)
    assert (made.step_size, made.steps_per_epoch) == (23, 1)
    ((images, _),) = made.epoch(0)
    assert sorted(places(images)) == list(range(23))


def test_augmentation_does_not_change_which_images_come_when() -> None:
    plain = epoch(source(), 2)
    flips = epoch(source(augmentation="flip"), 2)
    np.testing.assert_array_equal(plain[1], flips[1])
    mirrored = 0
    for a, b in zip(plain[0], flips[0], strict=True):
        same, turned = (a == b).all(), (a[:, ::-1] == b).all()
        assert same or turned
        mirrored += int(not same)
    assert 3 <= mirrored <= 17


def test_flips_do_not_depend_on_the_padding() -> None:
    """The padding is not used with `flip`, so it must not change anything there."""
    one = epoch(source(augmentation="flip", crop_padding=1), 0)
    two = epoch(source(augmentation="flip", crop_padding=9), 0)
    np.testing.assert_array_equal(one[0], two[0])


def slow_crop(image: np.ndarray, row: int, column: int, padding: int) -> np.ndarray:
    height, width, _ = image.shape
    result = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            from_y, from_x = y + row - padding, x + column - padding
            if 0 <= from_y < height and 0 <= from_x < width:
                result[y, x] = image[from_y, from_x]
    return result


@pytest.mark.parametrize("padding", [1, 4, 9])
def test_crop_against_a_loop(padding: int) -> None:
    offsets = RANDOM.integers(0, 2 * padding + 1, (23, 2))
    offsets[0], offsets[1], offsets[2] = (0, 0), (2 * padding, 2 * padding), (padding, padding)
    result = cropped(IMAGES, offsets, padding)
    assert result.dtype == np.uint8
    for image, (row, column), made in zip(IMAGES, offsets, result, strict=True):
        np.testing.assert_array_equal(made, slow_crop(image, row, column, padding))
    np.testing.assert_array_equal(result[2], IMAGES[2])  # the middle window is the image


def test_flip_against_a_loop() -> None:
    flips = RANDOM.random(23) < 0.5
    result = flipped(IMAGES, flips)
    assert result.dtype == np.uint8
    for image, flip, made in zip(IMAGES, flips, result, strict=True):
        for y, x in np.ndindex(5, 7):
            np.testing.assert_array_equal(made[y, x], image[y, 6 - x if flip else x])


def test_flip_and_crop_together() -> None:
    """Each image of the epoch is one of the windows of itself or of its mirror image."""
    plain = epoch(source(), 1)[0]
    made = epoch(source(augmentation="flip+crop", crop_padding=2), 1)[0]
    windows = set()
    for image, result in zip(plain, made, strict=True):
        found = [
            (row, column, flip)
            for row, column, flip in np.ndindex(5, 5, 2)
            if (slow_crop(image, row, column, 2)[:, :: -1 if flip else 1] == result).all()
        ]
        assert found
        windows.add(found[0])
    assert len(windows) > 10
    assert {flip for _, _, flip in windows} == {0, 1}


def test_flips_and_windows_are_spread_evenly() -> None:
    ramp = np.zeros((2000, 1, 9, 1), "uint8")
    ramp[:] = np.arange(1, 10)[None, None, :, None]
    recipe = {"augmentation": "flip+crop", "crop_padding": 1}
    ((images, _),) = BatchSource(ramp, np.zeros(2000, int), 2, 2000, 0, recipe).epoch(0)
    inside = images[:, 0, 4, 0]
    outside = int((images.max(axis=(1, 2, 3)) == 0).sum())
    assert outside == pytest.approx(2000 * 2 / 3, abs=120)  # rows above and below the image
    counts = {value: int((inside == value).sum()) for value in (4, 5, 6)}
    for count in counts.values():
        assert count == pytest.approx((2000 - outside) / 3, abs=80)


def test_memory_mapped_images_are_read_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    made = BatchSource(mapped, LABELS, 4, 5, 1, {**NONE, "augmentation": "flip+crop"})
    np.testing.assert_array_equal(epoch(made, 0)[0], epoch(source(augmentation="flip+crop"), 0)[0])
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), IMAGES)
