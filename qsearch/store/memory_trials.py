"""Trials in memory."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from qsearch.contracts.causes import Cause
from qsearch.contracts.job import Lease
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.trial import Proposal, Trial, TrialState
from qsearch.store import rules
from qsearch.store.clock import from_ms
from qsearch.store.memory_state import MemoryState, MemoryTrial
from qsearch.store.packing import normal, pack


class MemoryTrials:
    """The trials' part of the twin; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def add_trials(self, lease: Lease, proposals: Sequence[Proposal]) -> Sequence[Trial]:
        if not proposals:
            return []
        with self._state.lock:
            found = self._state.hold(lease, "add_trials")
            for proposal in proposals:
                found.check_target(proposal.target)
            first = len(found.trials)
            created = from_ms(self._state.now_ms)
            for number, proposal in enumerate((normal(Proposal, p) for p in proposals), first):
                trial = Trial(
                    job=lease.job,
                    number=number,
                    candidate=proposal.candidate,
                    target=proposal.target,
                    origin=proposal.origin,
                    state=TrialState.QUEUED,
                    token=0,
                    failures={},
                    created=created,
                )
                found.trials.append(MemoryTrial(trial))
            self._state.append_event(lease.job, "asked", {"first": first, "count": len(proposals)})
            return deepcopy([trial.record for trial in found.trials[first:]])

    def start(self, lease: Lease, number: int) -> int:
        with self._state.lock:
            trial = self._state.hold(lease, "start").trial(number)
            rules.check_trial_move(lease.job, number, trial.record.state, TrialState.RUNNING)
            token = trial.record.token + 1
            trial.record = replace(trial.record, state=TrialState.RUNNING, token=token)
            trial.epoch = lease.epoch
            self._state.append_event(lease.job, "started", {"trial": number, "token": token})
            return token

    def finish(self, job: str, number: int, token: int, measurement: Measurement) -> bool:
        packed = pack(Measurement, measurement)
        with self._state.lock:
            trial = self._state.job(job).trial(number)
            if trial.record.state is TrialState.RUNNING and trial.record.token == token:
                ended = from_ms(self._state.now_ms)
                trial.record = replace(trial.record, state=TrialState.DONE, ended=ended, cause=None, message="")
                trial.accepted = (token, packed)
                self._state.append_event(job, "accepted", {"trial": number, "token": token, "digest": packed.digest})
                return True
            if trial.accepted is None or trial.accepted[0] != token:
                found = (trial.record.state, trial.record.token)
                raise self._state.refused(rules.stale_token(job, number, token, found, "finish"))
            accepted = trial.accepted[1].digest
            if accepted != packed.digest:
                raise self._state.refused(rules.other_measurement(job, number, token, packed.digest, accepted))
            return False

    def fail(self, lease: Lease, number: int, token: int, cause: Cause, message: str, tail: str) -> Trial:
        with self._state.lock:
            trial = self._state.hold(lease, "fail").trial(number)
            record = trial.record
            if record.state is not TrialState.RUNNING or record.token != token:
                found = (record.state, record.token)
                raise self._state.refused(rules.stale_token(lease.job, number, token, found, "fail"))
            failures = {**record.failures, cause: record.failures.get(cause, 0) + 1}
            state = rules.after_failure(failures, cause)
            ended = from_ms(self._state.now_ms) if state is TrialState.FAILED else None
            trial.record = replace(record, state=state, failures=failures, cause=cause, message=message, ended=ended)
            told = {"trial": number, "token": token, "cause": cause.value, "message": message, "state": state.value}
            self._state.append_event(lease.job, "failed", told)
            return deepcopy(trial.record)

    def requeue(self, lease: Lease) -> Sequence[Trial]:
        with self._state.lock:
            trials = self._state.hold(lease, "requeue").trials
            lost = [t for t in trials if t.record.state is TrialState.RUNNING and t.epoch < lease.epoch]
            for trial in lost:
                trial.record = replace(trial.record, state=TrialState.QUEUED)
                told = {"trial": trial.record.number, "token": trial.record.token}
                self._state.append_event(lease.job, "requeued", told)
            return deepcopy([trial.record for trial in lost])

    def cancel_trials(self, lease: Lease) -> int:
        with self._state.lock:
            trials = self._state.hold(lease, "cancel_trials").trials
            open_trials = [t for t in trials if t.record.state in (TrialState.QUEUED, TrialState.RUNNING)]
            for trial in open_trials:
                ended = from_ms(self._state.now_ms)
                trial.record = replace(trial.record, state=TrialState.CANCELLED, ended=ended)
            if open_trials:
                self._state.append_event(lease.job, "cancelled", {"trials": len(open_trials)})
            return len(open_trials)

    def trial(self, job: str, number: int) -> Trial:
        with self._state.lock:
            return deepcopy(self._state.job(job).trial(number).record)

    def trials(self, job: str, states: Sequence[TrialState] = ()) -> Sequence[Trial]:
        with self._state.lock:
            records = [trial.record for trial in self._state.job(job).trials]
            return deepcopy([record for record in records if record.state in (states or TrialState)])
