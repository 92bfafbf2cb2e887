"""A folder of images: one sub-folder a class, or `train/`, `val/`, `test/` with such folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search.data.dataset import (
    Dataset,
    Split,
    checked_dataset,
    cut_notice,
    cut_test,
    validation_notice,
)
from search.data.decoding import Progress, decode, no_progress
from search.data.folder_layout import list_splits
from search.data.listing import Findings
from search.data.split_names import TEST, TRAIN, VALIDATION


def load_image_folder(
    path: Path,
    source: str,
    *,
    test_fraction: float,
    image_size: int | None,
    progress: Progress = no_progress,
) -> Dataset:
    """Loads a folder with one sub-folder of images a class.

    The names of the sub-folders, sorted, are the classes. Where there is `train/` with
    class folders, `val/` and `test/` (or their other names) beside it are the other
    splits, each used as it is. Every format that Pillow decodes is read. Images are
    turned as their EXIF orientation says, transparency is dropped, and of several frames
    the first is used; what is dropped or left out is in the notices.

    Args:
        path: The folder.
        source: What a person sees in messages.
        test_fraction: Share of each class cut off as test split where there is no `test/`.
        image_size: Height and width to which every image is brought (short side resized,
            bilinear, then cropped at the center), or `None`: all must have one size.
        progress: Called for every image.

    Returns:
        A `Dataset`; 1 channel when every image is gray, else 3.

    Raises:
        DataError: When Pillow is missing, the folder has fewer than two classes, a class
            has no image, images are broken, or they differ in size.
    """
    findings = Findings(path)
    listings = list_splits(path, findings)
    class_names = sorted(listings[TRAIN])
    files: list[Path] = []
    labels: list[int] = []
    bounds: dict[str, slice] = {}
    for kind, listing in listings.items():
        start = len(files)
        for label, name in enumerate(class_names):
            files += listing.get(name, [])
            labels += [label] * len(listing.get(name, []))
        bounds[kind] = slice(start, len(files))
    # All images are decoded together, so that one colored image makes all three-channel.
    images, origin = decode(files, image_size, findings, progress)
    every_label = np.array(labels, dtype=np.int64)
    splits = {kind: Split(images[part], every_label[part]) for kind, part in bounds.items()}
    train, validation = splits[TRAIN], splits.get(VALIDATION)
    if validation is not None:
        where = next(iter(listings[VALIDATION].values()))[0].parent.parent
        findings.sentences.append(validation_notice(validation, f"{findings.name(where)}/"))
    if TEST in splits:
        test = splits[TEST]
    else:
        train, test = cut_test(train, test_fraction, source)
        findings.sentences.append(cut_notice(test, train, test_fraction))
    return checked_dataset(
        train,
        test,
        class_names,
        source,
        validation=validation,
        notices=findings.notices(),
        origin=origin,
    )
