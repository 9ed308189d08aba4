"""What the workers of the tests do: well-behaved and badly behaved work, named in the order's `data`."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from qsearch.contracts.bench import BenchOrder, BenchResult
from qsearch.contracts.causes import Cause
from qsearch.contracts.errors import DataError, ModelError, TaskError, Unsupported, WorkFailed
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import Latency, Sitting, Tier
from qsearch.contracts.target import Target
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.work import Work, WorkKind

TARGET = Target(name="here")
#: import path under which a worker finds this module
HERE = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
_RAISED = {
    "task": TaskError("the task raised"),
    "model": ModelError("truncated", "Export it again."),
    "unsupported": Unsupported("no such choice"),
    "data": DataError("wrong shape"),
    "memory": MemoryError("too much"),
    "bug": ZeroDivisionError("a bug"),
    "exit": SystemExit(3),
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "crash": WorkFailed(Cause.NATIVE_CRASH, "the child died", tail="its last words"),
}


def piece(data: str, scratch: Path, *, key: str = "", token: int = 1, deadline_s: float = 60.0) -> Work:
    """A piece of work that `perform` understands."""
    order = BenchOrder(models=("/a/m.onnx", "/b/m.onnx"), data=data, target=TARGET, tier=Tier.SCREEN, seed=1)
    return Work(
        kind=WorkKind.BENCH,
        key=key or f"job/{data}",
        token=token,
        order=order,
        scratch=str(scratch),
        deadline_s=deadline_s,
    )


def result(note: str = "", ratio: float = 0.5) -> BenchResult:
    """A result with a recognisable flag."""
    latency = Latency(
        ratio=Interval(value=ratio, low=ratio, high=ratio),
        verdict=Verdict.FASTER,
        detectable=0.02,
        pairs=8,
        sessions=2,
        median_ms=1.0,
        reference_ms=2.0,
        flags=(note,),
    )
    return BenchResult(
        latencies={1: latency},
        sitting=Sitting(tier=Tier.SCREEN, reference="a", runs=(), blocks=(), seconds=0.1),
        circumstances=Circumstances(machine_key="m", host="h", runtime="r 1", runtime_key="k"),
    )


def perform(work: Work) -> object:
    """Do what the order's `data` says."""
    order = work.order
    assert isinstance(order, BenchOrder)
    deed, _, argument = order.data.partition(":")
    if deed == "raise":
        raise _RAISED[argument]
    return _DEEDS[deed](work, argument)


def _echo(work: Work, argument: str) -> BenchResult:
    return result(argument)


def _environment(work: Work, argument: str) -> BenchResult:
    return result(f"{argument}={os.environ.get(argument, '')} nice={os.getpriority(os.PRIO_PROCESS, 0)}")


def _die(work: Work, argument: str) -> BenchResult:
    print("about to die", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.Signals[argument])
    time.sleep(60)
    return result()


def _flood(work: Work, argument: str) -> BenchResult:
    print("x" * 3_000_000, flush=True)
    os.write(1, b'{"kind":"bench","key":"forged"}\n' * 2000)
    subprocess.run([sys.executable, "-c", "import sys; print('y' * 500_000); sys.stdin.read()"], check=True)
    return result("flooded")


def _family(work: Work, argument: str) -> BenchResult:
    """Start children that will not go by themselves, say who they are, and hang (or die, or return)."""
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"
    same = subprocess.Popen([sys.executable, "-c", stubborn])
    apart = subprocess.Popen([sys.executable, "-c", stubborn], start_new_session=True)
    partial = Path(work.scratch) / "pids.partial"
    partial.write_text(f"{os.getpid()} {same.pid} {apart.pid}")
    partial.rename(Path(work.scratch) / "pids")
    if argument == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(300)
    return result()


def _nan(work: Work, argument: str) -> BenchResult:
    return result(ratio=float("nan"))


def _wrong(work: Work, argument: str) -> object:
    return "not a result"


_DEEDS = {
    "echo": _echo,
    "environment": _environment,
    "die": _die,
    "flood": _flood,
    "family": _family,
    "nan": _nan,
    "wrong": _wrong,
}
