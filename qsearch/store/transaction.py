"""One transaction: its moment, the lease it names, the events it appends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast
from zlib import crc32

from sqlalchemy import Connection, Row, Table, func, insert, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql import Executable

from qsearch.contracts.job import Lease
from qsearch.store import rules, tables
from qsearch.store.clock import database_now_ms

#: seconds to add to the database's clock; a test moves time with it, nothing else may
Shift = Callable[[], float]
#: first half of the keys of advisory locks, the second is the table's
_QUEUES = 0x51


def no_shift() -> float:
    """The database's clock as it is."""
    return 0.0


class Transaction:
    """What a piece of work may do; valid until the work returns."""

    def __init__(self, connection: Connection, shift_s: Shift, *, writes: bool) -> None:
        self.connection = connection
        #: job and number of the last event that was appended
        self.last_event: tuple[str, int] | None = None
        self._shift_s = shift_s
        self._writes = writes

    @cached_property
    def now_ms(self) -> int:
        """The moment of the transaction by the database's clock; read once."""
        now = self.connection.execute(select(database_now_ms())).scalar_one()
        return int(now) + round(self._shift_s() * 1000)

    def run(self, statement: Executable) -> CursorResult[Any]:
        """Execute it; the result has `rowcount`."""
        return cast("CursorResult[Any]", self.connection.execute(statement))

    def add(self, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert the rows, all in one go: a server may be far away."""
        if rows:
            self.connection.execute(insert(table), rows)

    def all(self, statement: Executable) -> list[Row[Any]]:
        """Every row."""
        return list(self.run(statement))

    def one(self, statement: Executable) -> Row[Any] | None:
        """The first row, if there is one."""
        return self.run(statement).first()

    def job(self, job: str) -> Row[Any]:
        """The row of a job by its id; work that writes locks it against other writers. Raises NotFound."""
        query = select(tables.jobs).where(tables.jobs.c.id == job)
        found = self.one(query.with_for_update() if self._writes else query)
        if found is None:
            known = self.all(select(tables.jobs.c.id).order_by(tables.jobs.c.id.desc()).limit(200))
            raise rules.no_job(job, [row.id for row in known])
        return found

    def hold(self, lease: Lease, write: str) -> Row[Any]:
        """The row of the lease's job, when the lease is current.

        Raises:
            Refused: the job has moved on to another epoch; the ledger notes it.
        """
        row = self.job(lease.job)
        if row.epoch != lease.epoch:
            raise rules.stale_epoch(lease, row.epoch, write)
        return row

    def check_target(self, job: str, target: str) -> None:
        """Raises NotFound when the job has no such target."""
        rows = self.all(select(tables.targets.c.name).where(tables.targets.c.job == job).order_by("position"))
        known = [row.name for row in rows]
        if target not in known:
            raise rules.no_target(job, target, known)

    def append_event(self, job: str, kind: str, data: Mapping[str, object]) -> None:
        """Append to the job's log under its current epoch."""
        jobs = tables.jobs
        numbered = update(jobs).where(jobs.c.id == job).values(last_event=jobs.c.last_event + 1)
        row = self.run(numbered.returning(jobs.c.last_event, jobs.c.epoch)).one()
        self.run(
            insert(tables.job_events).values(
                job=job,
                seq=row.last_event,
                at_ms=self.now_ms,
                epoch=row.epoch,
                kind=kind,
                data=rules.event_text(data),
            )
        )
        self.last_event = (job, row.last_event)

    def put(
        self, table: Table, key: Mapping[str, object], values: Mapping[str, object], once: Mapping[str, object]
    ) -> None:
        """Insert the row, or change `values` of the one that is there.

        Args:
            table: which.
            key: the primary key.
            values: what is written either way.
            once: what is written with a new row only.
        """
        # One statement: two jobs that meet the same model for the first time do so at the same moment.
        row = self._insert(table).values(**key, **values, **once)
        self.run(row.on_conflict_do_update(index_elements=list(key), set_=dict(values)))

    def one_at_a_time(self, table: Table) -> None:
        """Let no other transaction pass here for the same table until this one ends."""
        # A write of SQLite has the whole database to itself already.
        if self._dialect == "postgresql":
            self.run(select(func.pg_advisory_xact_lock(_QUEUES, crc32(table.name.encode()) - 2**31)))

    @property
    def _dialect(self) -> str:
        return self.connection.dialect.name

    def _insert(self, table: Table) -> Any:
        if self._dialect == "postgresql":
            from sqlalchemy.dialects import postgresql

            return postgresql.insert(table)
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
