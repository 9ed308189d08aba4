"""Read-only SQL over the documented views, for `query` and the SQL page: one door, a fence per database."""

from __future__ import annotations

from qsearch.contracts.errors import UsageError
from qsearch.contracts.views import QueryResult
from qsearch.store.urls import file_of, is_postgres, parse_url, require_driver


def read_only_query(url: str, sql: str, *, limit: int, timeout_s: float) -> QueryResult:
    """Rows of exactly one SELECT over the views; nothing is written, and nothing else is read.

    Values come back as text, numbers and None, the same from every database: booleans as 0 and 1,
    bytes as hexadecimal digits, dates and times as ISO 8601.

    Args:
        url: of the ledger.
        sql: one statement; empty = the views and their columns, as rows.
        limit: rows at most; `truncated` says that there were more.
        timeout_s: seconds at most.

    Raises:
        UsageError: the statement cannot be compiled, or asks what is not allowed; says which views exist.
        NotFound: there is no database.
        Unsupported: the database has another schema than this QSearch, or its login may not ask.
        Unreachable: the time was over, or the database is absent, locked or damaged.
    """
    if limit < 1 or timeout_s <= 0:
        raise UsageError(f"a query needs a limit of 1 row or more and a time above 0 s, found {limit}, {timeout_s:g} s")
    parsed = parse_url(url)
    statement = sql if sql.strip(" \t\r\n;") else ""
    if is_postgres(parsed):
        require_driver()
        from qsearch.store import query_postgres

        return query_postgres.ask(parsed, statement, limit=limit, timeout_s=timeout_s)
    from qsearch.store import query_sqlite

    return query_sqlite.ask(file_of(parsed), statement, limit=limit, timeout_s=timeout_s)
