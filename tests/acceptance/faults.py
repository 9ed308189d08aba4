"""A real worker, real orders, and one fault in them; what is left afterwards.

The model (`fault_models`) answers ordinary samples and does what a hostile one does when a sample tells it
to: so that the very same prepared model is calibrated, measured, and then loops for ever or asks for 256 GiB.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from qsearch.cluster.local import LocalPool
from qsearch.contracts.bench import BenchOrder
from qsearch.contracts.candidate import Candidate
from qsearch.contracts.choices import DEFAULT, Choice
from qsearch.contracts.job import ModelRef
from qsearch.contracts.measurement import Tier
from qsearch.contracts.target import Target
from qsearch.contracts.work import (
    EvalOrder,
    Materialized,
    MaterializeOrder,
    Order,
    Outcome,
    Prepared,
    PrepareOrder,
    TrialOrder,
    Work,
    WorkKind,
)
from qsearch.measure.samples import read_samples, write_samples
from tests.acceptance.fault_models import TASK, write_model

TARGET = Target(name="here")
#: most memory of a worker and of each child of its, bytes: what allocates without end must not fill this machine
MEMORY = 1 << 30


@dataclass(frozen=True)
class Left:
    """What a fault may not change."""

    worker: int
    #: of this process and of the worker
    descriptors: tuple[int, int]
    #: everybody in the worker's care, zombies too: process → name
    family: frozenset[int]
    files: frozenset[str]


@dataclass
class Shop:
    """One worker, one prepared model, orders over both. Use as a context manager."""

    folder: Path
    count: int = 0
    prepared: Prepared = field(init=False)
    materialized: Materialized = field(init=False)

    def __enter__(self) -> Shop:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_model(self.folder / "model.onnx")
        (self.folder / "faulty.py").write_text(TASK)
        self.fault("")
        self.pool = LocalPool(scratch=self.folder / "worker")
        self.pool.capacity()
        _, hard = resource.prlimit(self.worker, resource.RLIMIT_DATA)
        ceiling = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.prlimit(self.worker, resource.RLIMIT_DATA, (ceiling, ceiling))
        made = self.do(WorkKind.MATERIALIZE, self.materialize(), scratch="made").result
        assert isinstance(made, Materialized)
        self.materialized = made
        ready = self.do(WorkKind.PREPARE, self.prepare(), scratch="ready").result
        assert isinstance(ready, Prepared)
        self.prepared = ready
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    @property
    def worker(self) -> int:
        """Process id of the worker."""
        return self.pool._links[0].pid

    def fault(self, kind: str) -> None:
        """What the user's code does wrong from now on."""
        (self.folder / "fault").write_text(kind)

    @contextlib.contextmanager
    def poisoned(self, value: float) -> Iterator[None]:
        """The samples that arms are timed on make the model misbehave."""
        file = self.folder / "ready" / "prepared" / "latency.npz"
        kept, samples = file.read_bytes(), read_samples(file)
        write_samples(file, [{"x": np.full_like(f["x"], value)} for f in samples.feeds], {}, samples.sizes)
        try:
            yield
        finally:
            file.write_bytes(kept)

    def materialize(self) -> MaterializeOrder:
        return MaterializeOrder(
            model=ModelRef(path=str(self.folder / "model.onnx")),
            task="faulty:task",
            folder=str(self.folder),
            data=None,
            metric="",
            seed=0,
            batches=(1,),
        )

    def prepare(self) -> PrepareOrder:
        return PrepareOrder(
            model=ModelRef(path=str(self.folder / "model.onnx")),
            splits=str(self.folder / "made" / "splits"),
            materialized=self.materialized,
            folder=str(self.folder),
            choices=DEFAULT,
            target=TARGET,
        )

    def trial(self) -> TrialOrder:
        layers = self.prepared.layers
        choices = {
            layer.id: Choice.INT8_DYNAMIC if Choice.INT8_DYNAMIC in layer.choices else Choice.FP32 for layer in layers
        }
        return TrialOrder(
            prepared=str(self.folder / "ready" / "prepared"),
            splits=str(self.folder / "made" / "splits"),
            materialized=self.materialized,
            folder=str(self.folder),
            candidate=Candidate(choices=choices),
            target=TARGET,
            tier=Tier.QUICK,
            reference=self.prepared.reference,
            seed=1,
            fp32_s=self.prepared.seconds["reference"],
            scoring_s=self.prepared.seconds["score"],
        )

    def evaluate(self, *models: Path) -> EvalOrder:
        return EvalOrder(
            prepared=str(self.folder / "ready" / "prepared"),
            splits=str(self.folder / "made" / "splits"),
            materialized=self.materialized,
            folder=str(self.folder),
            reference=Candidate(choices={layer.id: Choice.FP32 for layer in self.prepared.layers}),
            models=tuple(str(model) for model in models),
            target=TARGET,
            tier=Tier.QUICK,
            seed=0,
        )

    def bench(self, model: Path, x: np.ndarray) -> BenchOrder:
        data = self.folder / "bench.npz"
        np.savez(data, x=x)
        return BenchOrder(models=(str(model), str(model)), data=str(data), target=TARGET, tier=Tier.QUICK, seed=0)

    def do(
        self,
        kind: WorkKind,
        order: Order,
        *,
        deadline_s: float = 100.0,
        scratch: str = "",
        meanwhile: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """What becomes of an order. It comes back within its deadline and three seconds."""
        self.count += 1
        folder = self.folder / (scratch or f"scratch-{self.count}")
        work = Work(
            kind=kind, key=f"job/{self.count}", token=1, order=order, scratch=str(folder), deadline_s=deadline_s
        )
        started = time.monotonic()
        self.pool.submit(work, TARGET)
        while not (found := self.pool.results(0.05)):
            assert time.monotonic() - started < deadline_s + 3.0, "later than its deadline and three seconds"
            meanwhile()
        if not scratch:
            # as the driver does with what nobody adopts
            for file in sorted(folder.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            folder.rmdir()
        (outcome,) = found
        assert (outcome.key, outcome.kind) == (work.key, kind)
        return outcome

    def left(self) -> Left:
        """What there is now, of the worker's and of this process."""
        names = {str(path) for place in ("/tmp", "/dev/shm") for path in Path(place).glob("*")}
        names = {n for n in names if n.startswith(("/tmp/qsearch-child-", "/dev/shm/psm_", "/dev/shm/sem."))}
        mine = {str(path) for path in self.folder.rglob("*") if "__pycache__" not in path.parts}
        counts = (len(os.listdir("/proc/self/fd")), self._open_files())
        return Left(self.worker, counts, frozenset(self._family()), frozenset(names | mine))

    def must_be(self, before: Left) -> None:
        """Nothing has come and nothing has gone, but for the child that runs user code, which stays or goes."""
        now = self.left()
        assert now.worker == before.worker, "another worker serves now"
        more = now.family - before.family - self._user_code()
        assert not more, [psutil.Process(pid).as_dict(["pid", "cmdline", "status"]) for pid in more]
        assert {f for f in now.files - before.files if "/qsearch-child-" not in f} == set()
        folders = [f for f in now.files if f.startswith("/tmp/qsearch-child-")]
        assert len([f for f in folders if f not in before.files]) <= len(self._user_code())
        # the one child that may stay has three pipes and a selector of them
        grown = [after - was for was, after in zip(before.descriptors, now.descriptors, strict=True)]
        assert grown[0] <= 0, grown
        assert grown[1] <= (4 if self._user_code() else 0), grown

    def _open_files(self) -> int:
        """Of the worker, but for the prepared tensors, which its first trial maps once and keeps."""
        place, count = f"/proc/{self.worker}/fd", 0
        for name in os.listdir(place):
            with contextlib.suppress(FileNotFoundError):
                count += Path(os.readlink(f"{place}/{name}")).name != "tensors.bin"
        return count

    def _family(self) -> set[int]:
        """The worker, who descends from it, and whoever else sleeps for ten minutes: nobody else does here."""
        found = {self.worker}
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child.pid for child in psutil.Process(self.worker).children(recursive=True)}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if any("sleep(600)" in word or word == "600" for word in process.cmdline()):
                    found.add(process.pid)
        return found

    def _user_code(self) -> set[int]:
        found = set()
        for process in psutil.Process(self.worker).children():
            with contextlib.suppress(psutil.Error):
                if "workers.user_code" in process.cmdline():
                    found.add(process.pid)
        return found


@dataclass
class Shot:
    """Sends a signal to the worker's measuring child, once, when it is deep in native code.

    The canary and fp32's arm have a child each too; neither ever works for so long.
    """

    shop: Shop
    number: signal.Signals
    fired: bool = False

    def __call__(self) -> None:
        if self.fired:
            return
        for child in psutil.Process(self.shop.worker).children():
            with contextlib.suppress(psutil.Error, OSError):
                words, busy = child.cmdline(), child.cpu_times().user > 1.5
                maps = Path(f"/proc/{child.pid}/maps").read_text()
                if busy and words[-1].endswith("workers/child.py") and "onnxruntime_pybind" in maps:
                    time.sleep(0.2)
                    os.kill(child.pid, self.number)
                    self.fired = True


def wrong(outcome: Outcome) -> str:
    """What a failure says, for the messages of the tests."""
    return f"{outcome.cause}: {outcome.message}\n{outcome.tail}"
