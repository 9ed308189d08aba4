"""Jobs in SQL: creating, finding, driving."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, insert, select, update

from qsearch.contracts.codec import from_data
from qsearch.contracts.errors import NotFound
from qsearch.contracts.job import Job, JobEvent, JobSpec, JobState, Lease, Request
from qsearch.store import rules, tables
from qsearch.store.clock import from_ms, maybe_from_ms
from qsearch.store.database import Database
from qsearch.store.ids import next_id
from qsearch.store.packing import normal, text_of
from qsearch.store.transaction import Transaction

_jobs = tables.jobs


class SqlJobs:
    """The jobs' part of the ledger; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create_job(self, spec: JobSpec, source: str, owner: str) -> Job:
        spec = normal(JobSpec, spec)

        def work(tx: Transaction) -> Job:
            tx.one_at_a_time(_jobs)
            last = tx.run(select(func.max(_jobs.c.id))).scalar()
            job = next_id(tx.now_ms, last or "")
            tx.run(insert(_jobs).values(id=job, created_ms=tx.now_ms, **_new_job(spec, source, owner)))
            for position, target in enumerate(spec.targets):
                tx.run(
                    insert(tables.targets).values(
                        job=job, name=target.name, position=position, digest=target.digest, record=text_of(target)
                    )
                )
            tx.append_event(job, "created", {"name": spec.name, "owner": owner})
            return _job(tx.job(job))

        return self._database.write(work)

    def job(self, reference: str, owner: str) -> Job:
        return self._database.read(lambda tx: _job(_find(tx, reference, owner)))

    def jobs(self, *, limit: int = 50, states: Sequence[JobState] = ()) -> Sequence[Job]:
        query = select(_jobs).order_by(_jobs.c.id.desc()).limit(limit)
        if states:
            query = query.where(_jobs.c.state.in_([state.value for state in states]))
        return self._database.read(lambda tx: [_job(row) for row in tx.all(query)])

    def lease(
        self,
        job: str,
        holder: str,
        ttl_s: float,
        *,
        dead: Callable[[str], bool] | None = None,
        epoch: int | None = None,
    ) -> Lease:
        def work(tx: Transaction) -> Lease:
            row = tx.job(job)
            rules.check_epoch(job, row.epoch, epoch)
            left_ms = row.lease_until_ms - tx.now_ms
            if left_ms > 0 and rules.is_other(row.lease_holder, holder, dead):
                raise rules.live_lease(job, row.lease_holder, left_ms / 1000)
            until_ms = tx.now_ms + round(ttl_s * 1000)
            tx.run(
                update(_jobs)
                .where(_jobs.c.id == job)
                .values(epoch=row.epoch + 1, lease_holder=holder, lease_until_ms=until_ms, requested=None)
            )
            tx.append_event(job, "leased", {"holder": holder, "ttl_s": ttl_s})
            return Lease(job=job, epoch=row.epoch + 1, holder=holder, until=from_ms(until_ms))

        return self._database.write(work)

    def leased(self, job: str) -> Lease | None:
        def work(tx: Transaction) -> Lease | None:
            row = tx.job(job)
            if not row.lease_holder or row.lease_until_ms <= tx.now_ms:
                return None
            return Lease(job=job, epoch=row.epoch, holder=row.lease_holder, until=from_ms(row.lease_until_ms))

        return self._database.read(work)

    def request(self, job: str, request: Request) -> Job:
        def work(tx: Transaction) -> Job:
            row = tx.job(job)
            asked = rules.after_request(job, JobState(row.state), _request(row), request)
            tx.run(update(_jobs).where(_jobs.c.id == job).values(requested=asked.value))
            tx.append_event(job, "requested", {"request": request.value})
            return _job(tx.job(job))

        return self._database.write(work)

    def renew(self, lease: Lease, ttl_s: float, *, searched_s: float | None = None) -> Lease:
        def work(tx: Transaction) -> Lease:
            tx.hold(lease, "renew")
            until_ms = tx.now_ms + round(ttl_s * 1000)
            values: dict[str, object] = {"lease_holder": lease.holder, "lease_until_ms": until_ms}
            if searched_s is not None:
                values["searched_s"] = searched_s
            tx.run(update(_jobs).where(_jobs.c.id == lease.job).values(**values))
            return Lease(job=lease.job, epoch=lease.epoch, holder=lease.holder, until=from_ms(until_ms))

        return self._database.write(work)

    def release(self, lease: Lease) -> None:
        mine = (_jobs.c.id == lease.job) & (_jobs.c.epoch == lease.epoch)
        free = update(_jobs).where(mine).values(lease_holder="", lease_until_ms=0)
        self._database.write(lambda tx: tx.run(free))

    def move(self, lease: Lease, state: JobState, message: str = "") -> Job:
        def work(tx: Transaction) -> Job:
            now = JobState(tx.hold(lease, "move").state)
            rules.check_job_move(lease.job, now, state)
            ended_ms = tx.now_ms if state.ended else None
            tx.run(
                update(_jobs)
                .where(_jobs.c.id == lease.job)
                .values(state=state.value, message=message, ended_ms=ended_ms)
            )
            tx.append_event(lease.job, "state", {"from": now.value, "to": state.value, "message": message})
            return _job(tx.job(lease.job))

        return self._database.write(work)

    def note(self, lease: Lease, kind: str, data: Mapping[str, object]) -> None:
        def work(tx: Transaction) -> None:
            tx.hold(lease, "note")
            tx.append_event(lease.job, kind, data)

        self._database.write(work)

    def events(self, job: str) -> Sequence[JobEvent]:
        log = tables.job_events
        query = select(log).where(log.c.job == job).order_by(log.c.seq)

        def work(tx: Transaction) -> Sequence[JobEvent]:
            tx.job(job)
            return [_event(row) for row in tx.all(query)]

        return self._database.read(work)


