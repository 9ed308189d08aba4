"""What the global options said, and the desk that is opened by them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from qsearch.contracts.desk import Desk

_STDOUT, _STDERR = 1, 2
#: flags → an open desk
DeskFactory = Callable[[Mapping[str, str | None]], "Desk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One invocation of the command line."""

    open_desk: DeskFactory
    #: database_url, artifacts, ray_address, config, color; None where the flag was not given
    flags: Mapping[str, str | None] = field(default_factory=dict)
    debug: bool = False

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """The use-cases, closed at the end whatever happens; print the answer after that.

        While it is open stdout leads to stderr: what a library, a worker or a user's own task prints
        must not stand in front of the JSON.
        """
        with _stdout_to_stderr():
            desk = self.open_desk(self.flags)
            try:
                yield desk
            finally:
                desk.close()

    def colored(self, stream: IO[str]) -> bool:
        """Whether to colour: what the settings say (NO_COLOR and FORCE_COLOR are among them), else on a terminal.

        Settings that cannot be read colour nothing here; who needs them says why.
        """
        from qsearch.contracts.errors import QSearchError
        from qsearch.spec.settings import load_settings

        try:
            said = load_settings(self.flags, os.environ, Path.cwd()).value("color")
        except QSearchError:
            return False
        return stream.isatty() if said == "auto" else said == "always"


def session_of(context: typer.Context) -> Session:
    """The session that the root command left for its commands."""
    session = context.find_object(Session)
    if session is None:
        raise RuntimeError("a command ran without the root command")
    return session


def service_desk(flags: Mapping[str, str | None]) -> Desk:
    """The product's own desk; imported here, so that --help never pays for it."""
    from qsearch.service.desk import open_desk

    return open_desk(flags)


def note(text: str) -> None:
    """A line for a person, on stderr; control characters are made visible.

    A reader of stderr that has gone (`2>&1 | head`) must not stop a search: the line is lost, no more.
    """
    from qsearch.report.escaping import visible_lines

    with suppress(BrokenPipeError):
        sys.stderr.write(visible_lines(text) + "\n")
        sys.stderr.flush()


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """For this process's prints and, through the descriptor, for its children's too."""
    sys.stdout.flush()
    kept = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, _STDOUT)
        os.close(kept)
