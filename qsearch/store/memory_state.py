"""What the in-memory ledger remembers: the same facts as the tables, as plain objects."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from qsearch.contracts.errors import QSearchError
from qsearch.contracts.front import Best, FrontEntry
from qsearch.contracts.job import Job, JobEvent, Lease
from qsearch.contracts.ledger import Artifact
from qsearch.contracts.machine import Machine
from qsearch.contracts.measurement import Measurement
from qsearch.contracts.noise import NoiseFloor
from qsearch.contracts.trial import Trial
from qsearch.contracts.work import FinalResult, Materialized, Prepared
from qsearch.store import rules
from qsearch.store.clock import from_ms
from qsearch.store.packing import Packed
from qsearch.store.transaction import Shift


@dataclass
class MemoryTrial:
    """A trial and what was accepted for it."""

    record: Trial
    #: epoch of the lease under which it was started; 0 before
    epoch: int = 0
    #: token of the attempt that was accepted, and its measurement
    accepted: tuple[int, Packed[Measurement]] | None = None


@dataclass
class MemoryJob:
    """A job and everything that belongs to it."""

    record: Job
    holder: str = ""
    until_ms: int = 0
    events: list[JobEvent] = field(default_factory=list)
    trials: list[MemoryTrial] = field(default_factory=list)
    prepared: dict[str, tuple[Packed[Materialized], Packed[Prepared]]] = field(default_factory=dict)
    #: by target, oldest first
    finals: dict[str, list[Packed[FinalResult]]] = field(default_factory=dict)
    fronts: dict[str, tuple[FrontEntry, ...]] = field(default_factory=dict)
    bests: dict[str, Packed[Best]] = field(default_factory=dict)

    def trial(self, number: int) -> MemoryTrial:
        """Raises NotFound."""
        if not 0 <= number < len(self.trials):
            raise rules.no_trial(self.record.id, number, len(self.trials))
        return self.trials[number]

    def check_target(self, target: str) -> None:
        """Raises NotFound when the job has no such target."""
        known = [known.name for known in self.record.spec.targets]
        if target not in known:
            raise rules.no_target(self.record.id, target, known)

    def final_of(self, number: int) -> FinalResult | None:
        """The newest final that the trial took part in."""
        finals = self.finals.get(self.trial(number).record.target, [])
        mine = [final.record for final in finals if any(f.number == number for f in final.record.finalists)]
        return mine[-1] if mine else None


class MemoryState:
    """All jobs, behind one lock."""

    def __init__(self, shift_s: Shift) -> None:
        self.lock = threading.RLock()
        self.jobs: dict[str, MemoryJob] = {}
        self.machines: dict[tuple[str, str], Machine] = {}
        self.artifacts: dict[tuple[str, str], Artifact] = {}
        #: by machine key, runtime key and source
        self.noise: dict[tuple[str, str, str], NoiseFloor] = {}
        self._shift_s = shift_s

    @property
    def now_ms(self) -> int:
        """This process's clock stands in for the database's."""
        return int(time.time() * 1000) + round(self._shift_s() * 1000)

    def job(self, job: str) -> MemoryJob:
        """By its id. Raises NotFound."""
        if job not in self.jobs:
            raise rules.no_job(job, list(self.jobs))
        return self.jobs[job]

    def hold(self, lease: Lease, write: str) -> MemoryJob:
        """The lease's job, when the lease is current; else Refused, noted as an event."""
        found = self.job(lease.job)
        if found.record.epoch != lease.epoch:
            raise self.refused(rules.stale_epoch(lease, found.record.epoch, write))
        return found

    def refused(self, refusal: rules.Refused) -> QSearchError:
        """Note the refusal; the same error, to be raised."""
        self.append_event(refusal.job, "fenced", refusal.data)
        return refusal

    def append_event(self, job: str, kind: str, data: Mapping[str, object]) -> None:
        """Append to the job's log under its current epoch."""
        found = self.jobs[job]
        plain = json.loads(rules.event_text(data))
        at, epoch = from_ms(self.now_ms), found.record.epoch
        seq = len(found.events) + 1
        found.events.append(JobEvent(job=job, seq=seq, at=at, epoch=epoch, kind=kind, data=plain))
