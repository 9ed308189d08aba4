"""Records made by hand: one small job with fp32, two uniform candidates, a front, a tie and a failure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from qsearch.contracts.bench import BenchResult
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.front import Best, DropSeen, Proof, Speedup, Versus
from qsearch.contracts.job import Job, JobSpec, JobState, ModelRef
from qsearch.contracts.layer import Inspection, Layer, TensorInfo
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Accuracy, ArmRun, Block, Latency, Measurement, Sitting, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Result, Trial, TrialState
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.views import (
    BenchView,
    FrontRow,
    FrontView,
    JobStatus,
    Origin,
    Plan,
    Progress,
    TargetMatch,
    TrialView,
)

WHEN = datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=UTC)
LAYERS = ("encoder.0", "encoder.1", "head")


def job(**changes: Any) -> Job:
    spec = JobSpec(name="minilm", model=ModelRef(path="/models/minilm.onnx"), targets=(Target(name="cpu-1thread"),))
    made = Job(
        id="j1",
        name="minilm",
        spec=spec,
        source="",
        state=JobState.DONE,
        epoch=1,
        owner="ann",
        created=WHEN,
        ended=WHEN,
    )
    return replace(made, **changes)


def latency(speedup: float, width: float = 0.02, **changes: Any) -> Latency:
    gain = Interval(value=speedup, low=speedup * (1 - width), high=speedup * (1 + width))
    made = Latency(
        ratio=gain.inverse(),
        verdict=Verdict.FASTER if gain.low > 1.02 else Verdict.EQUIVALENT,
        detectable=0.015,
        pairs=8,
        sessions=2,
        median_ms=10.0 / speedup,
        reference_ms=10.0,
    )
    return replace(made, **changes)


def accuracy(drop: float, split: str = "search", n: int = 500) -> Accuracy:
    seen = Interval(value=drop, low=drop - 0.005, high=drop + 0.005)
    return Accuracy(
        metric="MRR",
        higher_is_better=True,
        split=split,
        n=n,
        score=0.8 * (1 - drop),
        reference_score=0.8,
        drop=seen,
        drop_points=Interval(value=drop * 0.8, low=0.0, high=0.1),
        detectable=0.007,
        outcomes=(1.0, 0.0),
    )


def trial(number: int, *choices: Choice, **changes: Any) -> Trial:
    given = choices * len(LAYERS) if len(choices) == 1 else choices
    made = Trial(
        job="j1",
        number=number,
        candidate=Candidate(choices=dict(zip(LAYERS, given, strict=True))),
        target="cpu-1thread",
        origin="tpe",
        state=TrialState.DONE,
        token=1,
        failures={},
        created=WHEN,
        ended=WHEN,
    )
    return replace(made, **changes)


def row(number: int, speedup: float, drop: float, *choices: Choice, **changes: Any) -> FrontRow:
    result = Result(
        trial=trial(number, *choices),
        latency=latency(speedup),
        accuracy=accuracy(drop),
        size_bytes=20 * 2**20,
        peak_memory_bytes=100 * 2**20,
        machine_key="mk",
        runtime_key="rk",
    )
    made = FrontRow(
        result=result, trial=f"j1/{number}", rank=2, tied_with="", feasible=True, excess=0.0, uniform="", pick=False
    )
    return replace(made, **changes)


def front(**changes: Any) -> FrontView:
    int8, fp32, ternary = Choice.INT8_DYNAMIC, Choice.FP32, Choice.TERNARY
    picked = row(4, 1.6, 0.004, int8, int8, fp32, rank=0, pick=True)
    final = replace(
        picked.result, final_latency=latency(1.58, 0.01, sessions=6), heldout=accuracy(0.006, "heldout", 1500)
    )
    rows = (
        row(0, 1.0, 0.0, fp32, rank=0, uniform="fp32"),
        row(1, 1.5, 0.009, int8, rank=2, uniform="int8-dynamic"),
        row(2, 0.5, 0.9, ternary, rank=2, uniform="ternary", feasible=False, excess=89.0),
        row(3, 1.4, 0.001, fp32, int8, fp32, rank=0),
        replace(picked, result=final),
        row(5, 1.59, 0.005, int8, fp32, int8, rank=1, tied_with="j1/4"),
        row(6, 1.2, 0.008, fp32, fp32, int8),
    )
    made = FrontView(job="j1", target="cpu-1thread", metric="MRR", machine_key="mk", rows=rows, best=best())
    return replace(made, **changes)


def origin(**changes: Any) -> Origin:
    made = Origin(
        name="minilm",
        cpu="Imagined CPU",
        cores=4,
        runtime="onnxruntime 1.32.0",
        threads=1,
        batch=1,
        tier=Tier.SCREEN,
        measured=WHEN,
    )
    return replace(made, **changes)


def best(**changes: Any) -> Best:
    made = Best(
        job="j1",
        target="cpu-1thread",
        trial="j1/4",
        rule="fastest-feasible",
        reason="fastest of 5 feasible",
        feasible=True,
        speedup=Speedup(value=1.58, low=1.56, high=1.6, sessions=6, verdict=Verdict.FASTER),
        latency_p50_ms=6.33,
        drop=DropSeen(value=0.006, low=0.001, high=0.011, n=1500),
        drop_search=DropSeen(value=0.004, low=-0.001, high=0.009, n=500),
        proof=Proof.NOT_REFUTED,
        tried=1,
        size_bytes=20 * 2**20,
        peak_memory_bytes=100 * 2**20,
        versus_uniform=Versus(
            number=1,
            origin="uniform int8-dynamic",
            ratio=Interval(value=0.95, low=0.93, high=0.97),
            verdict=Verdict.FASTER,
        ),
        choices=trial(4, Choice.INT8_DYNAMIC, Choice.INT8_DYNAMIC, Choice.FP32).candidate.choices,
    )
    return replace(made, **changes)


def failed(number: int = 7) -> TrialView:
    broken = trial(
        number, Choice.TERNARY, state=TrialState.FAILED, cause=Cause.NATIVE_CRASH, message="died by signal 11"
    )
    return TrialView(trial=broken, measurement=None, final_latency=None, heldout=None, why="")


def circumstances() -> Circumstances:
    return Circumstances(
        machine_key="mk", host="box", runtime="onnxruntime 1.32.0", runtime_key="rk", details={"threads": "1"}
    )


def sitting() -> Sitting:
    blocks = tuple(
        Block(arm=arm, session=0, round=0, order=order, samples_ns=(1000, 1100, 900), rejected=why)
        for order, (arm, why) in enumerate((("fp32", ""), ("candidate", ""), ("candidate", "steal"), ("fp32", "")))
    )
    run = ArmRun(
        arm="candidate",
        session=0,
        model_sha256="ab",
        load_ms=1.0,
        first_ms=1.0,
        warmup_s=0.5,
        steady=True,
        peak_rss_bytes=1,
        circumstances=circumstances(),
    )
    return Sitting(tier=Tier.SCREEN, reference="fp32", runs=(run,), blocks=blocks, seconds=12.0)


def measurement() -> Measurement:
    return Measurement(
        tier=Tier.SCREEN,
        latency=latency(1.6),
        accuracy=accuracy(0.004),
        size_bytes=20 * 2**20,
        artifact_sha256="ab" * 32,
        peak_memory_bytes=100 * 2**20,
        circumstances=circumstances(),
        sitting=sitting(),
        optimised_ops={"MatMul": 3, "Cast": 1},
        seconds={"assemble": 0.2, "sit": 12.0},
    )


def shown() -> TrialView:
    return TrialView(
        trial=trial(4, Choice.INT8_DYNAMIC, Choice.INT8_DYNAMIC, Choice.FP32),
        measurement=measurement(),
        final_latency=latency(1.58, 0.01, sessions=6),
        heldout=accuracy(0.006, "heldout", 1500),
        why="expected improvement",
    )


def progress(done: int = 12, **changes: Any) -> Progress:
    made = Progress(
        job=job(state=JobState.SEARCHING, ended=None),
        trials={TrialState.DONE: done, TrialState.RUNNING: 1},
        budget=30,
        elapsed_s=61.0,
        eta_s=90.0,
        doing="trial 13",
        leaders=(("cpu-1thread", "j1/4", 1.6, 1.57, 1.63, 0.004),),
    )
    return replace(made, **changes)


def status(**changes: Any) -> JobStatus:
    made = JobStatus(
        job=job(),
        progress=progress(30, job=job(), eta_s=0.0),
        bests=(best(),),
        seconds={"sit": 300.0},
        notes=("no labels: the metric is fidelity to fp32",),
    )
    return replace(made, **changes)


def inspection() -> Inspection:
    layer = Layer(
        id="encoder.0",
        op="MatMul",
        nodes=("n0",),
        weight_shape=(384, 1536),
        parameters=589_824,
        macs=589_824,
        choices=(Choice.FP32, Choice.INT8_DYNAMIC),
        bytes={Choice.FP32: 2_359_296, Choice.INT8_DYNAMIC: 595_968},
    )
    return Inspection(
        digest="cd" * 32,
        opset=17,
        inputs=(TensorInfo(name="ids", dtype="int64", shape=("batch", None, 4)),),
        outputs=(TensorInfo(name="out", dtype="float32", shape=("batch", 384)),),
        layers=(layer,),
        operators={"MatMul": 1, "Add": 2},
        other_bytes=1000,
    )


def plan(*remarks: str) -> Plan:
    return Plan(
        spec=job().spec,
        inspection=inspection(),
        space_log10=5.7,
        matches=(TargetMatch(target="cpu-1thread", hosts=("box",), reasons=("tiny has 1 cores",)),),
        estimate_s={"all": 240.0},
        remarks=remarks,
    )


def bench() -> BenchView:
    result = BenchResult(latencies={1: latency(1.5)}, sitting=sitting(), circumstances=circumstances())
    return BenchView(models=("a.onnx", "b.onnx"), result=result)
