"""What the driver knows of networks that a person's own code builds.

The code runs in a worker process, once, before anything is written; what it built is
described in the journal. So the driver never runs it, and whoever reads a run needs none
of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hypermodels.backbones import get_family
from hypermodels.errors import BackboneError
from hypermodels.image import ImageSpec
from hypermodels.knobs import Value
from hypermodels.networks.description import BackboneDescription, describe_backbone
from hypermodels.settings.configuration import digest
from search.errors import RunDirectoryError
from search.runs.records import BackboneDescribed

Settings = Mapping[str, Value]


class Descriptions:
    """Describes backbones to a `CostModel`: foreign ones from records, others by building.

    Args:
        records: What is known of foreign ones, by the digest of their settings.
    """

    def __init__(self, records: Mapping[str, BackboneDescribed]) -> None:
        self._records = records

    def __call__(self, settings: Settings, image: ImageSpec) -> BackboneDescription:
        """Returns the description of a backbone.

        Raises:
            BackboneError: If the backbone was refused, or nothing is known of it.
            RunDirectoryError: If the record is none that this program wrote.
        """
        if not is_foreign(settings):
            return describe_backbone(settings, image)
        record = self._records.get(digest(dict(settings)))
        if record is None:
            raise BackboneError(f"the journal has no description of {settings['model']}")
        if record.description is None:
            raise BackboneError(str(record.refused))
        try:
            return BackboneDescription.from_dict(record.description)
        except (KeyError, TypeError, ValueError) as error:
            raise RunDirectoryError(
                f"the journal describes the backbone {settings['model']} in a way that "
                f"cbam-search does not write: {error}. Restore the journal from a copy."
            ) from error


def is_foreign(settings: Settings) -> bool:
    """Whether somebody else's code builds the backbone."""
    return get_family(str(settings["family"])).foreign


def notices_of(described: Mapping[str, BackboneDescribed]) -> list[str]:
    """Notices about foreign backbones, each sentence once."""
    return list(
        dict.fromkeys(notice for record in described.values() for notice in record.notices)
    )
