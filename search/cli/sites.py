"""`cbam-search sites`: lists where attention can go."""

from __future__ import annotations

import argparse
import json

from hypermodels.image import ImageSpec
from hypermodels.networks.cost import CostModel
from search.analysis.sites import site_table
from search.analysis.summary import to_csv
from search.cli.common import console_of
from search.display.console import make_console
from search.display.narrator import Narrator
from search.display.report import print_notices, print_sites
from search.driver.describing import describe_foreign
from search.runs.descriptions import Descriptions, notices_of
from search.space.data_of import image_of_data
from search.space.loading import load_space


def carry_out(options: argparse.Namespace) -> int:
    """Prints the places in the form that is asked for."""
    space = load_space(options.space).override("data", name=options.data)
    notices: list[str] = []
    if options.image:
        image = ImageSpec(options.image, classes=10)
    else:
        image, notices = image_of_data(space, Narrator())
    described = describe_foreign(space, image, {}, Narrator())
    notices = [*space.notices, *notices, *notices_of(described)]
    table = site_table(space, CostModel(image, Descriptions(described)))
    if options.format == "csv":
        print(to_csv(table), end="")
    elif options.format == "json":
        print(json.dumps(table, indent=2))
    else:
        print_sites(console_of(options), table, space.configuration({}).backbone)
    print_notices(make_console(to_stderr=True), notices)
    return 0
