"""Which CPUs a measuring child is pinned to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from qsearch.contracts.errors import Unsupported

_TOPOLOGY = Path("/sys/devices/system/cpu")


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


def _core(topology: Path, cpu: int) -> str:
    """What the CPUs of one core have in common; the CPU itself where the kernel does not say."""
    try:
        return (topology / f"cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)
