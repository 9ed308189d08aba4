"""What a sitting saw, raw, and what is said of it. Every summary can be recomputed from the raw part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qsearch.contracts.limits import Limits
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.noise import SessionLuck, Wander
from qsearch.contracts.scenario import Scenario
from qsearch.contracts.verdict import Interval, Verdict


class Tier(StrEnum):
    """How much care a sitting takes."""

    #: `--fast`: one session, no promise of width; "indicative"
    QUICK = "quick"
    #: every trial: 2 sessions, fresh children, load order alternated
    SCREEN = "screen"
    #: the front and its runners-up, k arms head to head: 6 sessions × 6 pairs
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A short uninterrupted run of one arm."""

    arm: str
    #: number of the session (fresh children) within the sitting, from 0
    session: int
    #: number of the round within the session, from 0; the arms of one round make pairs
    round: int
    #: position of the block within the session, from 0
    order: int
    #: one latency per inference, nanoseconds; very short inferences are timed in groups, one mean each
    samples_ns: tuple[int, ...]
    #: inferences in one sample; above 1 the samples are means of so many and say nothing of tails
    group: int = 1
    #: samples after which the shapes of the inputs repeat; a block is whole cycles, from the first one
    cycle: int = 1
    #: what telemetry saw while the block ran; a signal that cannot be read is absent
    telemetry: Mapping[str, float] = field(default_factory=dict)
    #: why the block's pair is not used; empty when it is. Telemetry decides, never the latency
    rejected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmRun:
    """One disposable child: one arm in one session."""

    arm: str
    session: int
    #: SHA-256 (hex) of the model file the child loaded, computed in the child
    model_sha256: str
    load_ms: float
    #: the first inference after loading, never part of the samples
    first_ms: float
    warmup_s: float
    #: False when the cap came before two windows agreed
    steady: bool
    #: peak resident memory of the child, bytes
    peak_rss_bytes: int
    circumstances: Circumstances


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryReading:
    """How long the canary, a tiny fixed model, took between two rounds: what the machine did, not an arm.

    NOTE: one child for a whole sitting and not one per session. Its own luck of process start would else
    look like a change of the machine, and it costs half a second to start. It is read before the first
    round of a session and after each R C C R: two rounds lie between two readings. A machine that is slow
    for a while is slow for both arms and changes no ratio; one that changes within two rounds may, and
    that is what the difference of two neighbouring readings shows. So readings are compared with the one
    before and never with those of other sessions.
    """

    session: int
    #: complete rounds of the session before it
    rounds: int
    #: median of an inference, nanoseconds
    typical_ns: int

    def change_from(self, before: CanaryReading) -> float:
        """By how much the slower of two readings was above the faster one: 0.1 = 10 %."""
        low, high = sorted((max(1, before.typical_ns), max(1, self.typical_ns)))
        return high / low - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The wait for a calm machine before a session."""

    session: int
    #: seconds
    waited_s: float
    #: what was still going on when patience ended; empty = it was calm
    unrest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sitting:
    """One paired measurement in fresh children, with every raw sample."""

    tier: Tier
    #: the arm the others are compared with
    reference: str
    runs: tuple[ArmRun, ...]
    blocks: tuple[Block, ...]
    seconds: float
    #: the CPUs that every arm was pinned to; empty = not recorded
    cpus: tuple[int, ...] = ()
    #: what the blocks were judged by
    limits: Limits = field(default_factory=Limits)
    canary: tuple[CanaryReading, ...] = ()
    #: one per session; empty = nobody waited
    readiness: tuple[Readiness, ...] = ()
    #: signal that was not there → why; what is neither here nor in any block was not asked for
    unavailable: Mapping[str, str] = field(default_factory=dict)
    #: processes that ran on this machine while something disturbed: name → CPU time, milliseconds
    polluters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Samples per second of two arms, at a batch size.

    NOTE: from the same blocks and by the same estimator as the ratio (the typical time of a block's
    inferences, not the mean), so that the two never contradict each other. The arm's interval is the
    reference's estimate times the paired speed-up's interval: the luck that both arms shared is not in it.
    """

    #: samples per inference
    batch: int
    arm: Interval
    reference: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What a sitting says of one arm's time, as a ratio to the reference's."""

    #: time of the arm / time of the reference, with its interval; below 1 is faster
    ratio: Interval
    verdict: Verdict
    #: smallest relative difference this sitting could have called, 0.02 = 2 %
    detectable: float
    pairs: int
    sessions: int
    #: median latency of the arm and of the reference in this sitting, milliseconds; where inputs have
    #: several shapes, the mean over the inputs of a cycle of each one's median
    median_ms: float
    reference_ms: float
    #: facts that weaken the number: session_effect_assumed, no_steady_state, lowered_priority, indicative,
    #: many_rejected, not_ready, lenient_limits (pairs stand that are rejected by default), and what telemetry
    #: saw too much of: steal, run_queue_wait, foreign_work, cpu_pressure, memory_pressure, throttled,
    #: major_faults, clock_changed, canary_drift, gpu_...
    flags: tuple[str, ...] = ()
    #: percentile ("p99") of single inferences of the arm → milliseconds, an upper bound at 99 % confidence;
    #: None where there are too few samples to give one
    tails: Mapping[str, float | None] = field(default_factory=dict)
    #: percentile → the fewest samples that give it
    tails_need: Mapping[str, int] = field(default_factory=dict)
    #: the machine's own luck that the interval rests on; None where it was assumed (then flagged), or not
    #: needed because the sessions are six or more
    luck: SessionLuck | None = None
    #: what was asked of the arms; tails are told of `single_stream` only
    scenario: Scenario = Scenario.SINGLE_STREAM
    #: where the scenario is `offline`
    throughput: Throughput | None = None
    #: short hash of the shapes that were timed; empty in records from before it was kept
    shapes: str = ""
    #: what another sitting may say differently; None where the arms are one file, or from before it was kept
    wander: Wander | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The score of a candidate on one split, sample by sample, against fp32 on the same samples."""

    metric: str
    higher_is_better: bool
    #: "search" or "heldout"
    split: str
    n: int
    score: float
    reference_score: float
    #: relative drop against fp32, positive is worse: 0.01 = 1 %; the metric's direction is turned right
    drop: Interval
    #: the same in points of the metric, positive is worse
    drop_points: Interval
    #: smallest relative drop that n paired samples could show
    detectable: float
    #: one outcome per scored sample, in the order of the split
    outcomes: tuple[float, ...]
    #: weight of each outcome in the score; empty means equal
    weights: tuple[float, ...] = ()
    #: how outcomes and weights make the score: see `Scores`
    aggregate: str = "mean"
    #: outcomes of the whole split; 0 = n, everything was scored
    of: int = 0
    #: outcomes that had been seen at each look of a race; empty = scored at once
    looks: tuple[int, ...] = ()
    #: numbers, within the split, of the outcomes that a truncated score holds; empty = all, in order
    samples: tuple[int, ...] = ()

    @property
    def truncated(self) -> bool:
        """Stopped before the end of the split: the drop was surely too large, and is known from n samples only."""
        return self.of > self.n


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What is accepted for a trial: one latency, one accuracy, sizes, circumstances, raw samples."""

    tier: Tier
    latency: Latency
    accuracy: Accuracy
    #: the file as it would ship, bytes
    size_bytes: int
    #: SHA-256 of the assembled model
    artifact_sha256: str
    peak_memory_bytes: int
    circumstances: Circumstances
    sitting: Sitting
    #: nodes that stayed in float or are Q/DQ/Cast in the optimised graph, by operator
    optimised_ops: Mapping[str, int] = field(default_factory=dict)
    #: seconds by part: assemble, sit, score; the cost that is not measurement is visible
    seconds: Mapping[str, float] = field(default_factory=dict)
