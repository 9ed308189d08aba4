"""Two trials side by side, and one job's trials over its targets: what may be said of them, and how it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qsearch.contracts.choices import Choice
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.verdict import Interval, Verdict


class Basis(StrEnum):
    """How two times were brought together."""

    #: both were arms of one stored final sitting
    FINALS = "finals"
    #: both were arms of a sitting that was held for this comparison
    NOW = "now"
    #: each against fp32 in a sitting of its own, under equal machine_key and runtime_key
    INDIRECT = "indirect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One of the two trials, as it is stored, or as it was measured for this comparison."""

    #: "JOB/42"
    trial: str
    target: str
    #: who proposed it: "uniform int8-dynamic", "tpe"...
    origin: str
    choices: Mapping[str, Choice]
    #: against fp32 in its own sitting; None where that sitting had no fp32
    latency: Latency | None
    #: on the search split; None where it was not scored
    search: Accuracy | None
    #: on the held-out split; None for a trial that was no finalist
    heldout: Accuracy | None
    size_bytes: int
    peak_memory_bytes: int
    #: of `latency`
    circumstances: Circumstances


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCompared:
    """The time of the second trial over that of the first, below 1 is faster."""

    basis: Basis
    ratio: Interval
    verdict: Verdict
    #: smallest relative difference that could have been called
    detectable: float
    flags: tuple[str, ...] = ()
    #: the time of the first, milliseconds, by which 20 µs may be what decided; 0 = not told
    reference_ms: float = 0.0


class PairedTest(StrEnum):
    """How outcomes on the same samples were compared."""

    #: right or wrong on each sample: the exact test on the discordant ones
    MCNEMAR = "exact McNemar"
    #: any other outcome: both scores from the same resampled samples
    BOOTSTRAP = "paired bootstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyCompared:
    """The second trial's score against the first's, on the same samples."""

    metric: str
    #: "search" or "heldout"
    split: str
    #: samples that both were scored on
    n: int
    #: on those samples, like `second`
    first: float
    second: float
    #: relative drop of the second against the first, positive is worse
    drop: Interval
    #: the same in points of the metric
    drop_points: Interval
    #: smallest relative drop that so many samples show with 80 % power
    detectable: float
    test: PairedTest
    #: samples that only the first got right, and only the second; None for a bootstrap
    only_first: int | None = None
    only_second: int | None = None
    #: of the exact test, two-sided; None for a bootstrap
    p: float | None = None
    #: samples of the whole split; 0 = n, both were scored on all
    of: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiffers:
    """A layer that the two trials treat otherwise."""

    layer: str
    op: str
    parameters: int
    #: None where the trial's model has no such layer
    first: Choice | None
    second: Choice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareView:
    """What `compare A B` found; B is told relative to A."""

    first: Compared
    second: Compared
    #: in graph order
    layers: tuple[LayerDiffers, ...]
    #: layers that both have and treat alike
    same_layers: int
    #: None where the times must not be compared
    time: TimeCompared | None
    #: why `time` is None, naming both values; empty when it is there
    incomparable: str
    #: held out first; a split is absent where the outcomes cannot be paired, with a note
    accuracies: tuple[AccuracyCompared, ...]
    #: what a reader should know
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Across:
    """One candidate's numbers on one target."""

    #: "JOB/42"
    trial: str
    #: the most careful one that can be used
    latency: Latency
    #: whether `latency` is of the finals
    final: bool
    search: Accuracy
    heldout: Accuracy | None
    front: bool
    pick: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrossRow:
    """One candidate on every target where it was measured, or one uniform rule."""

    #: "uniform int8-static", else empty
    uniform: str
    #: of every layer; of the first target that has it where a uniform rule means other choices per target
    choices: Mapping[str, Choice]
    #: target → numbers; absent where it was not measured
    cells: Mapping[str, Across]
    #: target → why it is absent; where a kernel is missing, say
    absent: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickedLayer:
    """A layer that the targets' picks treat otherwise."""

    layer: str
    op: str
    #: target → choice
    choices: Mapping[str, Choice]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcrossView:
    """One job over its targets: where they differ."""

    job: str
    metric: str
    #: target → "onnxruntime 1.32.0", in the order of the spec; empty text where nothing ran yet
    targets: Mapping[str, str]
    #: the uniform candidates first, then the picks, then what else was measured on several or is on a front
    rows: tuple[AcrossRow, ...]
    layers: tuple[PickedLayer, ...]
    notes: tuple[str, ...] = ()
