"""What a pool is asked to do, and what comes back. Orders are data: no closures, no open files.

| kind          | order            | result          | files it leaves in the scratch folder            |
|---------------|------------------|-----------------|--------------------------------------------------|
| `probe`       | ProbeOrder       | Probed          | none                                             |
| `inspect`     | InspectOrder     | Inspection      | none                                             |
| `export-torch`| ExportOrder      | Exported        | `exported/` model.onnx, its data where large     |
| `materialize` | MaterializeOrder | Materialized    | `splits/` one .npz per split and batch size      |
| `prepare`     | PrepareOrder     | Prepared        | `prepared/` model.onnx, tensors.bin, index.json, |
|               |                  |                 | latency.npz, reference.npz                       |
| `trial`       | TrialOrder       | Measurement     | none                                             |
| `final`       | FinalOrder       | FinalResult     | none                                             |
| `verify`      | VerifyOrder      | Verification    | `export/` model.onnx, check.npz                  |
| `bench`       | BenchOrder       | BenchResult     | none                                             |
| `eval`        | EvalOrder        | EvalResult      | none                                             |

NOTE: workers write into the scratch folder named in the order and know nothing of the artifact
store; the driver adopts the files (hash, rename, row). So a worker needs no database, and a store on
another disk changes one room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qsearch.contracts.bench import BenchOrder, BenchResult, EvalFailure
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.job import DataRef, ModelRef
from qsearch.contracts.layer import Inspection, Layer
from qsearch.contracts.limits import Limits
from qsearch.contracts.machine import Circumstances, Machine
from qsearch.contracts.measurement import Accuracy, Latency, Measurement, Sitting, Tier
from qsearch.contracts.noise import SessionLuck
from qsearch.contracts.racing import Racing
from qsearch.contracts.target import Target
from qsearch.contracts.torch_work import Exported, ExportOrder


class WorkKind(StrEnum):
    """What a pool can be asked to do."""

    INSPECT = "inspect"
    EXPORT = "export-torch"
    MATERIALIZE = "materialize"
    PREPARE = "prepare"
    TRIAL = "trial"
    FINAL = "final"
    VERIFY = "verify"
    BENCH = "bench"
    EVAL = "eval"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOrder:
    """Start the target's interpreter and ask what its runtime is and has. No model of the user's is read."""

    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What serves a target."""

    #: name and version: "onnxruntime 1.32.0"
    runtime: str
    #: versions of the interpreter and of its numpy
    python: str
    numpy: str
    #: providers that the runtime was built with, without the ending that ONNX Runtime gives them
    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOrder:
    """Read a model: layers, sizes, inputs. Nothing is run."""

    model: ModelRef
    #: runtime whose op × choice table limits each layer's choices
    target: Target
    #: what the spec allows; a layer's choices are these, as far as its op has a kernel
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterializeOrder:
    """Run the user's task once (or read the .npz) and write three splits as tensors."""

    model: ModelRef
    #: module:function, or empty
    task: str
    #: folder put first on the import path of the child that runs user code
    folder: str
    data: DataRef | None
    metric: str
    #: axis of shape [N, ...] data is dealt by this seed
    seed: int
    #: each distinct batch size among the job's targets
    batches: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Materialized:
    """Facts about the splits on disk; the order of samples is fixed in the files."""

    #: SHA-256 over the tensors and labels of all splits
    digest: str
    metric: str
    higher_is_better: bool
    #: a built-in metric's name, or module:function of the user's scoring function
    score: str
    #: split name (calibration, search, heldout) → number of samples
    samples: Mapping[str, int]
    #: what a user should know: "no labels: the metric is fidelity to fp32"
    notes: tuple[str, ...] = ()
    #: one outcome per sample, of that sample alone: some of the samples can be scored without the others
    per_sample: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOrder:
    """Normalise, find layers, calibrate, quantize each layer's weights for each choice; score fp32."""

    model: ModelRef
    #: absolute path of the `splits/` folder
    splits: str
    materialized: Materialized
    folder: str
    choices: tuple[Choice, ...]
    target: Target
    #: input axis → sizes to measure at; empty = the samples' own mix
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the driver must know of a prepared model."""

    #: SHA-256 over the prepared folder: model, tensors, ranges
    digest: str
    inspection: Inspection
    #: name and version of the quantizer that wrote the tensors
    quantizer: str
    machine: Machine
    circumstances: Circumstances
    #: fp32 on the search split; the reference of every drop
    reference: Accuracy
    #: what a user should know: layers left out and why
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of the normalised graph, in graph order."""
        return self.inspection.layers


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """Assemble one candidate, sit it against fp32, score it on the search split."""

    #: absolute path of the `prepared/` folder
    prepared: str
    splits: str
    materialized: Materialized
    folder: str
    candidate: Candidate
    target: Target
    tier: Tier
    #: per-sample outcomes of fp32 on the search split, for the paired drop
    reference: Accuracy
    #: decides which arm starts and which loads first; equal seeds give equal schedules
    seed: int
    #: seconds that fp32 took for the search split, its child's start included, and that its outputs took to be
    #: scored: by them a candidate that hangs is known before the deadline; 0 = not known
    fp32_s: float = 0.0
    scoring_s: float = 0.0
    #: when telemetry rejects or flags what was timed
    limits: Limits = field(default_factory=Limits)
    #: what is known of the luck of sessions on this class of machines, by runtime; decides widths, never order
    luck: tuple[SessionLuck, ...] = ()
    #: None = every sample is scored
    racing: Racing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalOrder:
    """fp32 and k candidates head to head, and each on the held-out split."""

    prepared: str
    splits: str
    materialized: Materialized
    folder: str
    #: trial number → candidate
    finalists: Mapping[int, Candidate]
    target: Target
    seed: int
    #: as a trial's, for loading and timing: what was waited for there is waited for here; 0 = not known
    fp32_s: float = 0.0
    #: when telemetry rejects or flags what was timed
    limits: Limits = field(default_factory=Limits)
    #: what is known of the luck of sessions on this class of machines, by runtime; decides widths, never order
    luck: tuple[SessionLuck, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finalist:
    """One finalist's numbers of the final sitting."""

    number: int
    #: against fp32
    latency: Latency
    #: against every other finalist, by trial number
    versus: Mapping[int, Latency]
    heldout: Accuracy
    artifact_sha256: str
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalResult:
    """All arms of one final sitting."""

    finalists: tuple[Finalist, ...]
    sitting: Sitting
    circumstances: Circumstances


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOrder:
    """Write a candidate as one plain .onnx file, load it as a user would, measure and compare."""

    prepared: str
    splits: str
    materialized: Materialized
    folder: str
    candidate: Candidate
    target: Target
    reference: Accuracy
    #: the trial's accepted numbers, which the written file must reproduce
    expected: Measurement
    #: False = only write the file
    measure: bool
    seed: int
    #: as a trial's; 0 = not known
    fp32_s: float = 0.0
    #: when telemetry rejects or flags what was timed
    limits: Limits = field(default_factory=Limits)
    #: what is known of the luck of sessions on this class of machines, by runtime; decides widths, never order
    luck: tuple[SessionLuck, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What the written file did, and whether it agrees with the trial."""

    sha256: str
    size_bytes: int
    #: None when the order did not ask to measure
    measured: Measurement | None
    #: every disagreement, in words; empty = the file is the trial
    disagreements: tuple[str, ...]
    #: session options that every measured session had, by the runtime's names
    session: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOrder:
    """Whole model files against a prepared model's fp32: one sitting, and each on the held-out split.

    NOTE: the reference is the one that a job's finals have (fp32 as it is assembled from the prepared
    folder), so that a number of `eval` and a number of the finals are of the same kind.
    """

    #: absolute path of the `prepared/` folder
    prepared: str
    splits: str
    materialized: Materialized
    folder: str
    #: fp32 for every layer of the prepared model
    reference: Candidate
    #: absolute paths
    models: tuple[str, ...]
    target: Target
    tier: Tier
    seed: int
    #: when telemetry rejects or flags what was timed
    limits: Limits = field(default_factory=Limits)
    #: what is known of the luck of sessions on this class of machines, by runtime; decides widths, never order
    luck: tuple[SessionLuck, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One file's numbers, or those of the reference."""

    #: against fp32; None for fp32 itself
    latency: Latency | None
    heldout: Accuracy
    #: of the .onnx file alone
    sha256: str
    #: with its external data
    size_bytes: int
    #: of its measuring child
    peak_memory_bytes: int
    #: nodes of the optimised graph by operator: what ran, Q/DQ/Cast included
    optimised_ops: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """Every file of the order is in exactly one of `models` and `failures`, by its position."""

    reference: Evaluated
    models: Mapping[int, Evaluated]
    failures: Mapping[int, EvalFailure]
    #: arms: "fp32", and the position of each file that could be measured
    sitting: Sitting
    circumstances: Circumstances


Order = (
    ProbeOrder
    | InspectOrder
    | ExportOrder
    | MaterializeOrder
    | PrepareOrder
    | TrialOrder
    | FinalOrder
    | VerifyOrder
    | BenchOrder
    | EvalOrder
)
WorkResult = (
    Probed | Inspection | Exported | Materialized | Prepared
    | Measurement | FinalResult | Verification | BenchResult | EvalResult
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One task for a pool. It runs at most once per (key, token)."""

    kind: WorkKind
    #: what it is for: "JOB/42", "JOB/prepare", "JOB/final:TARGET"
    key: str
    #: attempt number; comes back with the outcome
    token: int
    order: Order
    #: absolute folder that the worker may write into; made by the worker when absent
    scratch: str
    #: seconds after which what runs for it is killed and the outcome is a TIMEOUT; a worker that does not see
    #: to that itself is killed a moment later
    deadline_s: float
    #: attempts of this piece that failed before; fewer than tokens, because a killed driver's is no failure
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a task: a result, or a cause."""

    kind: WorkKind
    key: str
    token: int
    #: None when it failed
    result: WorkResult | None
    cause: Cause | None = None
    message: str = ""
    #: the last lines that the failing process wrote to stderr
    tail: str = ""
    #: host that did it
    host: str = ""
    seconds: float = 0.0


#: kind → classes of its order and result, for the codec.
WORK_TYPES: dict[WorkKind, tuple[type, type]] = {
    WorkKind.PROBE: (ProbeOrder, Probed),
    WorkKind.INSPECT: (InspectOrder, Inspection),
    WorkKind.EXPORT: (ExportOrder, Exported),
    WorkKind.MATERIALIZE: (MaterializeOrder, Materialized),
    WorkKind.PREPARE: (PrepareOrder, Prepared),
    WorkKind.TRIAL: (TrialOrder, Measurement),
    WorkKind.FINAL: (FinalOrder, FinalResult),
    WorkKind.VERIFY: (VerifyOrder, Verification),
    WorkKind.BENCH: (BenchOrder, BenchResult),
    WorkKind.EVAL: (EvalOrder, EvalResult),
}
