"""The connection to SQLite: the file and its folder, pragmas, transactions, what its errors mean.

NOTE: a write begins with BEGIN IMMEDIATE. A transaction that begins as a reader and becomes a
writer fails at once with SQLITE_BUSY when somebody wrote in between, whatever the busy timeout says.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from qsearch.contracts.errors import DataError, NotFound, QSearchError, Unreachable, Unsupported
from qsearch.store.database import Answer, Database
from qsearch.store.filesystems import network_name
from qsearch.store.transaction import Transaction
from qsearch.store.urls import file_of

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


class SqliteDatabase(Database):
    """A file on a local disk; durable by `synchronous=FULL`. Promises as in `Database`."""

    def check(self, *, create: bool) -> None:
        """See `Database.check`.

        Raises:
            NotFound: no file, and `create` is False.
            Unreachable: its folder cannot be made.
            Unsupported: a network file system.
        """
        path = file_of(self.url)
        if not path.exists() and not create:
            raise NotFound(f"there is no database at {path}", "Any command that creates a job creates it.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unreachable(f"the folder {path.parent} cannot be made: {error.strerror}") from error
        kind = network_name(path.parent)
        if kind:
            raise Unsupported(
                f"{path.parent} is on a network file system ({kind}), where SQLite's locks cannot be trusted",
                "Put the database on a local disk.",
            )

    def migrate(self, work: Callable[[Connection], None]) -> None:
        """See `Database.migrate`."""
        with _migration_lock(file_of(self.url), self.patience_s):
            self.whole(work)

    def _create(self) -> Engine:
        # hide_parameters: an error text must not carry what was being written.
        engine = create_engine(self.url, hide_parameters=True, connect_args={"timeout": self.patience_s})
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def _once(self, work: Callable[[Transaction], Answer], *, writes: bool) -> Answer:
        with self.engine.connect().execution_options(qsearch_writes=writes) as connection, connection.begin():
            return work(Transaction(connection, self._shift_s, writes=writes))

    def _passes(self, error: DBAPIError) -> bool:
        return _code(error) in _BUSY

    def _translated(self, error: DBAPIError, patience_s: float) -> QSearchError:
        code = _code(error)
        if code == sqlite3.SQLITE_CONSTRAINT:
            return DataError(f"the database {self.name} refused a row: {error.orig}")
        waited = f" for {patience_s:g} s" if code in _BUSY else ""
        advice = _ADVICE.get(sqlite3.SQLITE_BUSY if code in _BUSY else code, "qsearch doctor looks closer.")
        return Unreachable(f"the database {self.name} does not answer{waited}: {error.orig}", advice)

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
    writes = connection.get_execution_options().get("qsearch_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _code(error: DBAPIError) -> int:
    """SQLite's primary result code; 0 when there is none."""
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _migration_lock(path: Path, patience_s: float) -> Iterator[None]:
    """One migrator at a time; the kernel frees the lock of a process that dies."""
    lock = path.with_name(path.name + ".migrate")
    deadline = time.monotonic() + patience_s
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise Unreachable(f"the folder of {path} may not be written: {error.strerror}") from error
    try:
        while not _locked(descriptor):
            if time.monotonic() >= deadline:
                raise Unreachable(f"{path} is being migrated by another process for over {patience_s:g} s")
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
