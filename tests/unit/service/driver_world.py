"""A world without clocks and children: a pool that answers every kind of work with made-up, lawful numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from qsearch.cluster.memory import IMAGINED, MemoryPool
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.causes import Cause
from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import WorkFailed
from qsearch.contracts.job import Constraints, DropLimit, Job, JobSpec, ModelRef, SearchSpec
from qsearch.contracts.ledger import Ledger
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import ArmRun, Block, Latency, Measurement, Sitting, Tier
from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from qsearch.contracts.work import (
    FinalOrder,
    FinalResult,
    Inspection,
    InspectOrder,
    Materialized,
    MaterializeOrder,
    Outcome,
    Prepared,
    PrepareOrder,
    TrialOrder,
    Work,
)
from qsearch.service.workplace import Workplace
from qsearch.store.artifacts import ArtifactStore
from qsearch.store.memory import MemoryLedger
from tests.factories import make_accuracy, make_final, make_finalist, make_inspection, make_latency, make_layers

LAYERS = make_layers(6)
TARGET = Target(name="here")
SAVED = {Choice.FP32: 0.0, Choice.INT8_STATIC: 0.10, Choice.INT8_DYNAMIC: 0.08, Choice.TERNARY: 0.05}
LOST = {Choice.FP32: 0.0, Choice.INT8_STATIC: 0.001, Choice.INT8_DYNAMIC: 0.0005, Choice.TERNARY: 0.05}


class World:
    """Answers work; what it shall do wrong is set from outside.

    Attributes:
        fail: called with each trial's work before it is answered; may raise WorkFailed.
        measured: keys of the trials and finals that were answered, in order.
    """

    def __init__(self, folder: Path, *, runtime: str = "1", model: str = "m1", slots: int = 1) -> None:
        self.folder = folder
        self.runtime = runtime
        self.model = model
        self.fail: Callable[[Work], None] = lambda work: None
        self.measured: list[str] = []
        self.ledger: Ledger = MemoryLedger()
        self.slots = slots
        self._numbers = itertools.count()

    @contextmanager
    def place(self) -> Iterator[Workplace]:
        """A workplace over this world; the ledger and the artifacts outlive it."""
        slot: Slot = replace(IMAGINED, runtimes={"onnxruntime": self.runtime})
        pool = MemoryPool(self._answer, [slot] * self.slots)
        scratch = self.folder / f"scratch-{next(self._numbers)}"
        store = ArtifactStore(self.folder / "artifacts", self.ledger)
        yield Workplace(ledger=self.ledger, artifacts=store, pool=pool, scratch=scratch)
        pool.close()

    def job(self, trials: int = 8, targets: Sequence[Target] = (TARGET,), **search: object) -> Job:
        """A new job on a model file that exists."""
        model = self.folder / "model.onnx"
        model.touch()
        spec = JobSpec(
            name="demo",
            folder=str(self.folder),
            model=ModelRef(path=str(model)),
            task="mine:task",
            constraints=Constraints(drop=DropLimit(amount=0.01, relative=True)),
            targets=tuple(targets),
            search=SearchSpec(trials=trials, sampler="random", **search),  # type: ignore[arg-type]
        )
        return self.ledger.create_job(spec, "text", "me")

    def _answer(self, work: Work) -> Outcome:
        scratch = Path(work.scratch)
        self.fail(work)
        order = work.order
        if isinstance(order, InspectOrder):
            return self._done(work, self._inspection())
        if isinstance(order, MaterializeOrder):
            (scratch / "splits").mkdir(parents=True)
            (scratch / "splits" / "search.b1.npz").write_text("data")
            samples = {"calibration": 8, "search": 1000, "heldout": 1000}
            found = Materialized(digest="d1", metric="m", higher_is_better=True, score="mine:score", samples=samples)
            return self._done(work, found)
        if isinstance(order, PrepareOrder):
            (scratch / "prepared").mkdir(parents=True)
            (scratch / "prepared" / "model.onnx").write_text(self.model)
            return self._done(work, self._prepared())
        self.measured.append(work.key)
        if isinstance(order, TrialOrder):
            return self._done(work, self._measurement(order.candidate, order.tier))
        if isinstance(order, FinalOrder):
            return self._done(work, self._final(order))
        raise WorkFailed(Cause.BAD_MODEL, f"this world cannot {work.kind}")

    def _done(self, work: Work, result: object) -> Outcome:
        return Outcome(kind=work.kind, key=work.key, token=work.token, result=result)  # type: ignore[arg-type]

    def _inspection(self) -> Inspection:
        return replace(make_inspection(LAYERS), digest=self.model)

    def _circumstances(self) -> Circumstances:
        return Circumstances(
            machine_key=IMAGINED.machine.key,
            host="memory",
            runtime=f"onnxruntime {self.runtime}",
            runtime_key=self.runtime,
        )

    def _prepared(self) -> Prepared:
        return Prepared(
            digest=f"prepared-{self.model}",
            inspection=self._inspection(),
            quantizer="q/1",
            machine=IMAGINED.machine,
            circumstances=self._circumstances(),
            reference=make_accuracy(0.0),
            seconds={"reference": 1.0},
        )

    def _measurement(self, candidate: Candidate, tier: Tier) -> Measurement:
        sitting = Sitting(
            tier=tier, reference="fp32", runs=self._runs(("fp32", "candidate")), blocks=BLOCKS, seconds=1.0
        )
        return Measurement(
            tier=tier,
            latency=_latency(candidate),
            accuracy=make_accuracy(_drop(candidate)),
            size_bytes=1000,
            artifact_sha256=candidate.digest,
            peak_memory_bytes=1000,
            circumstances=self._circumstances(),
            sitting=sitting,
            seconds={"sit": 1.0},
        )

    def _final(self, order: FinalOrder) -> FinalResult:
        made = [make_finalist(n, ratio=_ratio(c), drop=_drop(c)) for n, c in order.finalists.items()]
        return replace(make_final(*made), circumstances=self._circumstances())

    def _runs(self, arms: Sequence[str]) -> tuple[ArmRun, ...]:
        return tuple(
            ArmRun(
                arm=arm,
                session=0,
                model_sha256="0",
                load_ms=1,
                first_ms=1,
                warmup_s=1,
                steady=True,
                peak_rss_bytes=1000,
                circumstances=self._circumstances(),
            )
            for arm in arms
        )


BLOCKS = (Block(arm="fp32", session=0, round=0, order=0, samples_ns=(1000, 1001)),)


def _ratio(candidate: Candidate) -> float:
    return 1.0 - sum(SAVED[choice] for choice in candidate.choices.values())


def _drop(candidate: Candidate) -> float:
    return sum(LOST[choice] for choice in candidate.choices.values())


def _latency(candidate: Candidate) -> Latency:
    return make_latency(_ratio(candidate))
