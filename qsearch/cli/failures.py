"""How anything that went wrong becomes one to three lines on stderr and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

import typer

from qsearch.cli import exit_codes
from qsearch.cli.program import typed_within

if TYPE_CHECKING:
    from qsearch.contracts.errors import QSearchError

_GLOBAL = ("--database-url", "--artifacts", "--ray-address", "--config", "--color", "--debug")


def explain(error: BaseException, *, debug: bool, color: bool) -> int:
    """Say what went wrong; the exit code for it. A traceback is shown only for `--debug`."""
    from qsearch.contracts.errors import QSearchError

    if debug and not isinstance(error, typer.TyperException):
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, typer.TyperException):
        lines, code = _usage(error), error.exit_code
    elif isinstance(error, QSearchError):
        lines, code = _family(error, debug=debug), exit_codes.code_of(error)
    elif isinstance(error, KeyboardInterrupt | typer.Abort):
        lines, code = ["interrupted"], exit_codes.INTERRUPTED
    else:
        lines, code = _bug(error, debug=debug), exit_codes.BUG
    _say(lines, color=color)
    return code


def _usage(error: typer.TyperException) -> list[str]:
    """Typer's own refusals: a wrong command, option or value."""
    message = error.format_message().replace("\n\t", " ")
    context = getattr(error, "ctx", None)
    if context is not None and message == context.get_help():
        return [message]
    lines = [f"error: {message}"]
    option = getattr(error, "option_name", "")
    if option in _GLOBAL and "No such option" in message:
        return [f"error: {option} goes before the command", typed_within(f"qsearch {option} … COMMAND …")]
    if context is not None:
        lines.append(typed_within(f"Help: {context.command_path} --help"))
    return lines


def _family(error: QSearchError, *, debug: bool) -> list[str]:
    from qsearch.contracts.errors import SpecError, WorkFailed

    # NOTE: no "error:" before a place in a file; editors jump to a line that begins with file:line:column.
    lines = error.message.splitlines() if isinstance(error, SpecError) else [f"error: {error.message}"]
    if isinstance(error, WorkFailed) and error.tail:
        tail = [line for line in error.tail.splitlines() if line.strip()]
        lines += tail if debug else tail[-1:]
    return [*lines, typed_within(error.hint)] if error.hint else lines


def _bug(error: BaseException, *, debug: bool) -> list[str]:
    said = traceback.format_exception_only(error)[-1].strip()
    more = "The traceback is above." if debug else typed_within("See the traceback with: qsearch --debug COMMAND …")
    return [f"error: this is a bug of QSearch, not of your input: {said}", f"{more} Please report it with that."]


def _say(lines: list[str], *, color: bool) -> None:
    from qsearch.report.escaping import visible_lines

    for line in lines:
        shown = visible_lines(line)
        if color and shown.startswith("error:"):
            shown = f"\x1b[31merror:\x1b[0m{shown.removeprefix('error:')}"
        sys.stderr.write(shown + "\n")
