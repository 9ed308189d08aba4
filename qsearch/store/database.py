"""The connection to SQLite: pragmas, transactions, patience, and what a refusal leaves behind.

NOTE: a write begins with BEGIN IMMEDIATE. A transaction that begins as a reader and becomes a
writer fails at once with SQLITE_BUSY when somebody wrote in between, whatever the busy timeout says.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from qsearch.contracts.errors import DataError, QSearchError, Unreachable
from qsearch.store.rules import Refused
from qsearch.store.transaction import Shift, Transaction, no_shift

Answer = TypeVar("Answer")

#: engines of a parent process: never closed here, a close in the child would touch the parent's files
_inherited: list[Engine] = []
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_ADVICE = {
    sqlite3.SQLITE_BUSY: "Another process holds it: find it with `fuser FILE`, or wait and try again.",
    sqlite3.SQLITE_FULL: "The disk is full: free some space, then `qsearch resume` continues.",
    sqlite3.SQLITE_IOERR: "The disk failed: see the system's log, then `qsearch resume` continues.",
    sqlite3.SQLITE_READONLY: "The file or its folder may not be written: see their owner and mode.",
    sqlite3.SQLITE_CANTOPEN: "See that its folder exists and may be written by you.",
    sqlite3.SQLITE_NOTADB: "The file is no SQLite database; name another one.",
    sqlite3.SQLITE_CORRUPT: "The file is damaged; restore it from a backup.",
}


class Database:
    """Runs work in transactions.

    Promises: work is committed whole or not at all, and is durable when `write` returns
    (`synchronous=FULL`). A busy database is waited for during `patience_s`, then Unreachable.
    Thread-safe. Safe after fork and spawn: each process makes connections of its own.

    Args:
        url: `sqlite:///PATH`.
        patience_s: seconds to wait for other writers.
        shift_s: moves the clock of a test; see `Shift`.
    """

    def __init__(self, url: URL, *, patience_s: float = 30.0, shift_s: Shift = no_shift) -> None:
        self.url = url
        self.patience_s = patience_s
        self._shift_s = shift_s
        self._engine: Engine | None = None
        self._pid = 0

    def __reduce__(self) -> tuple[Callable[..., Database], tuple[object, ...]]:
        return _again, (self.url, self.patience_s, self._shift_s)

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

    def read(self, work: Callable[[Transaction], Answer]) -> Answer:
        """The answer of work that only reads, from one consistent snapshot."""
        return self._patiently(lambda connection: work(Transaction(connection, self._shift_s)), "read")

    def write(self, work: Callable[[Transaction], Answer]) -> Answer:
        """The answer of work that writes; it may be run again when the database was busy.

        Raises:
            Refused: from the work, which is rolled back; the refusal is noted as an event of its job.
        """
        try:
            return self._patiently(lambda connection: work(Transaction(connection, self._shift_s)), "write")
        except Refused as refusal:
            # A refusal that cannot be noted is still a refusal: the driver must hear of it.
            with contextlib.suppress(QSearchError):
                self._note(refusal)
            raise

    def whole(self, work: Callable[[Connection], Answer]) -> Answer:
        """As `write`, for work on the schema."""
        return self._patiently(work, "write")

    def close(self) -> None:
        """Close this process's connections; the next use opens them again."""
        if self._engine is not None and self._pid == os.getpid():
            self._engine.dispose()
        self._engine = None

    def _note(self, refusal: Refused) -> None:
        def work(connection: Connection) -> None:
            Transaction(connection, self._shift_s).append_event(refusal.job, "fenced", refusal.data)

        self._patiently(work, "write")

    def _patiently(self, work: Callable[[Connection], Answer], mode: str) -> Answer:
        deadline = time.monotonic() + self.patience_s
        pause = 0.01
        while True:
            try:
                with self.engine.connect().execution_options(qsearch_mode=mode) as connection, connection.begin():
                    return work(connection)
            except DBAPIError as error:
                if _code(error) not in _BUSY or time.monotonic() >= deadline:
                    raise self._translated(error) from error
            except SQLAlchemyError as error:
                raise Unreachable(f"the database {self.name} could not be used: {error}") from error
            time.sleep(pause * secrets.randbelow(1000) / 1000)
            pause = min(2 * pause, 1.0)

    def _translated(self, error: DBAPIError) -> QSearchError:
        code = _code(error)
        if code == sqlite3.SQLITE_CONSTRAINT:
            return DataError(f"the database {self.name} refused a row: {error.orig}")
        waited = f" for {self.patience_s:g} s" if code in _BUSY else ""
        advice = _ADVICE.get(sqlite3.SQLITE_BUSY if code in _BUSY else code, "qsearch doctor looks closer.")
        return Unreachable(f"the database {self.name} does not answer{waited}: {error.orig}", advice)

    def _create(self) -> Engine:
        # hide_parameters: an error text must not carry what was being written.
        engine = create_engine(self.url, hide_parameters=True, connect_args={"timeout": self.patience_s})
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _prepare(self, connection: Any, _record: Any) -> None:
        # None: sqlite3 must not begin transactions by its own rules; `_begin` does.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={round(self.patience_s * 1000)}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("qsearch_mode") == "write"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _again(url: URL, patience_s: float, shift_s: Shift) -> Database:
    return Database(url, patience_s=patience_s, shift_s=shift_s)


def _code(error: DBAPIError) -> int:
    """SQLite's primary result code; 0 when there is none."""
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF
