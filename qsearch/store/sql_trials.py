"""Trials in SQL: adding, starting, accepting, failing.

NOTE: the token stands in the WHERE of the UPDATE that accepts, and the epoch is read in the same
transaction as every write that names a lease. None of the job queues this was learned from fences
the write of an attempt that was given up; for a measurement that is the difference between one
number and two.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, insert, select, update

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.job import Lease
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.trial import Proposal, Trial, TrialState
from qsearch.store import rules, tables
from qsearch.store.clock import from_ms, maybe_from_ms
from qsearch.store.database import Database
from qsearch.store.measurement_row import trial_row
from qsearch.store.packing import Packed, pack, text_of
from qsearch.store.transaction import Transaction

_trials = tables.trials
_attempts = tables.attempts
_RUNNING = TrialState.RUNNING.value


class SqlTrials:
    """The trials' part of the ledger; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_trials(self, lease: Lease, proposals: Sequence[Proposal]) -> Sequence[Trial]:
        def work(tx: Transaction) -> Sequence[Trial]:
            first = tx.hold(lease, "add_trials").next_trial
            for target in {proposal.target for proposal in proposals}:
                tx.check_target(lease.job, target)
            numbered = enumerate(proposals, first)
            tx.add(_trials, [{"job": lease.job, "number": n, **_new_trial(p, tx.now_ms)} for n, p in numbered])
            jobs = tables.jobs
            tx.run(update(jobs).where(jobs.c.id == lease.job).values(next_trial=first + len(proposals)))
            tx.append_event(lease.job, "asked", {"first": first, "count": len(proposals)})
            return read_trials(tx, lease.job, _trials.c.number >= first)

        return self._database.write(work) if proposals else []

    def start(self, lease: Lease, number: int) -> int:
        def work(tx: Transaction) -> int:
            tx.hold(lease, "start")
            row = _row(tx, lease.job, number)
            rules.check_trial_move(lease.job, number, TrialState(row.state), TrialState.RUNNING)
            token = int(row.token) + 1
            _change(tx, lease.job, number, state=_RUNNING, token=token, epoch=lease.epoch)
            tx.run(
                insert(_attempts).values(
                    job=lease.job,
                    number=number,
                    token=token,
                    epoch=lease.epoch,
                    started_ms=tx.now_ms,
                    outcome="running",
                    message="",
                    tail="",
                )
            )
            tx.append_event(lease.job, "started", {"trial": number, "token": token})
            return token

        return self._database.write(work)

    def finish(self, job: str, number: int, token: int, measurement: Measurement) -> bool:
        packed = pack(Measurement, measurement)

        def work(tx: Transaction) -> bool:
            tx.job(job)
            done = (
                update(_trials)
                .where(_is(job, number), _trials.c.token == token, _trials.c.state == _RUNNING)
                .values(state=TrialState.DONE.value, ended_ms=tx.now_ms, cause=None, message="")
            )
            if tx.run(done).rowcount != 1:
                return _already(tx, job, number, token, packed.digest)
            _accept(tx, job, number, token, packed)
            return True

        return self._database.write(work)

    def fail(self, lease: Lease, number: int, token: int, cause: Cause, message: str, tail: str) -> Trial:
        def work(tx: Transaction) -> Trial:
            tx.hold(lease, "fail")
            row = _row(tx, lease.job, number)
            if row.token != token or row.state != _RUNNING:
                raise rules.stale_token(lease.job, number, token, (TrialState(row.state), row.token), "fail")
            _end_attempt(tx, lease.job, number, token, "failed", cause=cause.value, message=message, tail=tail)
            state = rules.after_failure(_failures(tx, lease.job, number)[number], cause)
            ended_ms = tx.now_ms if state is TrialState.FAILED else None
            _change(tx, lease.job, number, state=state.value, cause=cause.value, message=message, ended_ms=ended_ms)
            told = {"trial": number, "token": token, "cause": cause.value, "message": message, "state": state.value}
            tx.append_event(lease.job, "failed", told)
            return read_trials(tx, lease.job, _trials.c.number == number)[0]

        return self._database.write(work)

    def requeue(self, lease: Lease) -> Sequence[Trial]:
        def work(tx: Transaction) -> Sequence[Trial]:
            tx.hold(lease, "requeue")
            earlier = and_(_trials.c.job == lease.job, _trials.c.state == _RUNNING, _trials.c.epoch < lease.epoch)
            lost = tx.all(select(_trials.c.number, _trials.c.token).where(earlier).order_by(_trials.c.number))
            for row in lost:
                _end_attempt(tx, lease.job, row.number, row.token, "requeued")
                _change(tx, lease.job, row.number, state=TrialState.QUEUED.value)
                tx.append_event(lease.job, "requeued", {"trial": row.number, "token": row.token})
            numbers = [row.number for row in lost]
            return read_trials(tx, lease.job, _trials.c.number.in_(numbers)) if numbers else []

        return self._database.write(work)

    def cancel_trials(self, lease: Lease) -> int:
        def work(tx: Transaction) -> int:
            tx.hold(lease, "cancel_trials")
            open_states = (TrialState.QUEUED.value, _RUNNING)
            mine = and_(_trials.c.job == lease.job, _trials.c.state.in_(open_states))
            for row in tx.all(select(_trials.c.number, _trials.c.token).where(mine, _trials.c.state == _RUNNING)):
                _end_attempt(tx, lease.job, row.number, row.token, "cancelled")
            ended = update(_trials).where(mine).values(state=TrialState.CANCELLED.value, ended_ms=tx.now_ms)
            count = tx.run(ended).rowcount
            if count:
                tx.append_event(lease.job, "cancelled", {"trials": count})
            return count

        return self._database.write(work)

    def trial(self, job: str, number: int) -> Trial:
        def work(tx: Transaction) -> Trial:
            _row(tx, job, number)
            return read_trials(tx, job, _trials.c.number == number)[0]

        return self._database.read(work)

    def trials(self, job: str, states: Sequence[TrialState] = ()) -> Sequence[Trial]:
        wanted = [state.value for state in states or TrialState]

        def work(tx: Transaction) -> Sequence[Trial]:
            tx.job(job)
            return read_trials(tx, job, _trials.c.state.in_(wanted))

        return self._database.read(work)


def read_trials(tx: Transaction, job: str, condition: ColumnElement[bool]) -> list[Trial]:
    """Trials of a job that fit the condition, by number, with their failures."""
    rows = tx.all(select(_trials).where(_trials.c.job == job, condition).order_by(_trials.c.number))
    failures = _failures(tx, job, rows[0].number if len(rows) == 1 else None)
    return [_trial(row, failures.get(row.number, {})) for row in rows]


def _is(job: str, number: int) -> ColumnElement[bool]:
    return and_(_trials.c.job == job, _trials.c.number == number)


def _row(tx: Transaction, job: str, number: int) -> Row[Any]:
    row = tx.one(select(_trials).where(_is(job, number)))
    if row is None:
        raise rules.no_trial(job, number, tx.job(job).next_trial)
    return row


def _change(tx: Transaction, job: str, number: int, **values: object) -> None:
    tx.run(update(_trials).where(_is(job, number)).values(**values))


def _new_trial(proposal: Proposal, now_ms: int) -> dict[str, object]:
    return {
        "target": proposal.target,
        "origin": proposal.origin,
        "candidate": proposal.candidate.digest,
        "choices": text_of(proposal.candidate.choices),
        "state": TrialState.QUEUED.value,
        "token": 0,
        "epoch": 0,
        "created_ms": now_ms,
        "message": "",
    }


def _accept(tx: Transaction, job: str, number: int, token: int, packed: Packed[Measurement]) -> None:
    tx.run(insert(tables.measurements).values(at_ms=tx.now_ms, **trial_row(job, number, token, packed)))
    _end_attempt(tx, job, number, token, "accepted")
    tx.append_event(job, "accepted", {"trial": number, "token": token, "digest": packed.digest})


def _already(tx: Transaction, job: str, number: int, token: int, digest: str) -> bool:
    """False when this very measurement was accepted before; else Refused."""
    row = _row(tx, job, number)
    rows = tables.measurements
    mine = and_(rows.c.job == job, rows.c.number == number, rows.c.role == "trial")
    accepted = tx.one(select(rows.c.token, rows.c.digest).where(mine))
    if accepted is None or accepted.token != token:
        raise rules.stale_token(job, number, token, (TrialState(row.state), row.token), "finish")
    if accepted.digest != digest:
        raise rules.other_measurement(job, number, token, digest, accepted.digest)
    return False


def _end_attempt(tx: Transaction, job: str, number: int, token: int, outcome: str, **values: object) -> None:
    mine = and_(_attempts.c.job == job, _attempts.c.number == number, _attempts.c.token == token)
    tx.run(update(_attempts).where(mine).values(outcome=outcome, ended_ms=tx.now_ms, **values))


def _failures(tx: Transaction, job: str, number: int | None) -> Mapping[int, Mapping[Cause, int]]:
    """Trial number → cause → attempts that failed; of one trial, or of all."""
    failed = and_(_attempts.c.job == job, _attempts.c.outcome == "failed")
    if number is not None:
        failed = and_(failed, _attempts.c.number == number)
    query = select(_attempts.c.number, _attempts.c.cause, func.count().label("times")).where(failed)
    found: defaultdict[int, dict[Cause, int]] = defaultdict(dict)
    for row in tx.all(query.group_by(_attempts.c.number, _attempts.c.cause)):
        found[row.number][Cause(row.cause)] = row.times
    return found


def _trial(row: Row[Any], failures: Mapping[Cause, int]) -> Trial:
    choices = {layer: Choice(choice) for layer, choice in json.loads(row.choices).items()}
    return Trial(
        job=row.job,
        number=row.number,
        candidate=Candidate(choices=choices),
        target=row.target,
        origin=row.origin,
        state=TrialState(row.state),
        token=row.token,
        failures=dict(failures),
        created=from_ms(row.created_ms),
        ended=maybe_from_ms(row.ended_ms),
        cause=Cause(row.cause) if row.cause else None,
        message=row.message,
    )
