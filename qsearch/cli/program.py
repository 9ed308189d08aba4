"""The program's name as a person must type it here."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

from qsearch.cli.journey import JOURNEY

_NAME = "qsearch"
#: our name before one of our commands, or alone, in the middle of a sentence
_COMMAND = re.compile(rf"(?<![\w/.-]){_NAME}(?= (?:{'|'.join(n for names in JOURNEY.values() for n in names)}|--)|$)")


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


def shell_line(*words: str) -> str:
    """A command of ours with these arguments, each quoted where a shell would split or expand it."""
    return typed(f"{_NAME} {shlex.join(words)}")


def typed_within(text: str) -> str:
    """A sentence in which every command of ours is ready to be typed."""
    return _COMMAND.sub(lambda found: _program(), text)


def _program() -> str:
    called = Path(sys.argv[0])
    if (called.parent.name, called.name) == (_NAME, "__main__.py"):
        return f"{shlex.quote(sys.executable)} -m {_NAME}"
    found = shutil.which(_NAME)
    if called.name != _NAME or not called.is_file() or (found and Path(found).samefile(called)):
        return _NAME
    return shlex.quote(sys.argv[0])
