"""Opening a ledger: the URL, the database behind it, the schema."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, insert

from qsearch.contracts.errors import InputError, Unsupported
from qsearch.store import schema, tables
from qsearch.store.database import Database
from qsearch.store.sql_ledger import SqlLedger
from qsearch.store.transaction import Shift, no_shift
from qsearch.store.urls import is_postgres, parse_url


def open_ledger(url: str, *, create: bool = True, patience_s: float = 30.0, shift_s: Shift = no_shift) -> SqlLedger:
    """The ledger at a URL, its schema brought up to date.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path`, `postgresql://user:password@host/database`.
        create: make the file, and its folder, or the tables, when they are not there.
        patience_s: seconds to wait for the database and for other writers before Unreachable.
        shift_s: seconds to add to the database's clock; for tests that move time.

    Raises:
        UsageError: the URL means nothing, or another database.
        Unsupported: a network file system, a missing driver, or a schema newer than this QSearch.
        NotFound: no ledger there, and `create` is False.
        InputError: a database of somebody else.
        Unreachable: no answer, locked, not writable, damaged.
    """
    database = _database(url, patience_s, shift_s)
    try:
        database.check(create=create)
        if database.read(lambda tx: schema.current(tx.connection)) != schema.HEAD:
            database.migrate(lambda connection: _migrate(connection, database.name))
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)


def _database(url: str, patience_s: float, shift_s: Shift) -> Database:
    parsed = parse_url(url)
    if is_postgres(parsed):
        from qsearch.store.postgres import PostgresDatabase

        return PostgresDatabase(parsed, patience_s=patience_s, shift_s=shift_s)
    from qsearch.store.sqlite import SqliteDatabase

    return SqliteDatabase(parsed, patience_s=patience_s, shift_s=shift_s)


def _migrate(connection: Connection, name: str) -> None:
    found = schema.current(connection)
    if found == schema.HEAD:
        return
    if not found and schema.strangers(connection):
        raise InputError(f"{name} holds tables that are not QSearch's", "Name another database.")
    if found and found not in schema.known_revisions():
        raise Unsupported(
            f"{name} has schema {found}, this QSearch knows up to {schema.HEAD}: a newer QSearch wrote it",
            "Update QSearch, or name another database.",
        )
    schema.upgrade(connection)
    if not found:
        connection.execute(insert(tables.meta).values(name="uuid", value=str(uuid.uuid4())))
