"""What was measured, in SQL: accepted measurements, the history, the finals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, select

from qsearch.contracts.job import Lease
from qsearch.contracts.measurement import Accuracy, Latency, Measurement, Tier
from qsearch.contracts.noise import Repeat
from qsearch.contracts.trial import Result, Trial, TrialState
from qsearch.contracts.work import FinalResult
from qsearch.store import rules, tables
from qsearch.store.database import Database
from qsearch.store.measurement_row import final_row
from qsearch.store.packing import pack, read_latency, read_summary, unpack
from qsearch.store.repeats import REMEMBERED, repeats_of
from qsearch.store.sql_trials import read_trials
from qsearch.store.transaction import Transaction

_rows = tables.measurements
_finals = tables.finals
#: everything but `record`, whose raw samples a listing must not load
_LIGHT = tuple(column for column in _rows.c if column.name != "record")


class SqlResults:
    """The results' part of the ledger; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def measurement(self, job: str, number: int, tier: Tier = Tier.SCREEN) -> Measurement | None:
        def work(tx: Transaction) -> Measurement | None:
            own = _own(tx, job, number)
            if own is None or tier is not Tier.FINAL:
                return own
            mine = and_(_rows.c.job == job, _rows.c.number == number, _rows.c.role == "final")
            newest = tx.one(select(_rows.c.final).where(mine).order_by(_rows.c.id.desc()).limit(1))
            if newest is None:
                return None
            final = _read_final(tx, _finals.c.id == newest.final)
            return rules.final_measurement(own, number, final) if final else None

        return self._database.read(work)

    def repeats(self, machine_key: str) -> Sequence[Repeat]:
        mine = _rows.c.machine_key == machine_key
        newest = select(_rows.c.id, _rows.c.artifact_sha256, _rows.c.runtime_key).where(mine)

        def work(tx: Transaction) -> Sequence[Repeat]:
            seen = tx.all(newest.order_by(_rows.c.id.desc()).limit(REMEMBERED))
            often = Counter((row.runtime_key, row.artifact_sha256) for row in seen)
            again = [row.id for row in seen if often[row.runtime_key, row.artifact_sha256] > 1]
            light = select(_rows.c.runtime_key, _rows.c.artifact_sha256, _rows.c.summary)
            found = tx.all(light.where(_rows.c.id.in_(again)).order_by(_rows.c.id)) if again else []
            return repeats_of(machine_key, [(r.runtime_key, r.artifact_sha256, read_latency(r.summary)) for r in found])

        return self._database.read(work)

    def history(self, job: str, target: str = "") -> Sequence[Result]:
        wanted = tables.trials.c.state == TrialState.DONE.value
        if target:
            wanted = and_(wanted, tables.trials.c.target == target)

        def work(tx: Transaction) -> Sequence[Result]:
            tx.job(job)
            rows = tx.all(select(*_LIGHT).where(_rows.c.job == job).order_by(_rows.c.id))
            own = {row.number: row for row in rows if row.role == "trial"}
            finals = {row.number: row for row in rows if row.role == "final"}
            trials = read_trials(tx, job, wanted)
            return [_result(trial, own[trial.number], finals.get(trial.number)) for trial in trials]

        return self._database.read(work)

    def save_final(self, lease: Lease, target: str, final: FinalResult) -> None:
        packed = pack(FinalResult, final)

        def work(tx: Transaction) -> None:
            tx.hold(lease, "save_final")
            tx.check_target(lease.job, target)
            mine = and_(_finals.c.job == lease.job, _finals.c.target == target, _finals.c.digest == packed.digest)
            if tx.one(select(_finals.c.id).where(mine)) is not None:
                return
            row = {"job": lease.job, "target": target, "digest": packed.digest, "record": packed.content}
            saved = tx.run(insert(_finals).values(at_ms=tx.now_ms, **row).returning(_finals.c.id)).scalar_one()
            for finalist in packed.record.finalists:
                own = _own_row(tx, lease.job, finalist.number)
                numbers = final_row(lease.job, packed.record, finalist, token=own.token, size_bytes=own.size_bytes)
                tx.run(insert(_rows).values(at_ms=tx.now_ms, final=saved, **numbers))
            finalists = [finalist.number for finalist in packed.record.finalists]
            tx.append_event(lease.job, "final", {"target": target, "trials": finalists, "digest": packed.digest})

        self._database.write(work)

    def final(self, job: str, target: str) -> FinalResult | None:
        def work(tx: Transaction) -> FinalResult | None:
            tx.job(job)
            return _read_final(tx, and_(_finals.c.job == job, _finals.c.target == target))

        return self._database.read(work)


def _own(tx: Transaction, job: str, number: int) -> Measurement | None:
    mine = and_(_rows.c.job == job, _rows.c.number == number, _rows.c.role == "trial")
    row = tx.one(select(_rows.c.record, _rows.c.digest).where(mine))
    if row is not None:
        return unpack(Measurement, row.record, digest=row.digest, name=f"the measurement of {job}/{number}")
    found = tx.one(select(tables.trials.c.number).where(tables.trials.c.job == job, tables.trials.c.number == number))
    if found is None:
        raise rules.no_trial(job, number, tx.job(job).next_trial)
    return None


def _own_row(tx: Transaction, job: str, number: int) -> Row[Any]:
    mine = and_(_rows.c.job == job, _rows.c.number == number, _rows.c.role == "trial")
    row = tx.one(select(_rows.c.token, _rows.c.size_bytes).where(mine))
    if row is None:
        raise rules.unfinished(job, number, "a finalist")
    return row


def _read_final(tx: Transaction, condition: ColumnElement[bool]) -> FinalResult | None:
    query = select(_finals.c.record, _finals.c.digest, _finals.c.job, _finals.c.target).where(condition)
    row = tx.one(query.order_by(_finals.c.id.desc()).limit(1))
    if row is None:
        return None
    return unpack(FinalResult, row.record, digest=row.digest, name=f"the final of {row.job}:{row.target}")


def _result(trial: Trial, own: Row[Any], final: Row[Any] | None) -> Result:
    latency, accuracy = read_summary(own.summary, own.outcomes, own.weights)
    final_latency: Latency | None = None
    heldout: Accuracy | None = None
    if final is not None:
        final_latency, heldout = read_summary(final.summary, final.outcomes, final.weights)
    return Result(
        trial=trial,
        latency=latency,
        accuracy=accuracy,
        size_bytes=own.size_bytes,
        peak_memory_bytes=own.peak_memory_bytes,
        machine_key=own.machine_key,
        runtime_key=own.runtime_key,
        final_latency=final_latency,
        heldout=heldout,
    )
