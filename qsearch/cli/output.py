"""The answer on stdout: text forms as they are, tables through rich."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from qsearch.cli.options import Form
    from qsearch.cli.session import Session
    from qsearch.contracts.errors import QSearchError
    from qsearch.report.answer import Answer, Table

#: width of a table that nobody looks at in a terminal. COLUMNS is not asked there: it tells of the
#: terminal the command was typed in, and who reads the file or the pipe wants one line for each row
_WIDE = 240


class ReaderGone(Exception):
    """Whoever read stdout has closed it (`| head`): there is nobody left to answer.

    NOTE: a name of its own, because a BrokenPipeError of a worker's or a database's pipe is no such
    thing and must not end quietly.
    """


def answer(session: Session, said: Answer, form: Form) -> None:
    """Print an answer in the form asked for. Nothing else may be written to stdout.

    Raises:
        ReaderGone: stdout was closed by its reader.
    """
    if form == "table":
        print_text(tables_text(session, said.tables, sys.stdout))
        return
    from qsearch.report.writers import write

    print_text(write(said, form))


def print_lines(lines: Sequence[str]) -> None:
    """Plain lines of the answer, each made safe for a terminal. Raises ReaderGone."""
    from qsearch.report.escaping import visible

    print_text("".join(f"{visible(line)}\n" for line in lines))


def print_text(text: str) -> None:
    """Text of the answer, as it is. Raises ReaderGone."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGone from error
    except OSError as error:
        with suppress(OSError):
            # what is left in the buffer would fail once more when the process ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise unwritable(error) from error


def unwritable(error: OSError) -> QSearchError:
    """What it means to the user that stdout takes nothing: its disk is full, for example."""
    from qsearch.contracts.errors import Unreachable

    return Unreachable(
        f"the answer cannot be written to standard output: {error.strerror}",
        "Lead it to another place; what was asked for is done.",
    )


def tables_text(session: Session, tables: Sequence[Table], stream: IO[str]) -> str:
    """Tables for people, with their notes, drawn for a stream."""
    from rich.text import Text

    from qsearch.cli.drawing import needed_width, rich_table, roomy
    from qsearch.report.escaping import visible

    console = console_for(session, stream)
    with console.capture() as drawn:
        for number, table in enumerate(tables):
            if number:
                console.print()
            if table.title:
                console.print(Text(visible(table.title), style="bold"), soft_wrap=True)
            if table.lines:
                fitted = roomy(table, console.width)
                console.print(rich_table(fitted), width=max(console.width, needed_width(fitted)), crop=False)
            elif any(table.columns):
                console.print(Text("nothing", style="dim"))
            for note in table.notes:
                console.print(Text(visible(note)), soft_wrap=True)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines()) + "\n"


def terminal_size(stream: IO[str]) -> tuple[int, int]:
    """Columns and lines to draw for; off a terminal 100 × 30."""
    size = shutil.get_terminal_size((100, 30))
    return (size.columns, size.lines) if stream.isatty() else (100, 30)


def console_for(session: Session, stream: IO[str]) -> Console:
    """A rich console that obeys the session's colours and does not cut tables off a terminal."""
    from rich.console import Console

    colored, live = session.colored(stream), stream.isatty()
    return Console(
        file=stream,
        force_terminal=colored or live,
        no_color=not colored,
        color_system="auto" if colored and live else "standard" if colored else None,
        width=None if live else _WIDE,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
        legacy_windows=False,
    )
