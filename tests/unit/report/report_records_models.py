"""Records made by hand: files measured beside a job, and what is known of its layers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import report_records as records

from qsearch.contracts.bench import EvalFailure
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.job import DropLimit
from qsearch.contracts.verdict import Interval
from qsearch.contracts.views import (
    ChoiceEffect,
    EvalView,
    GraphSeen,
    LayerSeen,
    LayersView,
)
from qsearch.contracts.work import EvalResult, Evaluated


def evaluated(speedup: float | None, drop: float, **operators: int) -> Evaluated:
    return Evaluated(
        latency=None if speedup is None else records.latency(speedup),
        heldout=records.accuracy(drop, "heldout", 1500),
        sha256="ef" * 32,
        size_bytes=20 * 2**20,
        peak_memory_bytes=90 * 2**20,
        optimised_ops=operators,
    )


def evaluation(**changes: Any) -> EvalView:
    """A slow file, a fast one that loses too much, a broken one and a trial, in this order."""
    result = EvalResult(
        reference=evaluated(None, 0.0, MatMul=3, Add=2),
        models={
            0: evaluated(1.1, 0.002, MatMul=3),
            1: evaluated(2.5, 0.2, MatMulInteger=3, DynamicQuantizeLinear=2, Cast=3),
            3: evaluated(1.6, 0.006, QLinearMatMul=3, QuantizeLinear=1, DequantizeLinear=2),
        },
        failures={2: EvalFailure(cause=Cause.BAD_MODEL, message="it has no output 'out'")},
        sitting=records.sitting(),
        circumstances=records.circumstances(),
    )
    made = EvalView(
        spec="minilm",
        target="cpu-1thread",
        models=("slow.onnx", "fast.onnx", "broken.onnx", "j1/4"),
        limit=DropLimit(amount=0.01, relative=True),
        keeps={0: True, 1: False, 3: True},
        result=result,
        notes=("the samples and fp32 are those of job j1",),
    )
    return replace(made, **changes)


def all_measured() -> EvalResult:
    """The same without the broken file, which has become slow instead."""
    seen = evaluation().result
    return replace(seen, models={**seen.models, 2: evaluated(0.9, 0.0, MatMul=3)}, failures={})


def layers(**changes: Any) -> LayersView:
    """Two layers: of the first one effect is told, of the second none; fp32, a uniform candidate and the pick ran."""
    int8, ternary = Choice.INT8_DYNAMIC, Choice.TERNARY
    first, second = (
        records.inspection().layers[0],
        replace(records.inspection().layers[0], id="head", op="Gemm", macs=0),
    )
    told = Interval(value=0.003, low=0.001, high=0.005)
    made = LayersView(
        job="j1",
        target="cpu-1thread",
        metric="MRR",
        trials=6,
        samples=500,
        layers=(
            LayerSeen(
                layer=first,
                effects=(
                    ChoiceEffect(choice=int8, trials=4, drop=told, front=2),
                    ChoiceEffect(choice=ternary, trials=0, drop=None, front=0),
                ),
                front_fp32=1,
                pick=int8,
            ),
            LayerSeen(
                layer=second,
                effects=(ChoiceEffect(choice=int8, trials=3, drop=None, front=0),),
                front_fp32=3,
                pick=Choice.FP32,
            ),
        ),
        graphs=(
            GraphSeen(
                trial="j1/0", pick=False, front=True, uniform="fp32", operators={"MatMul": 2, "Gemm": 1, "Add": 3}
            ),
            GraphSeen(
                trial="j1/1",
                pick=False,
                front=False,
                uniform="int8-dynamic",
                operators={"MatMulInteger": 3, "DynamicQuantizeLinear": 2, "Cast": 3, "Mul": 3},
            ),
            GraphSeen(
                trial="j1/4",
                pick=True,
                front=True,
                uniform="",
                operators={"QLinearMatMul": 2, "Gemm": 1, "QuantizeLinear": 2, "DequantizeLinear": 1},
            ),
        ),
    )
    return replace(made, **changes)
