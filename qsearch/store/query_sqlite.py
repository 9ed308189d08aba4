"""The fence of `query` on SQLite.

What a statement meets, outermost first: a connection of its own with the database attached
`mode=ro`; limits on lengths, depths and attachments; `query_only`; a list of what is allowed, asked
by SQLite while it compiles; a deadline; a limit of rows.

NOTE: SQLite tells the authorizer in which view a table is read, and calls a common table expression
by its name in the same place, so `WITH v_jobs AS (SELECT * FROM jobs) …` passes for the view. And a
table whose columns nobody needs, as in `SELECT count(*) FROM v_jobs`, is reported outside any view.
Therefore the database is attached under a random name, and the views a query sees are temporary
ones whose inner halves carry it too: what reads a table must spell a name that nobody can guess.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from qsearch.contracts.errors import NotFound, Unreachable, UsageError
from qsearch.contracts.views import QueryResult
from qsearch.store.query_limits import ANSWER_BYTES, HINT, other_schema, too_slow
from qsearch.store.schema import HEAD, VERSION_TABLE
from qsearch.store.views import VIEWS, bodies

#: functions that compute from their arguments alone; SQLITE_LIMIT_LENGTH caps what they return
_FUNCTIONS = """
    -> ->> abs avg ceil ceiling char coalesce count cume_dist date datetime dense_rank exp first_value floor format
    glob group_concat hex ifnull iif instr json json_array json_array_length json_extract json_group_array
    json_group_object json_object json_quote json_type json_valid julianday lag last_value lead length like ln log
    log10 log2 lower ltrim max min mod nth_value ntile nullif percent_rank pow power printf quote rank replace round
    row_number rtrim sign sqrt strftime substr substring sum time total trim trunc typeof unicode unixepoch upper
"""
FUNCTIONS = frozenset(_FUNCTIONS.split())
#: NOTE: the length is small because instr() and replace() of two long texts run for minutes inside
#: one step, where no deadline is looked at; every value of the views is far below it.
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 200_000,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 50_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 20,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 100_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 32,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,  # besides the one that is there
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_JSON_TABLES = ("json_each", "json_tree")
#: virtual-machine steps between two looks at the deadline
_STEPS = 1_000
#: the database's trouble, not the statement's
_DATABASE_FAULTS = (
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FULL,
)


def ask(path: Path, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
    """As `qsearch.store.query.read_only_query`, of a file; an empty statement lists the views."""
    if not path.exists():
        raise NotFound(f"there is no database at {path}", "Any command that creates a job creates it.")
    with _translated(timeout_s), closing(_open(timeout_s)) as connection:
        secret = _make_views(connection, path)
        if not sql:
            return _list_views(connection)
        guard = _fence(connection, secret, timeout_s)
        return _rows(connection, sql, limit, guard)


class _Guard:
    """SQLite's authorizer: allows what is listed, remembers the first thing it refused."""

    def __init__(self, secret: str, objects: frozenset[str]) -> None:
        self._secret = secret
        self._inner = frozenset(f"{name}_{secret}" for name in VIEWS)
        self._objects = objects
        self.refused = ""

    def __call__(self, action: int, first: str | None, second: str | None, schema: str | None, view: str | None) -> int:
        if self._allowed(action, first or "", second or "", (schema or "", view or "")):
            return sqlite3.SQLITE_OK
        what = {sqlite3.SQLITE_READ: f"reading {first}", sqlite3.SQLITE_FUNCTION: f"the function {second}()"}
        self.refused = self.refused or what.get(action, "anything but one SELECT")
        return sqlite3.SQLITE_DENY

    def _allowed(self, action: int, first: str, second: str, where: tuple[str, str]) -> bool:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return True
        if action == sqlite3.SQLITE_FUNCTION:
            return second.lower() in FUNCTIONS
        return action == sqlite3.SQLITE_READ and self._readable(first.lower(), second, where)

    def _readable(self, name: str, column: str, where: tuple[str, str]) -> bool:
        schema, view = where
        if view in self._inner or name in VIEWS or name in self._inner or name in _JSON_TABLES:
            return True
        if column:
            return False
        # No column: rows are only counted. Either a view of ours does it, or the name is one that
        # nothing in the database has: the statement's own, a common table expression.
        own = name not in self._objects and not name.startswith(("sqlite_", "pragma_"))
        return schema == self._secret or own


