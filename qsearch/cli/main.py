"""The entry point: parse, run, and turn whatever happens into an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from qsearch.cli.exit_codes import USAGE
from qsearch.cli.output import ReaderGone
from qsearch.cli.plain import PLAIN, register
from qsearch.cli.session import DeskFactory, Session, service_desk


def main(argv: Sequence[str] | None = None, *, desk_factory: DeskFactory | None = None) -> int:
    """Run one command line; the exit code (see `exit_codes`).

    Args:
        argv: arguments without the program's name; None takes the process's own.
        desk_factory: opens the desk; a test's seam. None opens the service's.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.stdout is None:
        # `>&-`; nothing is started whose answer nobody could ever see
        sys.stderr.write("error: standard output is closed, and the answer goes there\nGive it one: > FILE\n")
        return USAGE
    register()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that is not UTF-8 must not turn × into a bug, nor into an escape.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAIN)
    try:
        return _run(arguments, desk_factory or service_desk)
    except ReaderGone:
        _drop_what_is_left()
        return 0


def _run(arguments: list[str], desk_factory: DeskFactory) -> int:
    from qsearch.cli.app import build

    command = typer.main.get_command(build())
    session = Session(open_desk=desk_factory)
    try:
        # NOTE: not `command.main`, which would print errors by itself and end the process.
        with command.make_context("qsearch", arguments, obj=desk_factory) as context:
            try:
                command.invoke(context)
            finally:
                session = context.obj if isinstance(context.obj, Session) else session
    except typer.Exit as ended:
        return ended.exit_code
    except (ReaderGone, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 the last door: nothing is swallowed, all of it is explained
        from qsearch.cli.failures import explain

        error = _full(error) or error
        return explain(error, debug=session.debug, color=session.colored(sys.stderr))
    return 0


def _full(error: BaseException) -> BaseException | None:
    """What to say when it was stdout that could not be written; None when it was something else.

    NOTE: which of a process's files an OSError of a write belongs to, it does not say itself. What
    could not be written is still buffered, so that a flush fails once more; without a buffer an empty
    write does where nothing can ever be written.
    """
    if not isinstance(error, OSError) or error.filename is not None:
        return None
    try:
        sys.stdout.flush()
        with suppress(io.UnsupportedOperation):
            os.write(sys.stdout.fileno(), b"")
    except OSError as refused:
        from qsearch.cli.output import unwritable

        _drop_what_is_left()
        return unwritable(refused)
    return None


def _drop_what_is_left() -> None:
    """What is still buffered for stdout goes nowhere, quietly, also when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
