"""The worker's side of looking at a network that somebody else wrote: build it, try it."""

from __future__ import annotations

import traceback
from typing import Any

from hypermodels.errors import BackboneError, reason_of
from hypermodels.networks.checking import check_own_network
from hypermodels.networks.description import describe_backbone
from search.messages import DescribeRequest
from search.worker.train import Report


def describe(request: DescribeRequest, report: Report) -> dict[str, Any]:
    """Builds a network and tries it on a few images.

    Returns:
        A dict as the journal's record `backbone` has it: the `description`, or `None` and
        why the network is `refused`; and `notices`.
    """
    try:
        notices = check_own_network(request.settings, request.image)
        description = describe_backbone(request.settings, request.image)
    except BackboneError as error:
        return {"description": None, "refused": str(error), "notices": []}
    except Exception as error:  # of a layer of a person's own
        traceback.print_exc()
        refused = f"backbone.model: {request.settings['model']}: {reason_of(error)}"
        return {"description": None, "refused": refused, "notices": []}
    return {"description": description.to_dict(), "refused": None, "notices": list(notices)}