def _open(timeout_s: float) -> sqlite3.Connection:
    return sqlite3.connect(":memory:", uri=True, timeout=timeout_s, isolation_level=None, cached_statements=0)


def _make_views(connection: sqlite3.Connection, path: Path) -> str:
    """Attach the database and lay views over it, both under an unguessable name; the name."""
    secret = f"q{secrets.token_hex(16)}"
    connection.execute(f"ATTACH 'file:{quote(str(path))}?mode=ro' AS {secret}")
    found = connection.execute(f"SELECT 1 FROM {secret}.sqlite_master WHERE name = ?", (VERSION_TABLE,))  # noqa: S608
    version = f"SELECT version_num FROM {secret}.{VERSION_TABLE}"  # noqa: S608
    revision = connection.execute(version).fetchone() if found.fetchone() else None
    if revision is None or revision[0] != HEAD:
        raise other_schema(revision[0] if revision else "")
    for name, body in bodies("sqlite", secret).items():
        connection.execute(f"CREATE TEMP VIEW {name}_{secret} AS {body}")
        connection.execute(f"CREATE TEMP VIEW {name} AS SELECT * FROM temp.{name}_{secret}")  # noqa: S608
    return secret


def _list_views(connection: sqlite3.Connection) -> QueryResult:
    rows = []
    for name in VIEWS:
        columns = connection.execute(f"SELECT * FROM temp.{name} LIMIT 0").description  # noqa: S608 - our words
        rows += [(name, column[0]) for column in columns]
    return QueryResult(columns=("view", "column"), rows=tuple(rows), truncated=False)


def _fence(connection: sqlite3.Connection, secret: str, timeout_s: float) -> _Guard:
    names = connection.execute(
        f"SELECT name FROM {secret}.sqlite_master UNION SELECT name FROM pragma_module_list"  # noqa: S608
    )
    # A table-valued function is declared at its first use by a CREATE TABLE, which the guard would refuse.
    connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()
    guard = _Guard(secret, frozenset(str(name).lower() for (name,) in names.fetchall()))
    connection.execute("PRAGMA query_only=ON")
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    end = time.monotonic() + timeout_s
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    connection.set_authorizer(guard)
    connection.text_factory = lambda content: content.decode(errors="replace")
    return guard


def _rows(connection: sqlite3.Connection, sql: str, limit: int, guard: _Guard) -> QueryResult:
    try:
        cursor = connection.execute(sql)
        if cursor.description is None:
            raise UsageError("a query is one SELECT statement, found none", HINT)
        columns = tuple(column[0] for column in cursor.description)
        rows: list[tuple[object, ...]] = []
        size = 0
        for row in cursor:
            size += sum(len(value) if isinstance(value, str | bytes) else 8 for value in row)
            if len(rows) == limit or size > ANSWER_BYTES:
                return QueryResult(columns=columns, rows=tuple(rows), truncated=True)
            rows.append(tuple(value.hex() if isinstance(value, bytes) else value for value in row))
        return QueryResult(columns=columns, rows=tuple(rows), truncated=False)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        if guard.refused:
            raise UsageError(f"a query reads the documented views only; {guard.refused} is refused", HINT) from error
        if getattr(error, "sqlite_errorcode", 0) in _DATABASE_FAULTS:
            raise
        raise UsageError(f"the query is not valid: {error}", HINT) from error


@contextmanager
def _translated(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise too_slow(timeout_s) from error
        raise Unreachable(f"the database does not answer: {error}", "qsearch doctor looks closer.") from error
