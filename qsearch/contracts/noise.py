"""How much a machine differs from itself: what sittings of equal models (A/A) have shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EqualSession:
    """One session of fresh children in which two arms had the same file: whatever differs from 0 is luck."""

    #: ln(time of one arm / time of the other), estimated from the session's clean pairs
    shift: float
    #: clean pairs it rests on
    pairs: int
    #: standard deviation of those pairs
    pair_sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLuck:
    """What is believed of the luck of a session on one class of machines under one runtime.

    NOTE: a process keeps its luck (where memory lay, which core's neighbour was busy) for its whole life,
    so that pairs of one session agree with each other and are wrong together. How wrong belongs to the
    machine and the runtime, and shows only where the truth is known: equal files must take equal time.
    It is a record of its own, sent along with an order, because workers never open the database.
    """

    machine_key: str
    runtime_key: str
    #: standard deviation between sessions of ln(ratio) of two arms, the noise of pairs taken out; 0 =
    #: nothing was seen beyond that noise
    sd: float
    #: how many sessions without any pair noise the estimate is worth
    weight: float
    #: A/A sessions and sittings behind it; 0 = only what follows is known
    sessions: int
    sittings: int
    #: standard deviation between sittings of unlike arms, as a multiple of that of their pairs; how many
    #: sittings the estimate is worth, and how many are behind it (see `qsearch.measure.flicker`)
    flicker: float = 0.0
    flicker_weight: float = 0.0
    repeats: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wander:
    """How far a sitting's number may lie from that of another sitting of the same two unlike arms.

    All three are standard deviations of ln(ratio).
    """

    #: of the pairs of a session
    pair_sd: float
    #: of the estimate, as far as its pairs and sessions are known to tell; what is only assumed is left out
    within_sd: float
    #: between sittings, which this one cannot tell; the interval holds it
    between_sd: float
    #: sittings of other such arms from which most of that was learned; 0 = most of it is assumed
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """One file against one reference in several sittings: what differs between them is no property of the file."""

    machine_key: str
    runtime_key: str
    #: ln(time of the arm / time of the reference), one per sitting, two at least
    shifts: tuple[float, ...]
    wanders: tuple[Wander, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """What one series of A/A sittings showed: a self-test, or the fp32-against-fp32 trials of a job."""

    machine_key: str
    host: str
    #: name and version of what ran
    runtime: str
    runtime_key: str
    #: who sat: "self-test:1", "JOB/0", "JOB/final:TARGET"; a series is found again by its keys and this
    source: str
    #: what was compared with itself, in words, and its SHA-256
    model: str
    model_sha256: str
    sittings: int
    sessions: tuple[EqualSession, ...]
    #: standard deviation between these sessions, the noise of pairs taken out
    session_sd: float
    #: standard deviation of the pairs of a typical one
    pair_sd: float
    #: half of a screen's 95 % interval here, relative: 0.01 = 1 %. Smaller differences cannot be seen in
    #: one screen; FASTER and SLOWER are said from about θ more
    floor: float
    #: median latency of the model, milliseconds
    median_ms: float
    #: when it was kept, by the database's clock; None before
    taken: datetime | None = None
