"""A trial: one candidate on one target, one row, one unit of the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.verdict import Verdict


class TrialState(StrEnum):
    """Where a trial stands. Transitions: see `TRIAL_MOVES`."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


#: Allowed transitions; guarded in SQL. RUNNING → QUEUED is a retry, or `resume` re-queuing.
TRIAL_MOVES: dict[TrialState, tuple[TrialState, ...]] = {
    TrialState.QUEUED: (TrialState.RUNNING, TrialState.CANCELLED),
    TrialState.RUNNING: (TrialState.DONE, TrialState.FAILED, TrialState.QUEUED, TrialState.CANCELLED),
    TrialState.DONE: (),
    TrialState.FAILED: (),
    TrialState.CANCELLED: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate the proposer wants measured, and why."""

    candidate: Candidate
    #: name of the target it is for
    target: str
    #: "uniform int8-static", "tpe", "nsga2", "random"...
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A row of the trials table."""

    job: str
    #: 0-based within the job; `JOB/42`
    number: int
    candidate: Candidate
    target: str
    origin: str
    state: TrialState
    #: grows with each attempt; only the current one may finish
    token: int
    #: attempts that failed so far, by cause
    failures: Mapping[Cause, int]
    created: datetime
    ended: datetime | None = None
    #: of the last failure
    cause: Cause | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished trial in short: what a proposer, a front or a table needs; raw samples stay behind."""

    trial: Trial
    latency: Latency
    #: on the search split
    accuracy: Accuracy
    size_bytes: int
    peak_memory_bytes: int
    machine_key: str
    runtime_key: str
    #: the same, measured again head to head and on the held-out split; None when it was no finalist
    final_latency: Latency | None = None
    heldout: Accuracy | None = None

    @property
    def judged_latency(self) -> Latency:
        """The most careful latency that can be used: of the finals unless they were polluted, else of the trial."""
        final = self.final_latency
        return self.latency if final is None or final.verdict is Verdict.POLLUTED else final
