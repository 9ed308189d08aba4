"""The fence of `query` on PostgreSQL.

What a statement meets, outermost first: a connection of its own; a limit of length; the extended
protocol, which takes one statement; compiling it alone, so that its brackets balance; being put
inside `SELECT * FROM (…) LIMIT n`, where only a query fits; the list of what may be touched
(`qsearch.store.postgres_fence`); a transaction that is READ ONLY; a deadline; a limit of rows and bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import pq
from sqlalchemy.engine import URL

from qsearch.contracts.errors import Unsupported, UsageError
from qsearch.contracts.views import QueryResult
from qsearch.store import postgres_faults, postgres_fence
from qsearch.store.query_limits import ANSWER_BYTES, HINT, SQL_CHARACTERS, other_schema, too_slow
from qsearch.store.schema import HEAD, VERSION_TABLE
from qsearch.store.urls import shown
from qsearch.store.views import VIEWS

#: of a session; temp_file_limit is a superuser's to set
_LIMITS = """
SELECT set_config('statement_timeout', %(ms)s, false), set_config('lock_timeout', %(ms)s, false),
       set_config('work_mem', '16MB', false), set_config('max_parallel_workers_per_gather', '0', false),
       set_config('jit', 'off', false), set_config('TimeZone', 'UTC', false),
       set_config('search_path', 'pg_catalog, ' || quote_ident(current_schema()) || ', pg_temp', false),
       (SELECT set_config('temp_file_limit', '1GB', false) FROM pg_roles WHERE rolname = current_user AND rolsuper)
"""
_ABILITY = """
SELECT to_regclass(%(version)s) IS NOT NULL, pg_is_in_recovery(),
       has_database_privilege(current_database(), 'TEMPORARY'), current_database(), current_user
"""
_VIEWS = "SELECT oid, reltype FROM pg_class WHERE relname = ANY(%s) AND pg_table_is_visible(oid) AND relkind = 'v'"
_COLUMNS = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relname = ANY(%(views)s) AND pg_table_is_visible(c.oid) AND a.attnum > 0
 ORDER BY array_position(%(views)s, c.relname::text), a.attnum
"""
_TREE = "SELECT ev_action::text, ev_class FROM pg_rewrite WHERE ev_class = 'pg_temp.qsearch_asked'::regclass"
_NAMES = {
    "proname": "SELECT oid, proname FROM pg_proc WHERE oid = ANY(%s) AND pronamespace = 'pg_catalog'::regnamespace",
    "typname": "SELECT oid, typname FROM pg_type WHERE oid = ANY(%s) AND typnamespace = 'pg_catalog'::regnamespace",
}
#: the server's trouble, not the statement's: connection, resources, intervention, locks, its own disk
_SERVER_FAULTS = re.compile(r"08...|53[123]..|57P..|55P03|58...|XX...")


