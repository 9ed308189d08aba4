"""The database's clock, and how its times are kept: whole milliseconds since 1970, UTC.

NOTE: integers and not a datetime column, because SQLite has none: text times compare by spelling,
and a lease that is compared by spelling is stolen a day early after a format change. Views show
the times as ISO 8601 text.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class database_now_ms(FunctionElement[int]):  # noqa: N801 - the name of a SQL function
    """Milliseconds since 1970 by the clock of the database's host."""

    type = BigInteger()
    inherit_cache = True


def from_ms(ms: int) -> datetime:
    """The moment, UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def maybe_from_ms(ms: int | None) -> datetime | None:
    """As `from_ms`; nothing stays nothing."""
    return None if ms is None else from_ms(ms)


@compiles(database_now_ms, "sqlite")
def _sqlite_now(_element: database_now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    # SQLite keeps whole milliseconds behind julianday(); rounding takes back what the double lost.
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)"


@compiles(database_now_ms, "postgresql")
def _postgres_now(_element: database_now_ms, _compiler: SQLCompiler, **_options: Any) -> str:
    # Not now(): that is when the transaction began, before it waited for the job's row.
    return "CAST(FLOOR(EXTRACT(EPOCH FROM CLOCK_TIMESTAMP()) * 1000) AS BIGINT)"
