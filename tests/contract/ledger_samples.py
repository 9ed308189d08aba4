"""The ledgers there are, and small records for their tests: true to their types, quick to make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import Choice
from qsearch.contracts.front import Best, DropSeen, Proof, Speedup
from qsearch.contracts.job import Constraints, DropLimit, JobSpec, Lease, ModelRef, SearchSpec, SpaceSpec
from qsearch.contracts.layer import Inspection, Layer, TensorInfo
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.machine import Circumstances, Machine
from qsearch.contracts.measurement import Accuracy, ArmRun, Block, Latency, Measurement, Sitting, Tier
from qsearch.contracts.noise import EqualSession, NoiseFloor
from qsearch.contracts.target import Target
from qsearch.contracts.trial import Proposal
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.work import Finalist, FinalResult, Materialized, Prepared
from qsearch.store.database import Database
from qsearch.store.memory import MemoryLedger
from qsearch.store.opening import open_ledger
from qsearch.store.sql_ledger import SqlLedger
from tests.postgres import shared_server

TARGETS = (Target(name="laptop", labels={"isa": "avx2"}), Target(name="server", threads=4))


@dataclass
class Clock:
    """Moves the clock of a ledger: `clock.seconds += 60`."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


def _memory(_folder: Path, clock: Clock) -> Ledger:
    return MemoryLedger(shift_s=clock)


def _sqlite(folder: Path, clock: Clock) -> Ledger:
    return open_ledger(f"sqlite:///{folder}/ledger.db", shift_s=clock)


def _postgres(_folder: Path, clock: Clock) -> Ledger:
    url = shared_server().ledger_url()
    made = open_ledger(url, shift_s=clock)
    return _Borrowed(made._database, url)


