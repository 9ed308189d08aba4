"""The entry point: parse, run, and turn whatever happens into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from qsearch.cli.output import ReaderGone
from qsearch.cli.session import DeskFactory, Session, service_desk


def main(argv: Sequence[str] | None = None, *, desk_factory: DeskFactory | None = None) -> int:
    """Run one command line; the exit code (see `exit_codes`).

    Args:
        argv: arguments without the program's name; None takes the process's own.
        desk_factory: opens the desk; a test's seam. None opens the service's.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that is not UTF-8 must not turn × into a bug.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return _run(arguments, desk_factory or service_desk)
    except ReaderGone:
        # What is still buffered goes nowhere, quietly, also when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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

        return explain(error, debug=session.debug, color=session.colored(sys.stderr))
    return 0
