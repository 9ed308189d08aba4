"""Which CPUs a measuring child is pinned to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from qsearch.contracts.errors import Unsupported

_TOPOLOGY = Path("/sys/devices/system/cpu")
#: what this process may use, while it stands aside; innermost last
_BEFORE: list[frozenset[int]] = []


def choose_cpus(threads: int, allowed: Sequence[int] | None = None, topology: Path = _TOPOLOGY) -> tuple[int, ...]:
    """One CPU per thread, equal for all arms of a sitting.

    Cores before hardware threads of a core, high numbers before low ones: CPU 0 takes most of a
    machine's interrupts, and the parent has to run somewhere.

    Args:
        threads: of the target.
        allowed: CPUs to choose from; None = all this process may use.
        topology: the kernel's folder of CPUs.

    Raises:
        Unsupported: fewer CPUs than threads, or a CPU this process may not use.
    """
    mine = os.sched_getaffinity(0)
    pool = sorted(mine if allowed is None else set(allowed), reverse=True)
    foreign = [cpu for cpu in pool if cpu not in mine]
    if foreign:
        raise Unsupported(f"CPU {foreign[0]} cannot be used by this process; it has {sorted(mine)}")
    if len(pool) < threads:
        raise Unsupported(f"{threads} threads need as many CPUs, there are {len(pool)}: {sorted(pool)}")
    firsts: list[int] = []
    seconds: list[int] = []
    cores: set[str] = set()
    for cpu in pool:
        core = _core(topology, cpu)
        (seconds if core in cores else firsts).append(cpu)
        cores.add(core)
    return tuple(sorted((firsts + seconds)[:threads]))


@contextmanager
def aside(measuring: Sequence[int]) -> Iterator[None]:
    """While the block runs, all threads of this process keep off the CPUs that somebody measures on.

    Where it may use no others, nothing changes. Whatever it starts meanwhile inherits the narrower set: a
    measuring child pins itself anyway, and a worker is told `own_cpus`.

    NOTE: for as long as something is measured and not for good. Heavy work (calibration, scoring) never
    runs beside a measurement, because the machine's lock keeps them apart, and may have every CPU; and
    `Machine.cores` counts what a process may use, so that a worker that stayed narrow, or inherited it,
    would file its numbers under another class of machine.
    """
    before = {task: _affinity(task) for task in _tasks()}
    mine = os.sched_getaffinity(0)
    others = mine.difference(measuring)
    if not others or others == mine:
        yield
        return
    _BEFORE.append(frozenset(mine))
    try:
        for task, cpus in before.items():
            _pin(task, cpus - set(measuring) or cpus)
        yield
    finally:
        _BEFORE.pop()
        for task in _tasks():
            # a thread that was started meanwhile has the narrow set of the one that started it
            _pin(task, before.get(task, mine))


def own_cpus() -> frozenset[int]:
    """The CPUs this process may use when it does not stand aside."""
    return _BEFORE[0] if _BEFORE else frozenset(os.sched_getaffinity(0))


def standing_aside() -> bool:
    """Whether this process keeps off CPUs that it may use."""
    return bool(_BEFORE)


def _tasks() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]
    except OSError:
        return [0]


def _affinity(task: int) -> set[int]:
    try:
        return os.sched_getaffinity(task)
    except ProcessLookupError:
        return set()


def _pin(task: int, cpus: set[int]) -> None:
    # a thread may have ended; one that had no CPUs to begin with was ending
    with suppress(ProcessLookupError):
        if cpus:
            os.sched_setaffinity(task, cpus)


def _core(topology: Path, cpu: int) -> str:
    """What the CPUs of one core have in common; the CPU itself where the kernel does not say."""
    try:
        return (topology / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
