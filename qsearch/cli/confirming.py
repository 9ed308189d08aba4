"""A yes before something is destroyed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from qsearch.cli.program import shell_line

if TYPE_CHECKING:
    from qsearch.cli.session import Session


def must_be_sure(question: str, command: str, *, yes: bool) -> None:
    """Ask on the terminal, unless the answer was given.

    Args:
        question: yes does it.
        command: the line that does it without asking.
        yes: the answer was given with `-y`.

    Raises:
        UsageError: there is no terminal to ask on; has the line to type.
        Interrupted: the answer was no.
    """
    from qsearch.contracts.errors import Interrupted, UsageError
    from qsearch.report.escaping import visible

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError("this wants a yes, and there is no terminal to ask on", command)
    sys.stderr.write(f"{visible(question)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Interrupted("nothing was done")


def command_line(session: Session, *words: str) -> str:
    """A command of ours as it must be typed here, under the same settings; a password is never shown."""
    from qsearch.spec.settings import without_passwords

    flags: list[str] = []
    for name, value in session.flags.items():
        if value is not None and name != "color" and without_passwords(value) == value:
            flags += [f"--{name.replace('_', '-')}", value]
    return shell_line(*flags, *words)
