"""What the use-cases answer: records that a table, a JSON document or a page can be drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from qsearch.contracts.bench import BenchResult
from qsearch.contracts.choices import Choice
from qsearch.contracts.front import Best
from qsearch.contracts.job import Constraints, DropLimit, Job, JobSpec, JobState, Lease
from qsearch.contracts.layer import Inspection, Layer
from qsearch.contracts.measurement import Accuracy, Latency, Measurement, Tier
from qsearch.contracts.trial import Result, Trial, TrialState
from qsearch.contracts.verdict import Interval
from qsearch.contracts.work import EvalResult, Verification


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
    #: who drives it now; None while nobody does
    lease: Lease | None = None
    #: targets of a DONE job on which every quantized trial that finished has no number to be judged by
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadView:
    """The local Ray head that serves the jobs submitted to one database."""

    #: the process that keeps it; ending it ends everything
    pid: int
    #: host:port of the cluster
    address: str
    #: URL of Ray's dashboard and job server; it demands the head's token
    dashboard: str
    started: datetime
    #: seconds without a job after which it ends by itself
    idle_s: float
    #: Ray's ids of the drivers that run or wait there, "JOB-EPOCH"
    drivers: tuple[str, ...] = ()
    #: False: it lives and did not say which drivers it has; there may be some
    answers: bool = True
    #: whether somebody is handing in a job just now, whose driver is not among these yet
    handing_in: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that was handed to a cluster."""

    job: Job
    #: Ray's id of the driver, "JOB-EPOCH"
    submission: str
    #: where it was submitted
    address: str
    #: whether its driver has taken the job; False = it still waits for its turn
    driven: bool
    #: the local head, when no address was set
    head: HeadView | None = None
    #: whether this submission started that head
    fresh: bool = False
    #: what a user should know: files that did not travel
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
class Origin:
    """Where the numbers of a front come from: what a picture that leaves the database must say itself."""

    #: the job's name, as the user gave it
    name: str
    cpu: str
    #: CPUs that the measuring process may use
    cores: int
    #: "onnxruntime 1.32.0"
    runtime: str
    threads: int
    batch: int
    #: of the trials; finalists are measured again with more care
    tier: Tier
    #: when the last of the trials shown ended
    measured: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontView:
    """The front of a job for one target, fp32 and the uniform candidates included."""

    job: str
    target: str
    metric: str
    machine_key: str
    rows: tuple[FrontRow, ...]
    best: Best | None
    #: of the job; what `feasible` was judged by
    constraints: Constraints = field(default_factory=Constraints)
    #: of the job; what `rank` was judged by
    objectives: tuple[str, ...] = ("latency", "drop")
    origin: Origin | None = None
    #: of the job when it was read: a front of one that is not DONE is what there is so far
    state: JobState = JobState.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceEffect:
    """What one choice at one layer does to the drop, as far as the finished trials tell."""

    choice: Choice
    #: finished trials in which the layer had it
    trials: int
    #: relative drop that it adds on the search split; None when the trials do not tell it apart from
    #: what other layers had at the same time
    drop: Interval | None
    #: members of the front in which the layer has it
    front: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSeen:
    """One layer and what the job has found out about it."""

    layer: Layer
    #: one per choice the layer may have in this job, fp32 excluded, in the order of `Choice`
    effects: tuple[ChoiceEffect, ...]
    #: members of the front that leave it in fp32
    front_fp32: int
    #: what the pick gives it; None while there is no pick
    pick: Choice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSeen:
    """The graph that really ran for a trial."""

    #: "JOB/42"
    trial: str
    pick: bool
    #: on the front
    front: bool
    #: "fp32", "int8-static"... when it is a uniform candidate, else empty
    uniform: str
    #: nodes by operator in the optimised graph
    operators: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersView:
    """What a job knows of the layers of its model, for one target."""

    job: str
    target: str
    #: empty before the data was read
    metric: str
    #: finished trials that the effects were estimated from
    trials: int
    #: samples of the search split; 0 when nothing was scored yet
    samples: int
    layers: tuple[LayerSeen, ...]
    #: fp32, the uniform candidates and the members of the front, as measured
    graphs: tuple[GraphSeen, ...]
    #: what is not known yet, and why
    notes: tuple[str, ...] = ()


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

    #: by position, as it was given: a model stands once for each target
    models: tuple[str, ...]
    result: BenchResult
    #: name of the target of each position
    targets: tuple[str, ...] = ()
    #: what a reader should know: whose samples these are
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalView:
    """What `eval` found, with the names of the files and the limit they are judged by."""

    #: name of the spec
    spec: str
    target: str
    #: in the order they were given: files as written, trials as "JOB/42"
    models: tuple[str, ...]
    #: of the spec; None asks nothing
    limit: DropLimit | None
    #: position → whether the point estimate of the held-out drop keeps the limit; failures are absent
    keeps: Mapping[int, bool]
    result: EvalResult
    #: what a reader should know: whose samples these are
    notes: tuple[str, ...] = ()


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
    racing: bool | None = None
    #: --fast
    quick: bool = False
    #: local, ray, replay:FILE
    pool: str = "local"
    #: write every piece of work and its outcome here, for `--pool replay:FILE`; empty = do not
    record: str = ""
    targets: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = field(default=())
