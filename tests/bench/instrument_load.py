"""Disturbers: a busy neighbour on another core, and one on the measured core while one arm is on turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import workers.sitting
from qsearch.measure import wire
from workers.child_process import ChildProcess
from workers.cpus import choose_cpus

#: matrices that stay in the second-level cache, one thread, for ever
_SPIN = """
import os, sys
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
import numpy
os.sched_setaffinity(0, {int(sys.argv[1])})
a = numpy.ones((256, 256), numpy.float32)
print("ready", flush=True)
while True:
    a @ a
"""


def measured_cpu() -> int:
    """Where an arm of one thread is pinned."""
    return choose_cpus(1)[0]


def another_cpu() -> int | None:
    """A CPU beside that; None on a machine with one."""
    others = sorted(os.sched_getaffinity(0) - {measured_cpu()})
    return others[0] if others else None


@contextmanager
def busy(cpu: int) -> Iterator[int]:
    """A process that never rests on that CPU; its number."""
    process = subprocess.Popen([sys.executable, "-c", _SPIN, str(cpu)], stdout=subprocess.PIPE)
    with process:
        try:
            if process.stdout is None or process.stdout.readline().strip() != b"ready":
                raise RuntimeError(f"the busy process on CPU {cpu} did not start")
            yield process.pid
        finally:
            process.kill()


@contextmanager
def busy_while_on_turn(arm: str) -> Iterator[None]:
    """A busy process on the measured CPU that runs during the blocks of one arm only, and is stopped otherwise.

    NOTE: the sittings' class of children is replaced for the while. The disturber must start and stop with the
    very turns, and a hook for that in the product would be there for nobody else.
    """
    with busy(measured_cpu()) as pid:
        os.kill(pid, signal.SIGSTOP)

        class Disturbed(ChildProcess):
            def __init__(self, name: str, *rest: Any, **more: Any) -> None:
                super().__init__(name, *rest, **more)
                self._victim = name == f"arm {arm}"

            def ask(self, message: wire.Message, deadline_s: float) -> wire.Message:
                if not (self._victim and isinstance(message, wire.Turn)):
                    return super().ask(message, deadline_s)
                os.kill(pid, signal.SIGCONT)
                try:
                    return super().ask(message, deadline_s)
                finally:
                    os.kill(pid, signal.SIGSTOP)

        kept = workers.sitting.ChildProcess
        workers.sitting.ChildProcess = Disturbed  # type: ignore[misc]
        try:
            yield
        finally:
            workers.sitting.ChildProcess = kept  # type: ignore[misc]
