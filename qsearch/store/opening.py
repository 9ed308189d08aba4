"""Opening a ledger: the URL, the file, the schema.

NOTE: only SQLite in this version. The tables, and every statement of the ledger, are written so
that PostgreSQL can join; a database that has not passed the ledger's suite is refused by name.
"""

from __future__ import annotations

import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, insert, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from qsearch.contracts.errors import InputError, NotFound, Unreachable, Unsupported, UsageError
from qsearch.store import schema, tables
from qsearch.store.database import Database
from qsearch.store.filesystems import network_name
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.transaction import Shift, no_shift


def open_ledger(url: str, *, create: bool = True, patience_s: float = 30.0, shift_s: Shift = no_shift) -> SqlLedger:
    """The ledger at a URL, its schema brought up to date.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path`.
        create: make the file, and its folder, when it is not there.
        patience_s: seconds to wait for other writers before Unreachable.
        shift_s: seconds to add to the database's clock; for tests that move time.

    Raises:
        UsageError: the URL means nothing.
        Unsupported: another database, a network file system, or a schema newer than this QSearch.
        NotFound: no file, and `create` is False.
        InputError: a database of somebody else.
        Unreachable: locked, not writable, damaged.
    """
    database = Database(parse_url(url), patience_s=patience_s, shift_s=shift_s)
    try:
        _open(database, create)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)


def parse_url(url: str) -> URL:
    """The URL of a SQLite file, made absolute; refuses every other one without showing its password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            "a database URL looks like sqlite:///path/to/qsearch.db, this one cannot be read",
            "It is not shown, because it may hold a password.",
        ) from error
    if parsed.get_backend_name() != "sqlite" or parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        shown = parsed.render_as_string(hide_password=True)
        raise Unsupported(
            f"this version keeps its ledger in SQLite, found {parsed.drivername} in {shown}",
            "Use sqlite:///path/to/qsearch.db",
        )
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:") or parsed.query:
        raise Unsupported(
            f"a ledger is a plain file, found {parsed.render_as_string(hide_password=True)}",
            "Use sqlite:///path/to/qsearch.db, without options",
        )
    return parsed.set(database=str(Path(parsed.database).expanduser().absolute()))


def file_of(url: URL) -> Path:
    """The file behind a URL of `parse_url`."""
    return Path(url.database or "")


def _open(database: Database, create: bool) -> None:
    path = file_of(database.url)
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
    if _revision(database) != schema.HEAD:
        with _migration_lock(path, database.patience_s):
            database.whole(lambda connection: _migrate(connection, database.name))


def _revision(database: Database) -> str:
    return database.read(lambda tx: schema.current(tx.connection))


def _migrate(connection: Connection, name: str) -> None:
    found = schema.current(connection)
    if found == schema.HEAD:
        return
    if not found and inspect(connection).get_table_names():
        raise InputError(f"{name} holds tables that are not QSearch's", "Name another file.")
    if found and found not in schema.known_revisions():
        raise Unsupported(
            f"{name} has schema {found}, this QSearch knows up to {schema.HEAD}: a newer QSearch wrote it",
            "Update QSearch, or name another database.",
        )
    schema.upgrade(connection)
    if not found:
        connection.execute(insert(tables.meta).values(name="uuid", value=str(uuid.uuid4())))


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
