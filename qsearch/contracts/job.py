"""A job: what the user asked, as frozen records, and the states a job goes through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.limits import Limits
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRef:
    """Where the model is: a path, a file inside an installed package, or a torch module. Exactly one is set.

    NOTE: a torch model is exported before its job is made; then `path` is set beside `torch`, and is the
    model of everything that follows: a job that is resumed goes on with the file it began with.
    """

    #: absolute path of an .onnx file
    path: str = ""
    #: name of an installed distribution (not imported), with `file` relative to its files' root
    package: str = ""
    file: str = ""
    #: module:function of the user's, which returns a `TorchModel`
    torch: str = ""
    #: the model's input that tells the step of its loop (noise level, time step); empty = it has none
    time_input: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRef:
    """Samples without Python: an .npz of arrays by input name, first axis = samples, and `labels`."""

    #: absolute path
    path: str
    #: "auto" deals the samples into calibration, search and held-out by a seeded shuffle
    splits: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class DropLimit:
    """The largest drop a user accepts: `1%` is relative to fp32's score, `0.5pt` is absolute points."""

    #: as a fraction: 1% → 0.01; 0.5pt of a 0..1 metric → 0.005
    amount: float
    relative: bool

    def __str__(self) -> str:
        return f"{self.amount * 100:g}{'%' if self.relative else 'pt'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """What the answer must keep; None asks nothing."""

    drop: DropLimit | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSpec:
    """What the search may choose."""

    choices: tuple[Choice, ...] = DEFAULT
    #: glob over layer ids → the choice that is fixed there; the first match wins
    pin: Mapping[str, Choice] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """How long, and by which proposer."""

    #: budget; a trial is one candidate on one target
    trials: int = 60
    #: wall seconds of searching, finals not included; None = no limit
    time_s: float | None = None
    seed: int = 0
    #: tpe, nsga2, random
    sampler: str = "tpe"
    #: how many candidates are measured again, head to head and on the held-out split
    finalists: int = 3
    #: stop scoring a candidate whose drop surely breaks the limit; without a drop limit nothing is stopped
    racing: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """Everything a job needs, resolved: paths absolute, targets looked up, defaults filled in."""

    name: str
    model: ModelRef
    #: "module:function" of the user's task; empty when `data` and `metric` say it
    task: str = ""
    data: DataRef | None = None
    #: a built-in metric, or module:function; the task's own metric when empty
    metric: str = ""
    #: two of: latency, drop, size, memory
    objectives: tuple[str, ...] = ("latency", "drop")
    constraints: Constraints = field(default_factory=Constraints)
    targets: tuple[Target, ...] = ()
    #: input axis → sizes to measure at; empty = the samples' own mix
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    space: SpaceSpec = field(default_factory=SpaceSpec)
    search: SearchSpec = field(default_factory=SearchSpec)
    precision: Tier = Tier.SCREEN
    #: when telemetry rejects or flags what was timed
    limits: Limits = field(default_factory=Limits)
    #: absolute folder of the spec; the user's own task code is imported from there
    folder: str = ""


class JobState(StrEnum):
    """Where a job stands. Transitions: see `JOB_MOVES`."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    SEARCHING = "SEARCHING"
    FINALIZING = "FINALIZING"
    PAUSED = "PAUSED"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def ended(self) -> bool:
        """No driver will touch the job again unless `resume` or `extend` says so."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Request(StrEnum):
    """What somebody asks of the driver of a job, from any process.

    NOTE: asked through the ledger and not by a signal: the driver may be another process, on another
    host, or a Ray job that is killed three seconds after its SIGTERM.
    """

    #: running trials end, the finals run, the job is DONE; before the search, where nothing is measured
    #: yet that finals could compare, it does what CANCEL does
    STOP = "stop"
    #: running trials are killed, the job is CANCELLED
    CANCEL = "cancel"


_LIVE = (JobState.FAILED, JobState.CANCELLED, JobState.PAUSED)
#: Allowed transitions; guarded by the ledger. A resumed job enters PREPARING again, whose work is cached,
#: from wherever its last driver died: in PREPARING too.
JOB_MOVES: dict[JobState, tuple[JobState, ...]] = {
    JobState.QUEUED: (JobState.PREPARING, *_LIVE),
    JobState.PREPARING: (JobState.PREPARING, JobState.SEARCHING, *_LIVE),
    JobState.SEARCHING: (JobState.FINALIZING, JobState.PREPARING, *_LIVE),
    JobState.FINALIZING: (JobState.DONE, JobState.PREPARING, *_LIVE),
    JobState.PAUSED: (JobState.PREPARING, JobState.FAILED, JobState.CANCELLED),
    JobState.FAILED: (JobState.PREPARING,),
    JobState.CANCELLED: (JobState.PREPARING,),
    JobState.DONE: (),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the jobs table."""

    #: short sortable id, unique
    id: str
    name: str
    spec: JobSpec
    #: the spec as the user wrote it
    source: str
    state: JobState
    #: number of the lease under which the job was last driven; 0 before the first
    epoch: int
    #: who created it (login name); `@last` is this user's newest job
    owner: str
    created: datetime
    #: when it reached an ended state
    ended: datetime | None = None
    #: why it failed or was cancelled
    message: str = ""
    #: seconds spent searching under earlier leases; the time budget is what is left
    searched_s: float = 0.0
    #: what the driver of the present epoch was asked to do; the next lease forgets it
    requested: Request | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to drive a job. Every later write names its epoch; a stale epoch is refused."""

    job: str
    epoch: int
    holder: str
    #: database clock
    until: datetime


def holder_text(holder: str) -> str:
    """Who holds a lease, for people: `HOST, process 4711`; a holder of another form as it calls itself."""
    parts = holder.split("/")
    return f"{parts[0]}, process {parts[2]}" if len(parts) == 4 else holder


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """Something that happened to a job, kept in order."""

    job: str
    #: grows by one per job
    seq: int
    at: datetime
    epoch: int
    #: created, leased, requested, state, error, asked, started, accepted, failed, requeued, final, fenced,
    #: front, decided...
    kind: str
    data: Mapping[str, object] = field(default_factory=dict)
