"""The outputs of one model on a split, a few batches at a time, in one child."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import WorkFailed
from qsearch.contracts.target import Target
from qsearch.measure import wire
from qsearch.measure.fingerprint import circumstances
from workers.child_process import ChildProcess
from workers.cpus import choose_cpus
from workers.numerics import numerics_class
from workers.sitting import Predicted, must_serve
from workers.slot_lock import LOCK_WAIT_S, slot_lock


@dataclass(slots=True, kw_only=True)
class Predictor:
    """A model that stays loaded; made by `predictor`. Not thread-safe."""

    child: ChildProcess
    model: Path
    target: Target
    samples: Path
    cpus: tuple[int, ...]
    #: interpreter of the child
    python: str
    #: descriptors that children keep open: the machine's lock
    inherit: tuple[int, ...]
    #: monotonic, seconds
    until: float
    _asked: bool = field(default=False, init=False)

    def predict(self, batches: Sequence[int], out: Path) -> Predicted:
        """Run these batches, in this order, and write their outputs.

        Raises:
            WorkFailed: as `workers.sitting.predict`; the deadline is that of all calls together.
        """
        started = time.monotonic()
        order = self._order(tuple(batches), str(out))
        answer = self.child.ask(order, max(0.0, self.until - started))
        self._asked = True
        if not isinstance(answer, wire.Predictions):
            found = type(answer).__name__
            raise WorkFailed(Cause.INFRA, f"{self.model.name}: the child answered with {found}, out of turn")
        seconds = time.monotonic() - started
        numerics = numerics_class(self.target, self.python, self.cpus, self.inherit)
        return Predicted(
            outputs=out,
            float_ops=answer.float_ops,
            circumstances=circumstances(self.target, answer.runtime, facts=answer.facts, numerics=numerics),
            peak_rss_bytes=answer.peak_rss_bytes,
            seconds=seconds,
        )

    def _order(self, batches: tuple[int, ...], out: str) -> wire.Message:
        if self._asked:
            return wire.More(out=out, batches=batches)
        return wire.PredictOrder(
            model=str(self.model),
            target=self.target,
            samples=str(self.samples),
            out=out,
            cpus=self.cpus,
            batches=batches,
        )


@contextmanager
def predictor(model: Path, target: Target, samples: Path, *, deadline_s: float, lock: Path) -> Iterator[Predictor]:
    """A child that loads the model with the first batches and is gone at the end.

    Args:
        model: an .onnx file.
        target: runtime, provider, threads and options.
        samples: of `write_samples`.
        deadline_s: for everything, from start to end.
        lock: the machine's lock, shared with other heavy work but not with a sitting.
    """
    cpus, python = choose_cpus(target.threads), target.python or sys.executable
    must_serve(target)
    with (
        slot_lock(lock, exclusive=False, timeout_s=LOCK_WAIT_S) as handle,
        ChildProcess(model.name, python, target.threads, (handle,)) as child,
    ):
        yield Predictor(
            child=child,
            model=model,
            target=target,
            samples=samples,
            cpus=cpus,
            python=python,
            inherit=(handle,),
            until=time.monotonic() + deadline_s,
        )
