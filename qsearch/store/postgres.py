"""The connection to PostgreSQL: sessions, transactions, and a COMMIT whose answer was lost.

NOTE: a read is REPEATABLE READ and READ ONLY: one snapshot. A write is READ COMMITTED and begins by
locking the job's row, so that what it reads next is what the last writer of that job left behind; a
stricter level would answer the second of two drivers with an error instead of the newer epoch.

NOTE: when the connection breaks while COMMIT is on its way, nobody has said whether the work is
kept, and running it again would add the same trials twice. The server is asked what became of the
transaction's number. After a crash a number may be given to somebody else, so the event that the
work appended must also be there, written under that number. Work without an event changes nothing
when it is run again.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from qsearch.contracts.errors import NotFound, QSearchError, Unreachable, Unsupported
from qsearch.store import postgres_faults, schema
from qsearch.store.database import Database
from qsearch.store.transaction import Transaction
from qsearch.store.urls import require_driver

#: seconds that a server may stay silent when a ledger is opened: a restart is waited for, a wrong port is not
OPENING_S = 5.0
#: of the server: what the schema and `query` were written for
OLDEST = 140_000
#: of the migrators' advisory lock; any number that is ours alone
_MIGRATORS = 0x51534541
_READ = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_WRITE = {"isolation_level": "READ COMMITTED", "postgresql_readonly": False}
_ABOUT = text("SELECT current_setting('server_version_num'), current_setting('server_encoding')")
_NUMBER = text("SELECT CAST(pg_current_xact_id_if_assigned() AS text)")
#: asked with a number of its own, which every number given out before it is below. A snapshot's xmax would
#: not do: it counts what has ended, and the newest transaction, still in progress, lies beyond it
_FATE = text(
    "SELECT CASE WHEN CAST(:number AS xid8) < pg_current_xact_id() THEN pg_xact_status(CAST(:number AS xid8)) END"
)
_EVENT = text("SELECT CAST(CAST(xmin AS text) AS bigint) FROM job_events WHERE job = :job AND seq = :seq")
#: of a session; a stopped process must not hold a job's row for ever, and must not tear a write apart
_SESSION = """
SELECT set_config('lock_timeout', %(patience)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle)s, false),
       set_config('extra_float_digits', '1', false),
       set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN 'on'
                                             ELSE current_setting('synchronous_commit') END, false)
"""


class PostgresDatabase(Database):
    """A database of a PostgreSQL server, 14 or newer, through psycopg. Promises as in `Database`."""

    def check(self, *, create: bool) -> None:
        """See `Database.check`.

        Raises:
            NotFound: no ledger in the database, and `create` is False.
            Unreachable: the server does not answer within a few seconds, or does not let us in.
            Unsupported: an older server, or a database that is not in UTF-8.
        """
        patience_s = min(self.patience_s, OPENING_S)
        (version, encoding), found = self._patiently(_look, writes=False, patience_s=patience_s)
        if int(version) < OLDEST:
            raise Unsupported(
                f"a ledger needs PostgreSQL {OLDEST // 10_000} or newer, found {int(version) // 10_000} at {self.name}"
            )
        if encoding != "UTF8":
            raise Unsupported(
                f"a ledger needs a database in UTF8, {self.name} is in {encoding}",
                f"CREATE DATABASE {self.url.database} ENCODING 'UTF8' TEMPLATE template0",
            )
        if not found and not create:
            raise NotFound(f"there is no ledger in {self.name}", "Any command that creates a job creates it.")

    def migrate(self, work: Any) -> None:
        """See `Database.migrate`."""

        def locked(connection: Connection) -> None:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATORS})"))
            work(connection)

        self.whole(locked)

    def _create(self) -> Engine:
        require_driver()
        # hide_parameters: an error text must not carry what was being written.
        engine = create_engine(
            self.url, hide_parameters=True, pool_pre_ping=True, use_native_hstore=False, connect_args=self._options()
        )
        event.listen(engine, "connect", self._prepare)
        return engine

    def _options(self) -> dict[str, object]:
        """What libpq is told, unless the URL says otherwise."""
        wanted = {
            "application_name": "qsearch",
            "client_encoding": "UTF8",
            "connect_timeout": 10,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": max(1000, round(self.patience_s * 1000)),
            # A prepared statement outlives a migration by another process, and then fails.
            "prepare_threshold": None,
        }
        return {name: value for name, value in wanted.items() if name not in self.url.query}

    def _prepare(self, connection: Any, _record: Any) -> None:
        from qsearch.store.postgres_text import register

        register(connection)
        patience_ms = max(1, round(self.patience_s * 1000))
        connection.autocommit = True
        connection.execute(_SESSION, {"patience": str(patience_ms), "idle": str(max(1000, patience_ms // 2))}).close()
        connection.autocommit = False

    def _once(self, work: Any, *, writes: bool) -> Any:
        with self.engine.connect().execution_options(**(_WRITE if writes else _READ)) as connection:
            transaction = Transaction(connection, self._shift_s, writes=writes)
            with connection.begin() as begun:
                answer = work(transaction)
                event = transaction.last_event
                number = int(transaction.run(_NUMBER).scalar_one()) if event else 0
                try:
                    begun.commit()
                except DBAPIError as error:
                    if event is None or not error.connection_invalidated:
                        raise
                    lost = error
                else:
                    return answer
        if not self._kept(number, event):
            raise lost
        return answer

    def _kept(self, number: int, event: tuple[str, int]) -> bool:
        """Whether the transaction was committed, although nobody said so; waits until it is decided."""
        deadline = time.monotonic() + self.patience_s
        while True:
            fate = self.read(lambda tx: _fate(tx, number))
            if fate != "in progress":
                # In a snapshot of its own: the one of the question is older than the answer, and may lack the event.
                return fate == "committed" and self.read(lambda tx: _writer(tx, event)) == number % 2**32
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"the connection to {self.name} broke during a write, and the server has not decided about it",
                    "Wait until it has, then `qsearch resume` continues with what is there.",
                )
            time.sleep(0.05)

    def _passes(self, error: DBAPIError) -> bool:
        return error.connection_invalidated or postgres_faults.passes(error.orig)

    def _translated(self, error: DBAPIError, patience_s: float) -> QSearchError:
        return postgres_faults.translated(error.orig, self.name, patience_s)


def _look(tx: Transaction) -> tuple[Any, str]:
    return tx.run(_ABOUT).one(), schema.current(tx.connection)


def _fate(tx: Transaction, number: int) -> str | None:
    """What became of a transaction; None when its number has not been given to anybody."""
    fate: str | None = tx.connection.execute(_FATE, {"number": str(number)}).scalar()
    return fate


def _writer(tx: Transaction, event: tuple[str, int]) -> int | None:
    """The number under which an event was written, its low 32 bits; None without such an event."""
    job, seq = event
    writer: int | None = tx.connection.execute(_EVENT, {"job": job, "seq": seq}).scalar()
    return writer
