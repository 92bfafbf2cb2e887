"""`python -m search` is `cbam-search`."""

import sys

from search.cli import main

sys.exit(main())
