"""Records made by hand: arms side by side, trials compared, a job over two targets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import report_records as records

from qsearch.contracts.bench import BenchedArm, BenchResult, EvalFailure
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.comparison import (
    AccuracyCompared,
    Across,
    AcrossRow,
    AcrossView,
    Basis,
    Compared,
    CompareView,
    LayerDiffers,
    PairedTest,
    PickedLayer,
    TimeCompared,
)
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.views import BenchView


def timings() -> BenchView:
    """Two files under two targets on random inputs; the second does not run under the second."""
    runs = tuple(replace(records.sitting().runs[0], arm=str(at), load_ms=10.0 + at) for at in (0, 0, 1, 2))
    blocks = tuple(replace(block, arm={"fp32": "0"}.get(block.arm, "1")) for block in records.sitting().blocks)
    sitting = replace(records.sitting(), reference="0", runs=runs, blocks=blocks)
    tails = {"p90": 4.6, "p99": None}
    fast = records.latency(1.5, tails=tails, tails_need={"p90": 64, "p99": 662})
    arm = BenchedArm(sha256="ab" * 32, size_bytes=1000, optimised_ops={"MatMul": 3})
    result = BenchResult(
        latencies={1: fast, 2: records.latency(0.8)},
        sitting=sitting,
        circumstances=records.circumstances(),
        arms={0: arm, 1: replace(arm, notes=("output y is not a number for sample 0",)), 2: arm},
        failures={3: EvalFailure(cause=Cause.BAD_MODEL, message="it wants other inputs")},
        made_up={"ids": "int64, 0 to 30521 (rows of table)"},
    )
    models, targets = ("a.onnx", "b.onnx") * 2, ("t", "t", "u", "u")
    return BenchView(models=models, targets=targets, result=result, notes=("whose samples",))


def _side(number: int, speedup: float, drop: float, *choices: Choice) -> Compared:
    return Compared(
        trial=f"j1/{number}",
        target="cpu-1thread",
        origin="tpe",
        choices=records.trial(number, *choices).candidate.choices,
        latency=records.latency(speedup),
        search=records.accuracy(drop),
        heldout=None,
        size_bytes=20 * 2**20,
        peak_memory_bytes=100 * 2**20,
        circumstances=records.circumstances(),
    )


def comparison(**changes: Any) -> CompareView:
    """The second is faster head to head and loses two samples more."""
    nothing = Interval(value=0.01, low=-0.005, high=0.025)
    made = CompareView(
        first=_side(1, 1.2, 0.002, Choice.FP32),
        second=_side(4, 1.6, 0.004, Choice.INT8_DYNAMIC, Choice.FP32, Choice.FP32),
        layers=(
            LayerDiffers(layer="encoder.0", op="MatMul", parameters=10, first=Choice.FP32, second=Choice.INT8_DYNAMIC),
        ),
        same_layers=2,
        time=TimeCompared(
            basis=Basis.FINALS,
            ratio=Interval(value=0.75, low=0.74, high=0.76),
            verdict=Verdict.FASTER,
            detectable=0.03,
        ),
        incomparable="",
        accuracies=(
            AccuracyCompared(
                metric="top1",
                split="heldout",
                n=200,
                first=0.9,
                second=0.89,
                drop=nothing,
                drop_points=nothing,
                detectable=0.02,
                test=PairedTest.MCNEMAR,
                only_first=3,
                only_second=1,
                p=0.625,
            ),
        ),
        notes=("only the first has a held-out score; it was a finalist",),
    )
    return replace(made, **changes)


def incomparable() -> CompareView:
    """The same without a time."""
    return comparison(time=None, incomparable="cannot compare: runtime_key is a here and b there")


def across() -> AcrossView:
    """A uniform candidate on two targets, and the pick of the first, which the second cannot run."""

    def cell(number: int, speedup: float, **changes: Any) -> Across:
        made = Across(
            trial=f"j1/{number}",
            latency=records.latency(speedup),
            final=False,
            search=records.accuracy(0.001),
            heldout=None,
            front=False,
            pick=False,
        )
        return replace(made, **changes)

    alike = dict.fromkeys(records.LAYERS, Choice.INT8_STATIC)
    mixed = records.trial(4, Choice.INT8_DYNAMIC, Choice.FP32, Choice.FP32).candidate.choices
    return AcrossView(
        job="j1",
        metric="MRR",
        targets={"cpu-1thread": "onnxruntime 1.32.0", "openvino-1thread": "openvino 2026.4.1"},
        rows=(
            AcrossRow(
                uniform="uniform int8-static",
                choices=alike,
                cells={"cpu-1thread": cell(1, 1.2), "openvino-1thread": cell(2, 1.9, pick=True, front=True)},
            ),
            AcrossRow(
                uniform="",
                choices=mixed,
                cells={"cpu-1thread": cell(4, 1.6, pick=True, front=True)},
                absent={"openvino-1thread": "no kernel for int8-dynamic"},
            ),
        ),
        layers=(
            PickedLayer(
                layer="encoder.0",
                op="MatMul",
                choices={"cpu-1thread": Choice.INT8_DYNAMIC, "openvino-1thread": Choice.INT8_STATIC},
            ),
        ),
        notes=("there is no kernel for int8-dynamic on openvino-1thread",),
    )
