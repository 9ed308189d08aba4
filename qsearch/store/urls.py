"""Database URLs: which are understood, and how they are shown."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from qsearch.contracts.errors import Unsupported, UsageError
from qsearch.contracts.installing import install_hint

POSTGRES = "postgresql+psycopg"
_FORMS = "sqlite:///path/to/qsearch.db or postgresql://user:password@host/database"
_POSTGRES_NAMES = ("postgres", "postgresql", POSTGRES)
#: of a URL's query: what would be shown where the URL is shown
_SECRETS = ("password", "sslpassword")


def parse_url(url: str) -> URL:
    """The URL, in one spelling: a SQLite file made absolute, PostgreSQL through psycopg.

    Raises:
        UsageError: it means nothing (it is not repeated then, because it may hold a password), or another
            database, another driver, or options that cannot be honoured, by name.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise UsageError(
            f"a database URL looks like {_FORMS}, this one cannot be read",
            "It is not shown, because it may hold a password.",
        ) from error
    if parsed.drivername in _POSTGRES_NAMES:
        return _postgres(parsed)
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        return _sqlite(parsed)
    raise UsageError(
        f"a ledger is kept in SQLite or PostgreSQL, found {parsed.drivername} in {shown(parsed)}", f"Use {_FORMS}"
    )


def is_postgres(url: URL) -> bool:
    """Whether a URL of `parse_url` is PostgreSQL's."""
    return url.drivername == POSTGRES


def require_driver() -> None:
    """Load psycopg. Raises Unsupported when it is not installed, or cannot find its C library."""
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise Unsupported(
            f"PostgreSQL needs the package psycopg, which cannot be loaded: {error}", install_hint("postgres")
        ) from error


def file_of(url: URL) -> Path:
    """The file behind a SQLite URL of `parse_url`."""
    return Path(url.database or "")


def is_absent(url: str) -> bool:
    """Whether opening the database of this URL makes its file. Raises UsageError as `parse_url`."""
    parsed = parse_url(url)
    return not is_postgres(parsed) and not file_of(parsed).exists()


def _sqlite(url: URL) -> URL:
    if not url.database or url.database == ":memory:" or url.database.startswith("file:") or url.query:
        raise UsageError(
            f"a ledger is a plain file, found {shown(url)}", "Use sqlite:///path/to/qsearch.db, without options"
        )
    return url.set(database=str(Path(url.database).expanduser().absolute()))


def _postgres(url: URL) -> URL:
    for name in _SECRETS:
        if name in url.query:
            raise UsageError(
                f"a password as the option {name} of a database URL would be shown with it",
                "Write postgresql://user:password@host/database, or use PGPASSWORD or a .pgpass file.",
            )
    if url.port is not None and not 0 < url.port < 2**16:
        raise UsageError(f"{shown(url)}: expected a port from 1 to 65535", "Leave it out for PostgreSQL's own, 5432.")
    if not url.database:
        raise UsageError(f"{shown(url)} names no database", "Use postgresql://user:password@host/database")
    return url.set(drivername=POSTGRES)


def shown(url: URL) -> str:
    """The URL with its password hidden."""
    return url.render_as_string(hide_password=True)
