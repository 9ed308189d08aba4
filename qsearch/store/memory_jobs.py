"""Jobs in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace

from qsearch.contracts.job import Job, JobEvent, JobSpec, JobState, Lease, Request
from qsearch.store import rules
from qsearch.store.clock import from_ms
from qsearch.store.ids import next_id
from qsearch.store.memory_state import MemoryJob, MemoryState
from qsearch.store.packing import normal


class MemoryJobs:
    """The jobs' part of the twin; promises as in `qsearch.contracts.ledger`."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def create_job(self, spec: JobSpec, source: str, owner: str) -> Job:
        spec = normal(JobSpec, spec)
        with self._state.lock:
            now_ms = self._state.now_ms
            job = Job(
                id=next_id(now_ms, max(self._state.jobs, default="")),
                name=spec.name,
                spec=spec,
                source=source,
                state=JobState.QUEUED,
                epoch=0,
                owner=owner,
                created=from_ms(now_ms),
            )
            self._state.jobs[job.id] = MemoryJob(job)
            self._state.append_event(job.id, "created", {"name": spec.name, "owner": owner})
            return deepcopy(job)

    def job(self, reference: str, owner: str) -> Job:
        with self._state.lock:
            return deepcopy(_find(self._newest(), reference, owner))

    def jobs(self, *, limit: int = 50, states: Sequence[JobState] = ()) -> Sequence[Job]:
        with self._state.lock:
            wanted = [job for job in self._newest() if job.state in (states or JobState)]
            return deepcopy(wanted[:limit])

    def lease(
        self,
        job: str,
        holder: str,
        ttl_s: float,
        *,
        dead: Callable[[str], bool] | None = None,
        epoch: int | None = None,
    ) -> Lease:
        with self._state.lock:
            found = self._state.job(job)
            rules.check_epoch(job, found.record.epoch, epoch)
            left_ms = found.until_ms - self._state.now_ms
            if left_ms > 0 and rules.is_other(found.holder, holder, dead):
                raise rules.live_lease(job, found.holder, left_ms / 1000)
            taken = found.record.epoch + 1
            found.record = replace(found.record, epoch=taken, requested=None)
            found.holder, found.until_ms = holder, self._state.now_ms + round(ttl_s * 1000)
            self._state.append_event(job, "leased", {"holder": holder, "ttl_s": ttl_s})
            return Lease(job=job, epoch=taken, holder=holder, until=from_ms(found.until_ms))

    def leased(self, job: str) -> Lease | None:
        with self._state.lock:
            found = self._state.job(job)
            if not found.holder or found.until_ms <= self._state.now_ms:
                return None
            until = from_ms(found.until_ms)
            return Lease(job=job, epoch=found.record.epoch, holder=found.holder, until=until)

    def request(self, job: str, request: Request) -> Job:
        with self._state.lock:
            found = self._state.job(job)
            asked = rules.after_request(job, found.record.state, found.record.requested, request)
            found.record = replace(found.record, requested=asked)
            self._state.append_event(job, "requested", {"request": request.value})
            return deepcopy(found.record)

    def renew(self, lease: Lease, ttl_s: float, *, searched_s: float | None = None) -> Lease:
        with self._state.lock:
            found = self._state.hold(lease, "renew")
            found.holder, found.until_ms = lease.holder, self._state.now_ms + round(ttl_s * 1000)
            if searched_s is not None:
                found.record = replace(found.record, searched_s=float(searched_s))
            return replace(lease, until=from_ms(found.until_ms))

    def release(self, lease: Lease) -> None:
        with self._state.lock:
            found = self._state.jobs.get(lease.job)
            if found is not None and found.record.epoch == lease.epoch:
                found.holder, found.until_ms = "", 0

    def move(self, lease: Lease, state: JobState, message: str = "") -> Job:
        with self._state.lock:
            found = self._state.hold(lease, "move")
            now = found.record.state
            rules.check_job_move(lease.job, now, state)
            ended = from_ms(self._state.now_ms) if state.ended else None
            found.record = replace(found.record, state=state, message=message, ended=ended)
            moved = {"from": now.value, "to": state.value, "message": message}
            self._state.append_event(lease.job, "state", moved)
            return deepcopy(found.record)

    def note(self, lease: Lease, kind: str, data: Mapping[str, object]) -> None:
        with self._state.lock:
            self._state.hold(lease, "note")
            self._state.append_event(lease.job, kind, data)

    def events(self, job: str) -> Sequence[JobEvent]:
        with self._state.lock:
            return deepcopy(self._state.job(job).events)

    def _newest(self) -> list[Job]:
        return [self._state.jobs[job].record for job in sorted(self._state.jobs, reverse=True)]


def _find(newest: Sequence[Job], reference: str, owner: str) -> Job:
    if reference == "@last":
        mine = [job for job in newest if job.owner == owner]
        if not mine:
            raise rules.no_last(owner)
        return mine[0]
    named = [job for job in newest if job.id == reference.lower()] or [job for job in newest if job.name == reference]
    if named:
        return named[0]
    several = sorted((job for job in newest if reference and job.id.startswith(reference.lower())), key=lambda j: j.id)
    if len(several) > 1:
        raise rules.many_jobs(reference, [job.id for job in several])
    if not several:
        raise rules.no_job(reference, [job.name for job in newest] + [job.id for job in newest])
    return several[0]
