"""Small honest records for tests: layers, trials, results, finals. Every argument has a plain default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.layer import Inspection, Layer
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Accuracy, Latency, Sitting, Tier
from qsearch.contracts.trial import Result, Trial, TrialState
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.work import Finalist, FinalResult

TARGET = "here"
#: share of fp32's bytes that a weight takes under each choice
_SHRINK = {Choice.FP32: 1.0, Choice.INT8_STATIC: 0.25, Choice.INT8_DYNAMIC: 0.25, Choice.TERNARY: 0.0625}


def make_layer(name: str, *, op: str = "MatMul", choices: Sequence[Choice] = DEFAULT, parameters: int = 1000) -> Layer:
    """A layer of `parameters` weights whose bytes shrink with the choice: 4000, 1000, 1000, 250 of 1000."""
    return Layer(
        id=name,
        op=op,
        nodes=(name,),
        weight_shape=(parameters,),
        parameters=parameters,
        macs=parameters,
        choices=tuple(choices),
        bytes={choice: round(parameters * 4 * _SHRINK[choice]) for choice in choices},
    )


def make_layers(count: int, *, choices: Sequence[Choice] = DEFAULT) -> tuple[Layer, ...]:
    """Layers `block.0` … that can all have the same choices."""
    return tuple(make_layer(f"block.{i}", choices=choices) for i in range(count))


def make_inspection(layers: Sequence[Layer], *, other_bytes: int = 500) -> Inspection:
    """An inspection of these layers."""
    return Inspection(
        digest="0" * 64,
        opset=21,
        inputs=(),
        outputs=(),
        layers=tuple(layers),
        operators={},
        other_bytes=other_bytes,
    )


def make_candidate(layers: Sequence[Layer], *got: Choice) -> Candidate:
    """The layers in order get `got`; the last one also goes to all that are left."""
    given = [*got, *[got[-1]] * (len(layers) - len(got))]
    return Candidate(choices={layer.id: choice for layer, choice in zip(layers, given, strict=False)})


def make_latency(ratio: float = 1.0, half: float = 0.01, *, verdict: Verdict | None = None, pairs: int = 12) -> Latency:
    """A latency of ratio ± half against an fp32 of 10 ms; the verdict follows from the interval at θ = 2 %."""
    low, high = ratio - half, ratio + half
    if verdict is None:
        verdict = Verdict.UNRESOLVED
        if high < 0.98:
            verdict = Verdict.FASTER
        elif low > 1.02:
            verdict = Verdict.SLOWER
        elif low >= 0.98 and high <= 1.02:
            verdict = Verdict.EQUIVALENT
    return Latency(
        ratio=Interval(value=ratio, low=low, high=high),
        verdict=verdict,
        detectable=half,
        pairs=pairs,
        sessions=2,
        median_ms=10.0 * ratio,
        reference_ms=10.0,
    )


def make_accuracy(drop: float = 0.0, half: float = 0.002, *, split: str = "search", n: int = 1000) -> Accuracy:
    """A relative drop ± half of a score that is 0.8 under fp32."""
    return Accuracy(
        metric="top1",
        higher_is_better=True,
        split=split,
        n=n,
        score=0.8 * (1 - drop),
        reference_score=0.8,
        drop=Interval(value=drop, low=drop - half, high=drop + half),
        drop_points=Interval(value=0.8 * drop, low=0.8 * (drop - half), high=0.8 * (drop + half)),
        detectable=half,
        outcomes=(),
    )


def make_trial(number: int, candidate: Candidate, *, origin: str = "tpe", state: TrialState = TrialState.DONE) -> Trial:
    """A trial of the job `J` on `TARGET`."""
    return Trial(
        job="J",
        number=number,
        candidate=candidate,
        target=TARGET,
        origin=origin,
        state=state,
        token=1,
        failures={},
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def make_result(
    number: int,
    candidate: Candidate,
    *,
    ratio: float = 1.0,
    half: float = 0.01,
    drop: float = 0.0,
    size: int = 1_000_000,
    memory: int = 5_000_000,
    origin: str = "tpe",
    verdict: Verdict | None = None,
) -> Result:
    """A finished trial by its ratio ± half, drop and sizes."""
    return Result(
        trial=make_trial(number, candidate, origin=origin),
        latency=make_latency(ratio, half, verdict=verdict),
        accuracy=make_accuracy(drop),
        size_bytes=size,
        peak_memory_bytes=memory,
        machine_key="machine",
        runtime_key="runtime",
    )


def make_final(*finalists: Finalist) -> FinalResult:
    """A final sitting; the raw part is empty, and who is missing in `versus` is filled from the ratios."""
    ratios = {f.number: f.latency.ratio.value for f in finalists}
    full = [
        replace(f, versus={n: make_latency(ratios[f.number] / r) for n, r in ratios.items() if n != f.number})
        for f in finalists
    ]
    return FinalResult(
        finalists=tuple(full),
        sitting=Sitting(tier=Tier.FINAL, reference="fp32", runs=(), blocks=(), seconds=1.0),
        circumstances=Circumstances(machine_key="machine", host="host", runtime="none 0", runtime_key="runtime"),
    )


def make_finalist(
    number: int,
    *,
    ratio: float,
    half: float = 0.005,
    drop: float = 0.0,
    drop_half: float = 0.002,
    versus: Mapping[int, Latency] | None = None,
) -> Finalist:
    """A finalist by its final ratio and its held-out drop."""
    return Finalist(
        number=number,
        latency=make_latency(ratio, half),
        versus=versus or {},
        heldout=make_accuracy(drop, drop_half, split="heldout", n=1500),
        artifact_sha256="0" * 64,
        peak_memory_bytes=5_000_000,
    )
