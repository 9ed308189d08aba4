"""The program's name as a person must type it here."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

_NAME = "qsearch"


def typed(command: str) -> str:
    """A command of ours, ready to be typed.

    `qsearch …` becomes `.venv/bin/qsearch …` where the program was started like that and is not on
    PATH, and `PYTHON -m qsearch …` where Python was told to run the package. Any other text is left
    alone.
    """
    words = command.lstrip(" ")
    if words != _NAME and not words.startswith(f"{_NAME} "):
        return command
    return command[: len(command) - len(words)] + _program() + words[len(_NAME) :]


def _program() -> str:
    called = Path(sys.argv[0])
    if (called.parent.name, called.name) == (_NAME, "__main__.py"):
        return f"{shlex.quote(sys.executable)} -m {_NAME}"
    found = shutil.which(_NAME)
    if called.name != _NAME or not called.is_file() or (found and Path(found).samefile(called)):
        return _NAME
    return shlex.quote(sys.argv[0])
