"""Everything that is watched beside the arms of one sitting: a calm start, the canary, who else works."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from qsearch.contracts.limits import Limits
from qsearch.contracts.measurement import Block, CanaryReading, Readiness
from qsearch.contracts.target import Target
from qsearch.measure.nvml import on_gpu
from qsearch.measure.pollution import judged
from qsearch.measure.telemetry import Probe, unavailable
from workers.canary import Canary
from workers.census import MOST, Census
from workers.cpus import aside
from workers.readiness import await_calm


class Surroundings:
    """Of one sitting, from its first child to its last; a context manager.

    While it lasts, this process keeps off the CPUs of the arms, where it may use others.

    Args:
        target: of the arms.
        cpus: that they are pinned to.
        limits: when telemetry rejects or flags.
        python: interpreter of the children.
        inherit: descriptors that the canary's child keeps open.
    """

    def __init__(
        self, target: Target, cpus: Sequence[int], limits: Limits, python: str, inherit: Sequence[int]
    ) -> None:
        self._target, self._cpus, self._limits = target, cpus, limits
        self._canary = Canary(target, cpus, python, inherit)
        self._probe = Probe(cpus=cpus, clock=time.perf_counter_ns)
        self._stack = ExitStack()
        self._ran: Counter[str] = Counter()
        self.readings: list[CanaryReading] = []
        self.readiness: list[Readiness] = []

    def __enter__(self) -> Surroundings:
        self._stack.enter_context(aside(self._cpus))
        self._stack.enter_context(self._canary)
        self._census = Census()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def await_calm(self, session: int, patience_s: float) -> None:
        """The readiness gate; to be called while no arm lives."""
        found = await_calm(session, self._probe, self._limits, patience_s)
        self.readiness.append(found)
        if found.unrest:
            self._ask_who()

    def read_canary(self, session: int, rounds: int) -> None:
        """One reading of the canary, where there is one; to be called while no arm is busy."""
        reading = self._canary.read(session, rounds)
        if reading is not None:
            self.readings.append(reading)

    def judge(self, blocks: Sequence[Block]) -> tuple[Block, ...]:
        """The blocks with why each is rejected; when there are new rejections, who else worked is noted."""
        found = judged(blocks, self.readings, self._limits, len(self._cpus))
        if sum(bool(b.rejected) for b in found) > sum(bool(b.rejected) for b in blocks):
            self._ask_who()
        return found

    def unavailable(self, blocks: Iterable[Block]) -> Mapping[str, str]:
        """Signal → why it is in no block."""
        missing = unavailable([b.telemetry for b in blocks], gpu=on_gpu(self._target.provider))
        return missing | ({"canary": self._canary.unavailable} if self._canary.unavailable else {})

    def polluters(self) -> Mapping[str, float]:
        """Name → milliseconds of CPU time, of the few that ran most whenever something disturbed."""
        return dict(self._ran.most_common(MOST))

    def _ask_who(self) -> None:
        self._ran.update(dict(self._census.busiest()))
