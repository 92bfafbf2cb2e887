"""`python -m search` is `cbam-search`, and the installed command runs this module too."""

import sys

from search.imports.import_path import forget_current_folder

forget_current_folder()  # before anything else is imported

from search.cli.commands import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
