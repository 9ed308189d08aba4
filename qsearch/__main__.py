"""`python -m qsearch` is the command `qsearch`."""

from __future__ import annotations

import sys

from qsearch.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
