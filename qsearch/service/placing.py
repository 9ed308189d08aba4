"""What a target's trials will run on: the class of machine, and the runtime that is really there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from qsearch.contracts.errors import Unsupported
from qsearch.contracts.pool import Slot
from qsearch.contracts.target import Target
from qsearch.contracts.work import Probed, ProbeOrder, WorkKind
from qsearch.service.preparing import Where, expect
from qsearch.service.workshop import Workshop

#: seconds for starting an interpreter and importing its runtime, from a cold disk too
PROBE_DEADLINE_S = 180.0


def where_for(workshop: Workshop, slots: Sequence[Slot], target: Target) -> Where:
    """What the target's trials will run on.

    Raises:
        Unsupported: no machine can serve it, for the reasons of each.
        InputError: its interpreter or its provider is not there, by name.
    """
    slot = next((s for s in slots if not s.lacks(target)), None)
    if slot is None:
        reasons = "; ".join(s.lacks(target) for s in slots)
        raise Unsupported(f"no machine can serve target {target.name}: {reasons}", "qsearch plan SPEC says who could.")
    if not must_be_asked(target):
        return Where(machine_key=slot.machine.key, runtime=f"{target.runtime} {slot.runtimes[target.runtime]}")
    return Where(machine_key=slot.machine.key, runtime=ask(workshop, target).runtime)


def must_serve_all(workshop: Workshop, slots: Sequence[Slot], targets: Sequence[Target]) -> None:
    """Ask for every target that must be asked, so that one that nobody serves leaves no job behind.

    Raises:
        InputError: see `where_for`.
    """
    for target in targets:
        if must_be_asked(target):
            where_for(workshop, slots, target)


def must_be_asked(target: Target) -> bool:
    """Whether a worker's hello does not tell: it names what its own environment has, and imports none of it."""
    return bool(target.python) or target.provider.upper() != "CPU"


def ask(workshop: Workshop, target: Target) -> Probed:
    """Have a worker that matches the target start its interpreter.

    Raises:
        InputError: what is missing there, by name.
    """
    result, scratch = workshop.do(
        WorkKind.PROBE, f"probe:{target.digest[:16]}", ProbeOrder(target=target), target, PROBE_DEADLINE_S
    )
    shutil.rmtree(scratch, ignore_errors=True)
    return expect(result, Probed)
