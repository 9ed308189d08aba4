"""What the use-cases answer: records that a table, a JSON document or a page can be drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsearch.contracts.choices import Choice
from qsearch.contracts.front import Best
from qsearch.contracts.job import Job, JobSpec
from qsearch.contracts.layer import Inspection
from qsearch.contracts.measurement import Accuracy, Latency, Measurement
from qsearch.contracts.trial import Result, Trial, TrialState
from qsearch.contracts.work import BenchResult, Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMatch:
    """A target and who can serve it."""

    target: str
    hosts: tuple[str, ...]
    #: host by host, why the others cannot
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `plan` says before anything is started."""

    spec: JobSpec
    inspection: Inspection
    #: log10 of the number of candidates
    space_log10: float
    matches: tuple[TargetMatch, ...]
    #: seconds: preparing, one trial, finals, all
    estimate_s: Mapping[str, float]
    #: whatever makes the job impossible or unwise, in words; "impossible: " comes first
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A moment of a running job, for a live table or a plain line."""

    job: Job
    #: trials by state
    trials: Mapping[TrialState, int]
    budget: int
    elapsed_s: float
    #: seconds to the end, None while nothing is known
    eta_s: float | None
    #: what is being done right now, in words
    doing: str
    #: the best feasible so far per target: (target, "JOB/42", speed-up, low, high, drop_search)
    leaders: tuple[tuple[str, str, float, float, float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job, its progress and its answers so far."""

    job: Job
    progress: Progress
    bests: tuple[Best, ...]
    #: seconds by part over all trials: assemble, sit, score...
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontRow:
    """One row of `pareto`: a finished trial with its place."""

    result: Result
    #: "JOB/42"
    trial: str
    rank: int
    tied_with: str
    feasible: bool
    excess: float
    #: "fp32", "int8-static"... when every layer that can have it has it, else empty
    uniform: str
    pick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontView:
    """The front of a job for one target, fp32 and the uniform candidates included."""

    job: str
    target: str
    metric: str
    machine_key: str
    rows: tuple[FrontRow, ...]
    best: Best | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialView:
    """Everything about one trial."""

    trial: Trial
    measurement: Measurement | None
    final_latency: Latency | None
    heldout: Accuracy | None
    #: why the proposer wanted it
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReceipt:
    """What `export` wrote."""

    trial: str
    folder: str
    files: tuple[str, ...]
    verification: Verification


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryResult:
    """Rows of a read-only query."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    #: True when the row limit cut the answer
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of `doctor`."""

    name: str
    #: ok, warning, problem
    status: str
    finding: str
    #: what to do; empty when ok
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchView:
    """What `bench` found, with the names of the files."""

    models: tuple[str, ...]
    result: BenchResult


@dataclass(frozen=True, slots=True, kw_only=True)
class BestQuery:
    """What `best` is asked; None leaves the job's own constraint."""

    max_drop: str | None = None
    max_latency: str | None = None
    max_size: str | None = None
    #: fastest-feasible or knee; empty = the job's default
    rule: str = ""
    target: str = ""
    #: judge by the upper bound of the drop's interval
    confident: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """Flags of `run` that take precedence over the spec; None leaves the spec's value."""

    name: str | None = None
    trials: int | None = None
    time: str | None = None
    seed: int | None = None
    sampler: str | None = None
    #: --fast
    quick: bool = False
    #: local, ray, replay:FILE
    pool: str = "local"
    #: write every piece of work and its outcome here, for `--pool replay:FILE`; empty = do not
    record: str = ""
    targets: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = field(default=())
