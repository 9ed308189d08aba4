"""Whole model files timed side by side: the order, and what it brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qsearch.contracts.causes import Cause
from qsearch.contracts.limits import Limits
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Latency, Sitting, Tier
from qsearch.contracts.noise import SessionLuck
from qsearch.contracts.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOrder:
    """Time whole model files against each other, the first being the reference."""

    #: absolute paths; none = the built-in yardstick against itself, which shows the noise floor
    models: tuple[str, ...]
    #: .npz of inputs, or empty for seeded random inputs of the model's shapes
    data: str
    target: Target
    tier: Tier
    seed: int
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    #: when telemetry rejects or flags what was timed
    limits: Limits = field(default_factory=Limits)
    #: one per model, where a model may stand several times, under another target each time; empty =
    #: `target` for all. They differ in anything but the batch size, which makes it other work
    targets: tuple[Target, ...] = ()
    #: a file of collated samples (`qsearch.measure.samples`) in place of `data`, or empty
    samples: str = ""
    #: what is known of the luck of sessions on this class of machines, by runtime; decides widths, never order
    luck: tuple[SessionLuck, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchedArm:
    """One model under one target, besides its time."""

    #: of the .onnx file alone
    sha256: str
    #: with its external data
    size_bytes: int
    #: nodes of the optimised graph by operator; empty where they could not be counted
    optimised_ops: Mapping[str, int] = field(default_factory=dict)
    #: what weakens nothing but should be known: outputs that are not a number...
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalFailure:
    """Why a file has no numbers: it was not loaded, not run, not scored, or has other inputs or outputs."""

    cause: Cause
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchResult:
    """Every model against the first, or the first of them that runs: the sitting names it."""

    #: by position in the order; the reference itself is absent, as are failures
    latencies: Mapping[int, Latency]
    #: arms are named by their position
    sitting: Sitting
    #: of the reference; each run of the sitting has its own
    circumstances: Circumstances
    #: by position, the reference included
    arms: Mapping[int, BenchedArm] = field(default_factory=dict)
    #: by position: every model of the order is here or in `arms`
    failures: Mapping[int, EvalFailure] = field(default_factory=dict)
    #: input → how its values were made up, in words; empty = nothing was: they were given
    made_up: Mapping[str, str] = field(default_factory=dict)
