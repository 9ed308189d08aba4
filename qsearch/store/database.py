"""Work in transactions, on any database: patience, fork and spawn, and what a refusal leaves behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from qsearch.contracts.errors import QSearchError, Unreachable
from qsearch.store.rules import Refused
from qsearch.store.transaction import Shift, Transaction, no_shift

Answer = TypeVar("Answer")

#: engines of a parent process: never closed here, a close in the child would touch the parent's connections
_inherited: list[Engine] = []


class Database(ABC):
    """Runs work in transactions.

    Promises: work is committed whole or not at all, and is durable when `write` returns. Writers of
    one job are serialised. A busy or absent database is waited for during `patience_s`, then
    Unreachable. Thread-safe. Safe after fork and spawn: each process makes connections of its own.

    Args:
        url: as `qsearch.store.urls.parse_url` gives it.
        patience_s: seconds to wait for the database, and for other writers.
        shift_s: moves the clock of a test; see `Shift`.
    """

    def __init__(self, url: URL, *, patience_s: float = 30.0, shift_s: Shift = no_shift) -> None:
        self.url = url
        self.patience_s = patience_s
        self._shift_s = shift_s
        self._engine: Engine | None = None
        self._pid = 0

    def __reduce__(self) -> tuple[Callable[..., Database], tuple[object, ...]]:
        return _again, (type(self), self.url, self.patience_s, self._shift_s)

    @property
    def name(self) -> str:
        """The URL with its password hidden."""
        return self.url.render_as_string(hide_password=True)

    @property
    def engine(self) -> Engine:
        """This process's engine."""
        if self._engine is not None and self._pid != os.getpid():
            _inherited.append(self._engine)
            self._engine = None
        if self._engine is None:
            self._engine = self._create()
            self._pid = os.getpid()
        return self._engine

    @abstractmethod
    def check(self, *, create: bool) -> None:
        """Raises what speaks against a ledger here; makes what it lies in when `create`."""

    @abstractmethod
    def migrate(self, work: Callable[[Connection], None]) -> None:
        """As `whole`, one migrator at a time."""

    def read(self, work: Callable[[Transaction], Answer]) -> Answer:
        """The answer of work that only reads, from one consistent snapshot."""
        return self._patiently(work, writes=False)

    def write(self, work: Callable[[Transaction], Answer]) -> Answer:
        """The answer of work that writes; it is run again when it could not be committed.

        Raises:
            Refused: from the work, which is rolled back; the refusal is noted as an event of its job.
        """
        try:
            return self._patiently(work, writes=True)
        except Refused as refusal:
            # A refusal that cannot be noted is still a refusal: the driver must hear of it.
            with contextlib.suppress(QSearchError):
                self._note(refusal)
            raise

    def whole(self, work: Callable[[Connection], Answer]) -> Answer:
        """As `write`, for work on the schema."""
        return self._patiently(lambda tx: work(tx.connection), writes=True)

    def close(self) -> None:
        """Close this process's connections; the next use opens them again."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    def _note(self, refusal: Refused) -> None:
        self._patiently(lambda tx: tx.append_event(refusal.job, "fenced", refusal.data), writes=True)

    def _patiently(
        self, work: Callable[[Transaction], Answer], *, writes: bool, patience_s: float | None = None
    ) -> Answer:
        patience_s = self.patience_s if patience_s is None else patience_s
        deadline = time.monotonic() + patience_s
        pause, broke = 0.01, False
        while True:
            try:
                return self._once(work, writes=writes)
            except DBAPIError as error:
                if error.connection_invalidated and not broke:
                    # The wait for the database begins here: this process may have been stopped for an hour.
                    deadline, broke = time.monotonic() + patience_s, True
                if not self._passes(error) or time.monotonic() >= deadline:
                    raise self._translated(error, patience_s) from error
            except SQLAlchemyError as error:
                raise Unreachable(f"the database {self.name} could not be used: {error}") from error
            time.sleep(pause * secrets.randbelow(1000) / 1000)
            pause = min(2 * pause, 1.0)

    @abstractmethod
    def _create(self) -> Engine:
        """A new engine."""

    @abstractmethod
    def _once(self, work: Callable[[Transaction], Answer], *, writes: bool) -> Answer:
        """Run the work in one transaction."""

    @abstractmethod
    def _passes(self, error: DBAPIError) -> bool:
        """Whether the same work may succeed a little later."""

    @abstractmethod
    def _translated(self, error: DBAPIError, patience_s: float) -> QSearchError:
        """What the user is told."""


def _again(kind: type[Database], url: URL, patience_s: float, shift_s: Shift) -> Database:
    return kind(url, patience_s=patience_s, shift_s=shift_s)
