"""From the `data` section of a space to the data set and what it says of itself."""

from __future__ import annotations

from hypermodels.image import ImageSpec
from search.data import (
    Dataset,
    Progress,
    SplitSettings,
    count_classes,
    imbalance_notice,
    load_dataset,
    no_progress,
)
from search.space.image_spec import image_of, image_of_name
from search.space.space import Space


def split_settings(space: Space) -> SplitSettings:
    """The space's `data:` section as the data package takes it."""
    validation = space.data.validation
    return SplitSettings(
        int(validation) if validation >= 1 else validation,
        space.data.limit or None,
        space.search.seed,
    )


def data_notices(dataset: Dataset, settings: SplitSettings) -> list[str]:
    """Notices about the data and its splits.

    Raises:
        DataError: If the splits cannot be cut.
    """
    uneven = imbalance_notice(count_classes(dataset, settings), dataset.class_names)
    return [*dataset.notices, uneven] if uneven else list(dataset.notices)


def image_of_data(space: Space, progress: Progress = no_progress) -> tuple[ImageSpec, list[str]]:
    """The `ImageSpec` of a space, without preparing its data.

    Returns:
        The `ImageSpec`, and sentences on what was left out or assumed of the data.

    Raises:
        DataError: If the search would refuse the data.
    """
    known = image_of_name(space.data.name)
    if known is not None:
        return known, []
    dataset = dataset_of(space, progress)
    return image_of(dataset), data_notices(dataset, split_settings(space))


def dataset_of(space: Space, progress: Progress) -> Dataset:
    return load_dataset(
        space.data.name,
        test_fraction=space.data.test_fraction,
        image_size=space.data.image_size or None,
        progress=progress,
    )
