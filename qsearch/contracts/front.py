"""Fronts and the answer drawn from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import JobState
from qsearch.contracts.measurement import Throughput
from qsearch.contracts.verdict import Interval, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontEntry:
    """One finished trial as the front sees it."""

    number: int
    #: 0 = on the front; 1 = tied with the member `tied_with`; 2 = dominated
    rank: int
    #: number of the front member it cannot be told from; None unless rank is 1
    tied_with: int | None
    #: meets every constraint of the job by its point estimates
    feasible: bool
    #: how far the worst constraint is exceeded, as a fraction; 0 when feasible
    excess: float


class Proof(StrEnum):
    """What the held-out split says of the drop limit."""

    PROVED = "PROVED"
    NOT_REFUTED = "NOT REFUTED"
    REFUTED = "REFUTED"
    #: no held-out score, or no limit to judge
    NONE = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Versus:
    """Pick against another arm of the same final sitting."""

    number: int
    #: "uniform int8-dynamic"
    origin: str
    #: time of the pick / time of the other, head to head
    ratio: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """Time of fp32 / time of the candidate: above 1 is faster."""

    value: float
    low: float
    high: float
    sessions: int
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class DropSeen:
    """A relative drop against fp32 on n samples, positive is worse."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The one answer of a job for one target, with its reason."""

    job: str
    target: str
    #: "JOB/42"
    trial: str
    #: fastest-feasible, knee
    rule: str
    reason: str
    #: False when nothing meets the constraints and this is the closest
    feasible: bool
    speedup: Speedup
    latency_p50_ms: float
    #: held out; None before the finals
    drop: DropSeen | None
    drop_search: DropSeen
    proof: Proof
    #: finalists whose held-out score was looked at before this one was taken, itself included
    tried: int
    size_bytes: int
    peak_memory_bytes: int
    #: against the best uniform candidate of the same finals; None when it is the pick, or no finals ran
    versus_uniform: Versus | None
    #: "uniform int8-dynamic" when the answer is a uniform candidate itself, else empty
    uniform: str = ""
    #: samples per second, the reference's on the job's own scale and times the speed-up; None unless offline
    throughput: Throughput | None = None
    choices: Mapping[str, Choice] = field(default_factory=dict)
    #: whether finals had run; None where it was not kept
    finals: bool | None = None
    #: of the job when the answer was read; None as it is stored
    state: JobState | None = None
