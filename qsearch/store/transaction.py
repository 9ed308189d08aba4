"""One transaction: its moment, the lease it names, the events it appends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, cast

from sqlalchemy import Connection, Row, Table, and_, insert, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql import Executable

from qsearch.contracts.job import Lease
from qsearch.store import rules, tables
from qsearch.store.clock import database_now_ms

#: seconds to add to the database's clock; a test moves time with it, nothing else may
Shift = Callable[[], float]


def no_shift() -> float:
    """The database's clock as it is."""
    return 0.0


class Transaction:
    """What a piece of work may do; valid until the work returns."""

    def __init__(self, connection: Connection, shift_s: Shift) -> None:
        self.connection = connection
        self._shift_s = shift_s

    @cached_property
    def now_ms(self) -> int:
        """The moment of the transaction by the database's clock; read once."""
        now = self.connection.execute(select(database_now_ms())).scalar_one()
        return int(now) + round(self._shift_s() * 1000)

    def run(self, statement: Executable) -> CursorResult[Any]:
        """Execute it; the result has `rowcount`."""
        return cast("CursorResult[Any]", self.connection.execute(statement))

    def all(self, statement: Executable) -> list[Row[Any]]:
        """Every row."""
        return list(self.run(statement))

    def one(self, statement: Executable) -> Row[Any] | None:
        """The first row, if there is one."""
        return self.run(statement).first()

    def job(self, job: str) -> Row[Any]:
        """The row of a job by its id, locked against other writers. Raises NotFound."""
        found = self.one(select(tables.jobs).where(tables.jobs.c.id == job).with_for_update())
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
        mine = and_(*(table.c[name] == value for name, value in key.items()))
        there = self.one(select(*(table.c[name] for name in key)).where(mine).with_for_update())
        if there is None:
            self.run(insert(table).values(**key, **values, **once))
        elif values:
            self.run(update(table).where(mine).values(**values))
