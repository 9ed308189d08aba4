"""Where a driver runs while others measure: on the CPUs that no target of its job needs."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from workers.cpus import aside, choose_cpus, own_cpus


@contextmanager
def off_measuring_cpus(slots: Sequence[Slot], targets: Sequence[Target]) -> Iterator[None]:
    """While the block runs, this process keeps off the CPUs that a slot of this host measures the targets on.

    Nothing changes where the slots are elsewhere, or where the targets need every CPU there is.

    NOTE: the driver proposes and writes while its worker measures. The CPUs are those that the worker
    chooses: both choose by the same rule from the same set, the most threads containing the fewer. Workers
    and the Ray of a cluster are not moved: a worker may use every CPU for what is no measurement and steps
    aside itself while it sits, and Ray's own processes are older than any job and serve several.
    """
    here = any(slot.machine.details.get("hostname") == platform.node() for slot in slots)
    threads = max((target.threads for target in targets), default=0)
    if not here or not 0 < threads < len(own_cpus()):
        yield
        return
    with aside(choose_cpus(threads)):
        yield
