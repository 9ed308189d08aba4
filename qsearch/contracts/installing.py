"""How QSearch is installed, in the words of a hint.

NOTE: `qsearch` on the public package index is somebody else's package, so no hint may send anybody
there: QSearch is installed from its own folder. The pip is that of the interpreter that raises the
error, because the first `pip` of a shell's path often belongs to another one.
"""

from __future__ import annotations

import shlex
import sys


def install_hint(extra: str = "") -> str:
    """What to type for QSearch with an extra of pyproject.toml ("plots"); without, for QSearch itself, anew."""
    python = shlex.quote(sys.executable or "python3")
    what = f"'.[{extra}]'" if extra else "."
    return f"In the folder of QSearch: {python} -m pip install --editable {what}"