def _new_job(spec: JobSpec, source: str, owner: str) -> dict[str, object]:
    return {
        "name": spec.name,
        "owner": owner,
        "spec": text_of(spec),
        "source": source,
        "budget": spec.search.trials,
        "state": JobState.QUEUED.value,
        "message": "",
        "searched_s": 0.0,
        "epoch": 0,
        "lease_holder": "",
        "lease_until_ms": 0,
        "last_event": 0,
        "next_trial": 0,
    }


def _find(tx: Transaction, reference: str, owner: str) -> Row[Any]:
    if reference == "@last":
        found = _newest(tx, _jobs.c.owner == owner)
        if found is None:
            raise rules.no_last(owner)
        return found
    found = _newest(tx, _jobs.c.id == reference.lower()) or _newest(tx, _jobs.c.name == reference)
    if found is not None:
        return found
    starts = func.substr(_jobs.c.id, 1, len(reference)) == reference.lower()
    several = tx.all(select(_jobs).where(starts).order_by(_jobs.c.id).limit(6)) if reference else []
    if len(several) > 1:
        raise rules.many_jobs(reference, [row.id for row in several])
    if not several:
        raise _not_found(tx, reference)
    return several[0]


def _newest(tx: Transaction, condition: ColumnElement[bool]) -> Row[Any] | None:
    return tx.one(select(_jobs).where(condition).order_by(_jobs.c.id.desc()).limit(1))


def _not_found(tx: Transaction, reference: str) -> NotFound:
    known = tx.all(select(_jobs.c.id, _jobs.c.name).order_by(_jobs.c.id.desc()).limit(500))
    return rules.no_job(reference, [row.name for row in known] + [row.id for row in known])


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        spec=from_data(JobSpec, json.loads(row.spec)),
        source=row.source,
        state=JobState(row.state),
        epoch=row.epoch,
        owner=row.owner,
        created=from_ms(row.created_ms),
        ended=maybe_from_ms(row.ended_ms),
        message=row.message,
        searched_s=row.searched_s,
        requested=_request(row),
    )


def _request(row: Row[Any]) -> Request | None:
    return Request(row.requested) if row.requested else None


def _event(row: Row[Any]) -> JobEvent:
    return JobEvent(
        job=row.job, seq=row.seq, at=from_ms(row.at_ms), epoch=row.epoch, kind=row.kind, data=json.loads(row.data)
    )
