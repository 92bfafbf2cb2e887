"""`cbam-search verify`: checks a run against itself."""

from __future__ import annotations

import argparse

from search.errors import VerificationError
from search.text import pluralize, printable
from search.verifying.verify import verify


def carry_out(options: argparse.Namespace) -> int:
    """Says how much is as the journal says, or what is not."""
    findings = verify(options.run, repair=options.repair)
    if findings.wrong:
        lines = "\n".join(f"  {line}" for line in findings.wrong)
        raise VerificationError(f"{options.run} does not match its journal:\n{lines}")
    checked = ", ".join(
        pluralize(count, kind.removesuffix("s")) for kind, count in findings.checked.items()
    )
    print(printable(f"{options.run} matches its journal: {checked}."))
    return 0
