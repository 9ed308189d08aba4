"""The ledger on SQL, put together from its parts."""

from __future__ import annotations

from sqlalchemy import select

from qsearch.store import tables
from qsearch.store.database import Database
from qsearch.store.sql_answers import SqlAnswers
from qsearch.store.sql_jobs import SqlJobs
from qsearch.store.sql_preparation import SqlPreparation
from qsearch.store.sql_results import SqlResults
from qsearch.store.sql_trials import SqlTrials


class SqlLedger(SqlJobs, SqlPreparation, SqlTrials, SqlResults, SqlAnswers):
    """`Ledger` on a database; made by `qsearch.store.opening.open_ledger`.

    Promises what the port promises; thread-safe; may be used after a fork and sent to a spawned
    process, where it opens connections of its own.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def uuid(self) -> str:
        """Of the database, given when it was made: two URLs with one uuid are one database."""
        query = select(tables.meta.c.value).where(tables.meta.c.name == "uuid")
        return str(self._database.read(lambda tx: tx.run(query).scalar_one()))

    @property
    def url(self) -> str:
        """Where it is, with any password hidden."""
        return self._database.name

    def close(self) -> None:
        """Close this process's connections; a later call opens them again."""
        self._database.close()