def ask(url: URL, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
    """As `qsearch.store.query.read_only_query`; an empty statement lists the views."""
    statement = sql.rstrip(" \t\r\n;")
    if len(statement) > SQL_CHARACTERS:
        raise UsageError(f"a query has at most {SQL_CHARACTERS} characters, found {len(statement)}", HINT)
    with _translated(url), closing(_connect(url, timeout_s)) as connection:
        _check_schema(connection)
        if not statement:
            rows = connection.execute(_COLUMNS, {"views": list(VIEWS)}).fetchall()
            return QueryResult(columns=("view", "column"), rows=tuple(rows), truncated=False)
        try:
            _check(connection, statement)
            return _rows(connection, statement, limit)
        except (psycopg.Error, UnicodeEncodeError, ValueError) as error:
            raise _answered(error, timeout_s) from error


def _connect(url: URL, timeout_s: float) -> psycopg.Connection[tuple[Any, ...]]:
    _, options = url.get_dialect()().create_connect_args(url)
    options = {"connect_timeout": 10, **options, "application_name": "qsearch query", "client_encoding": "UTF8"}
    connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(**options, autocommit=True)
    connection.execute(_LIMITS, {"ms": str(max(1, round(timeout_s * 1000)))})
    return connection


def _check_schema(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    found = connection.execute(_ABILITY, {"version": VERSION_TABLE}).fetchone()
    has_table, standby, temporary, database, user = found or (False, False, True, "", "")
    row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() if has_table else None  # noqa: S608
    if row is None or row[0] != HEAD:
        raise other_schema(row[0] if row else "")
    if standby:
        raise Unsupported("a query is checked by making a temporary view, which a standby cannot", "Name the primary.")
    if not temporary:
        raise Unsupported(
            f"a query is checked by making a temporary view, which {user} may not",
            f'Have its owner run: GRANT TEMPORARY ON DATABASE "{database}" TO "{user}"',
        )


def _check(connection: psycopg.Connection[tuple[Any, ...]], statement: str) -> None:
    """Raises UsageError unless the statement is a query that touches only what it may."""
    # Alone first: what opens and closes its own brackets cannot close ours.
    _send(connection.pgconn.prepare(b"", statement.encode()))
    with connection.transaction(force_rollback=True):
        view = f"CREATE TEMP VIEW qsearch_asked AS SELECT 1 AS one FROM (\n{statement}\n) AS q"  # noqa: S608
        _send(connection.pgconn.exec_params(view.encode(), None))
        (tree, itself) = connection.execute(_TREE).fetchone() or ("", 0)
        views = connection.execute(_VIEWS, [list(VIEWS)]).fetchall()

        def names(column: str, numbers: Iterable[int]) -> dict[int, str]:
            return dict(connection.execute(_NAMES[column], [list(numbers)]).fetchall())

        refused = postgres_fence.objection(tree, [itself, *(oid for oid, _ in views)], [row for _, row in views], names)
    if refused:
        raise UsageError(f"a query reads the documented views only; {refused} is refused", HINT)


def _send(result: pq.abc.PGresult) -> None:
    if result.status == pq.ExecStatus.FATAL_ERROR:
        raise psycopg.errors.error_from_result(result)


def _rows(connection: psycopg.Connection[tuple[Any, ...]], statement: str, limit: int) -> QueryResult:
    connection.execute("BEGIN TRANSACTION READ ONLY")
    cursor = connection.cursor()
    rows: list[tuple[object, ...]] = []
    size = 0
    asked = f"SELECT * FROM (\n{statement}\n) AS q LIMIT {limit + 1}".encode()  # noqa: S608
    truncated = False
    # In single-row mode: the whole answer never lies in memory. Closing the connection drops the rest.
    for row in cursor.stream(asked):
        rows.append(tuple(_plain(value) for value in row))
        size += sum(len(value) if isinstance(value, str) else 8 for value in rows[-1])
        truncated = len(rows) > limit or size > ANSWER_BYTES
        if truncated:
            rows.pop()
            break
    return QueryResult(columns=_columns(cursor), rows=tuple(rows), truncated=truncated)


def _columns(cursor: psycopg.Cursor[tuple[Any, ...]]) -> tuple[str, ...]:
    return tuple(column.name for column in cursor.description or ())


def _plain(value: object) -> object:
    """The value as SQLite would give it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        return int(value) if exponent == 0 and abs(value) < 2**63 else float(value)
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list | tuple) else str(value)


def _answered(error: Exception, timeout_s: float) -> Exception:
    code = getattr(error, "sqlstate", None) or ""
    if code == "57014":
        return too_slow(timeout_s)
    if not isinstance(error, psycopg.Error):
        return UsageError(f"the query is not valid: {error}", HINT)
    if _SERVER_FAULTS.fullmatch(code) or not code:
        return error
    return UsageError(f"the query is not valid: {error.diag.message_primary}", HINT)


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise postgres_faults.translated(error, shown(url), 0.0) from error