class _Borrowed(SqlLedger):
    """A ledger that gives its database back when it is closed."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        self._borrowed = url

    def close(self) -> None:
        super().close()
        if self._borrowed:
            shared_server().give_back(self._borrowed)
        self._borrowed = ""


#: every implementation: (folder of its own, clock) → a new, empty ledger
LEDGERS: dict[str, Callable[[Path, Clock], Ledger]] = {"memory": _memory, "sqlite": _sqlite, "postgres": _postgres}


def spec(name: str = "encoder", targets: Sequence[Target] = TARGETS) -> JobSpec:
    return JobSpec(
        name=name,
        model=ModelRef(path="/models/encoder.onnx"),
        task="task:task",
        constraints=Constraints(drop=DropLimit(amount=0.01, relative=True)),
        targets=tuple(targets),
        shapes={"tokens": (16, 32)},
        space=SpaceSpec(pin={"*/embed*": Choice.FP32}),
        search=SearchSpec(trials=12, seed=3),
    )


def proposals(count: int, target: str = "laptop", layers: int = 3) -> list[Proposal]:
    choices = (Choice.INT8_DYNAMIC, Choice.INT8_STATIC, Choice.TERNARY)
    return [
        Proposal(
            candidate=Candidate(choices={f"layer{i}": choices[(i + n) % 3] for i in range(layers)}),
            target=target,
            origin=f"random {n}",
        )
        for n in range(count)
    ]


def machine(host: str = "alpha") -> Machine:
    return Machine(
        host=host, cpu="Some CPU 9000", isa=("avx2", "fma"), cores=4, virtualisation="none", details={"kernel": "6.1"}
    )


def circumstances() -> Circumstances:
    return Circumstances(
        machine_key=machine().key,
        host="alpha",
        runtime="onnxruntime 1.32.0",
        runtime_key="0123456789abcdef",
        details={"affinity": "0"},
    )


def noise(source: str = "self-test", *, runtime_key: str = "0123456789abcdef", sd: float = 0.004) -> NoiseFloor:
    return NoiseFloor(
        machine_key=machine().key,
        host="alpha",
        runtime="onnxruntime 1.32.0",
        runtime_key=runtime_key,
        source=source,
        model="yardstick",
        model_sha256="ab" * 32,
        sittings=2,
        sessions=tuple(EqualSession(shift=sd * (-1) ** n, pairs=4 + n, pair_sd=0.003) for n in range(4)),
        session_sd=sd,
        pair_sd=0.003,
        floor=0.011,
        median_ms=4.75,
    )


def latency(ratio: float = 0.5) -> Latency:
    return Latency(
        ratio=Interval(value=ratio, low=ratio * 0.9, high=ratio * 1.1),
        verdict=Verdict.FASTER if ratio < 0.9 else Verdict.EQUIVALENT,
        detectable=0.02,
        pairs=12,
        sessions=2,
        median_ms=10.0 * ratio,
        reference_ms=10.0,
        flags=("indicative",),
    )


def accuracy(drop: float = 0.004, split: str = "search", n: int = 40) -> Accuracy:
    return Accuracy(
        metric="top1",
        higher_is_better=True,
        split=split,
        n=n,
        score=0.9 * (1 - drop),
        reference_score=0.9,
        drop=Interval(value=drop, low=drop - 0.002, high=drop + 0.002),
        drop_points=Interval(value=0.9 * drop, low=0.0, high=drop),
        detectable=0.01,
        outcomes=tuple(((i * 7) % 11) / 10 for i in range(n)),
        weights=tuple(1.0 + (i % 3) for i in range(n)) if split == "heldout" else (),
    )


def sitting(tier: Tier = Tier.SCREEN, samples: int = 20) -> Sitting:
    arms = ("fp32", "candidate")
    return Sitting(
        tier=tier,
        reference="fp32",
        runs=tuple(
            ArmRun(
                arm=arm,
                session=0,
                model_sha256="ab" * 32,
                load_ms=12.5,
                first_ms=30.25,
                warmup_s=0.5,
                steady=True,
                peak_rss_bytes=123_456_789,
                circumstances=circumstances(),
            )
            for arm in arms
        ),
        blocks=tuple(
            Block(
                arm=arm,
                session=0,
                round=0,
                order=order,
                samples_ns=tuple(10_000_000 + 137 * i for i in range(samples)),
                telemetry={"steal": 0.0, "load": 0.37},
                rejected="" if order else "steal",
            )
            for order, arm in enumerate(arms)
        ),
        seconds=3.25,
    )


def measurement(ratio: float = 0.5, drop: float = 0.004, *, samples: int = 20, n: int = 40) -> Measurement:
    return Measurement(
        tier=Tier.SCREEN,
        latency=latency(ratio),
        accuracy=accuracy(drop, n=n),
        size_bytes=4_000_000,
        artifact_sha256="cd" * 32,
        peak_memory_bytes=90_000_000,
        circumstances=circumstances(),
        sitting=sitting(samples=samples),
        optimised_ops={"MatMul": 2},
        seconds={"assemble": 0.1, "sit": 3.25},
    )


def final(numbers: Sequence[int], ratio: float = 0.48) -> FinalResult:
    return FinalResult(
        finalists=tuple(
            Finalist(
                number=number,
                latency=latency(ratio + number / 100),
                versus={other: latency(1.0) for other in numbers if other != number},
                heldout=accuracy(0.006, "heldout"),
                artifact_sha256="ef" * 32,
                peak_memory_bytes=91_000_000,
            )
            for number in numbers
        ),
        sitting=sitting(Tier.FINAL),
        circumstances=circumstances(),
    )


def layer(position: int) -> Layer:
    return Layer(
        id=f"layer{position}",
        op="MatMul",
        nodes=(f"node{position}",),
        weight_shape=(8, 8),
        parameters=64,
        macs=64,
        choices=(Choice.FP32, Choice.INT8_DYNAMIC),
        bytes={Choice.FP32: 256, Choice.INT8_DYNAMIC: 72},
    )


def prepared(layers: int = 3, digest: str = "11" * 32) -> tuple[Materialized, Prepared]:
    facts = Materialized(
        digest="22" * 32,
        metric="top1",
        higher_is_better=True,
        score="top1",
        samples={"calibration": 8, "search": 40, "heldout": 40},
        notes=("no labels",),
    )
    inspection = Inspection(
        digest="33" * 32,
        opset=17,
        inputs=(TensorInfo(name="x", dtype="float32", shape=("N", 8, None)),),
        outputs=(TensorInfo(name="y", dtype="float32", shape=("N", 8)),),
        layers=tuple(layer(i) for i in range(layers)),
        operators={"MatMul": layers},
        other_bytes=512,
    )
    done = Prepared(
        digest=digest,
        inspection=inspection,
        quantizer="qsearch 1",
        machine=machine(),
        circumstances=circumstances(),
        reference=replace(accuracy(0.0), score=0.9),
        seconds={"calibrate": 1.5},
    )
    return facts, done


def best(job: str, number: int, target: str = "laptop") -> Best:
    return Best(
        job=job,
        target=target,
        trial=f"{job}/{number}",
        rule="fastest-feasible",
        reason="the fastest that keeps the drop below 1%",
        feasible=True,
        speedup=Speedup(value=2.0, low=1.8, high=2.2, sessions=6, verdict=Verdict.FASTER),
        latency_p50_ms=5.0,
        drop=DropSeen(value=0.006, low=0.004, high=0.008, n=40),
        drop_search=DropSeen(value=0.004, low=0.002, high=0.006, n=40),
        proof=Proof.PROVED,
        tried=1,
        size_bytes=4_000_000,
        peak_memory_bytes=90_000_000,
        versus_uniform=None,
        choices={"layer0": Choice.INT8_DYNAMIC},
    )


def kinds(ledger: Ledger, job: str) -> list[str]:
    return [event.kind for event in ledger.events(job)]


def finished(ledger: Ledger, lease: Lease, count: int = 3) -> None:
    """`count` trials for the laptop, trial n at ratio 0.5 + n / 10."""
    for trial in ledger.add_trials(lease, proposals(count)):
        token = ledger.start(lease, trial.number)
        assert ledger.finish(lease.job, trial.number, token, measurement(0.5 + trial.number / 10))
