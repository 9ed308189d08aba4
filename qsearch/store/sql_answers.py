"""Fronts and answers in SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import and_, delete, func, select

from qsearch.contracts.codec import from_data
from qsearch.contracts.errors import UsageError
from qsearch.contracts.front import Best, FrontEntry
from qsearch.contracts.job import Lease
from qsearch.store import rules, tables
from qsearch.store.database import Database
from qsearch.store.packing import text_of
from qsearch.store.transaction import Transaction

_fronts = tables.fronts
_rows = tables.measurements


class SqlAnswers:
    """The answers' part of the ledger; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_front(self, lease: Lease, target: str, entries: Sequence[FrontEntry]) -> None:
        def work(tx: Transaction) -> None:
            tx.hold(lease, "set_front")
            tx.check_target(lease.job, target)
            _check_finished(tx, lease.job, entries)
            tx.run(delete(_fronts).where(_fronts.c.job == lease.job, _fronts.c.target == target))
            tx.add(_fronts, [{"job": lease.job, "target": target, **_columns(entry)} for entry in entries])
            members = sorted(entry.number for entry in entries if entry.rank == 0)
            tx.append_event(lease.job, "front", {"target": target, "members": members, "trials": len(entries)})

        self._database.write(work)

    def front(self, job: str, target: str) -> Sequence[FrontEntry]:
        any_final, final = _rows.alias("any_final"), _rows.alias("final")
        its_finals = and_(
            any_final.c.job == _fronts.c.job, any_final.c.number == _fronts.c.number, any_final.c.role == "final"
        )
        newest = select(func.max(any_final.c.id)).where(its_finals).correlate(_fronts).scalar_subquery()
        own = and_(_rows.c.job == _fronts.c.job, _rows.c.number == _fronts.c.number, _rows.c.role == "trial")
        query = (
            select(_fronts)
            .join(_rows, own)
            .outerjoin(final, final.c.id == newest)
            .where(_fronts.c.job == job, _fronts.c.target == target)
            .order_by(_fronts.c.rank, func.coalesce(final.c.ratio, _rows.c.ratio), _fronts.c.number)
        )

        def work(tx: Transaction) -> Sequence[FrontEntry]:
            tx.job(job)
            return [
                FrontEntry(
                    number=row.number,
                    rank=row.rank,
                    tied_with=row.tied_with,
                    feasible=row.feasible,
                    excess=row.excess,
                )
                for row in tx.all(query)
            ]

        return self._database.read(work)

    def set_best(self, lease: Lease, best: Best) -> None:
        if best.job != lease.job:
            raise UsageError(f"the answer of job {best.job} cannot be kept under the lease of job {lease.job}")

        def work(tx: Transaction) -> None:
            tx.hold(lease, "set_best")
            tx.check_target(lease.job, best.target)
            values = {"trial": best.trial, "at_ms": tx.now_ms, "record": text_of(best)}
            tx.put(tables.bests, {"job": lease.job, "target": best.target}, values, {})
            tx.append_event(lease.job, "decided", {"target": best.target, "trial": best.trial, "rule": best.rule})

        self._database.write(work)

    def best(self, job: str, target: str) -> Best | None:
        rows = tables.bests

        def work(tx: Transaction) -> Best | None:
            tx.job(job)
            row = tx.one(select(rows.c.record).where(rows.c.job == job, rows.c.target == target))
            return from_data(Best, json.loads(row.record)) if row else None

        return self._database.read(work)


def _columns(entry: FrontEntry) -> dict[str, object]:
    return {
        "number": entry.number,
        "rank": entry.rank,
        "tied_with": entry.tied_with,
        "feasible": entry.feasible,
        "excess": entry.excess,
    }


def _check_finished(tx: Transaction, job: str, entries: Sequence[FrontEntry]) -> None:
    done = tx.all(select(_rows.c.number).where(_rows.c.job == job, _rows.c.role == "trial"))
    finished = {row.number for row in done}
    for entry in entries:
        if entry.number not in finished:
            raise rules.unfinished(job, entry.number, "on a front")
