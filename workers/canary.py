"""The canary in a child of its own: fixed work whose time tells what the machine does, never an arm."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import QSearchError, WorkFailed
from qsearch.contracts.measurement import CanaryReading
from qsearch.contracts.target import Target
from qsearch.graph.canary import ROWS, WIDTH, write_canary
from qsearch.measure import wire
from qsearch.measure.mix import typical
from qsearch.measure.protocol import GROUP_NS
from qsearch.measure.samples import write_samples
from workers.child_process import ChildProcess

#: nanoseconds of a reading, after ten milliseconds that are not timed
READING_NS = 30_000_000
#: seconds; a canary has no steady state to prove
_WARMUP_S = 0.1
#: seconds for its start, and for a reading that takes a twentieth of one
_PATIENCE_S, _READING_PATIENCE_S = 20.0, 5.0


class Canary:
    """One child for a sitting. It never ends the sitting: what goes wrong with it is said in `unavailable`.

    NOTE: in the runtime of the arms, because no other need be installed where they run; one thread on the
    first of their CPUs, because threads that wake each other for so little work are noisier than what is
    to be seen, and what happens on the other CPUs is telemetry's business.

    Args:
        target: of the arms.
        cpus: that the arms are pinned to.
        python: interpreter of the child.
        inherit: descriptors it keeps open, the machine's lock among them.
    """

    def __init__(self, target: Target, cpus: Sequence[int], python: str, inherit: Sequence[int]) -> None:
        self._target = Target(name="canary", runtime=target.runtime)
        self._cpus, self._python, self._inherit = tuple(cpus[:1]), python, inherit
        self._stack = ExitStack()
        self._child: ChildProcess | None = None
        #: why there are no readings, or no more; empty while there are
        self.unavailable = ""
        self._runs = self._group = self._first = 0

    def __enter__(self) -> Canary:
        try:
            self._start()
        except (QSearchError, OSError) as error:
            self._give_up(error)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def read(self, session: int, rounds: int) -> CanaryReading | None:
        """One reading; None where there is no canary (any more)."""
        if self._child is None:
            return None
        turn = wire.Turn(first=self._first, runs=self._runs, group=self._group)
        try:
            times = self._child.ask(turn, _READING_PATIENCE_S)
        except WorkFailed as error:
            self._give_up(error)
            return None
        if not isinstance(times, wire.Times):
            self._give_up(f"it answered with {type(times).__name__}")
            return None
        self._first += self._runs
        return CanaryReading(session=session, rounds=rounds, typical_ns=int(typical(times.samples_ns, 1)))

    def _start(self) -> None:
        child = self._stack.enter_context(ChildProcess("the canary", self._python, 1, self._inherit))
        # Gone as soon as it is loaded: a worker that is killed later leaves no file behind.
        with tempfile.TemporaryDirectory(prefix="qsearch-canary-") as folder:
            warm = child.ask(self._order(Path(folder)), _PATIENCE_S)
        if not isinstance(warm, wire.Warm):
            raise WorkFailed(Cause.INFRA, f"it answered with {type(warm).__name__}, out of turn")
        typical_ns = max(1, warm.typical_ns)
        self._group = -(-GROUP_NS // typical_ns)
        self._runs = -(-READING_NS // (typical_ns * self._group)) * self._group
        self._child = child

    def _order(self, folder: Path) -> wire.ArmOrder:
        samples = folder / "canary.npz"
        feeds = np.random.default_rng(0).standard_normal((1, ROWS, WIDTH)).astype(np.float32)
        write_samples(samples, [{"x": feeds}], {}, [1])
        return wire.ArmOrder(
            model=str(write_canary(folder / "canary.onnx")),
            target=self._target,
            samples=str(samples),
            batches=1,
            cpus=self._cpus,
            warmup_cap_s=_WARMUP_S,
        )

    def _give_up(self, why: object) -> None:
        self.unavailable = f"it could not be run: {why}"
        self._child = None
        self._stack.close()
