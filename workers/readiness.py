"""The readiness gate: a session begins when its CPUs are calm, or when patience ends, and then says so."""

from __future__ import annotations

import time
from collections.abc import Callable

from qsearch.contracts.limits import Limits
from qsearch.contracts.measurement import Readiness
from qsearch.measure.pollution import unrest
from qsearch.measure.telemetry import Probe, between

#: seconds that are watched at a time; ten ticks of /proc/stat
WINDOW_S = 0.1


def await_calm(
    session: int,
    probe: Probe,
    limits: Limits,
    patience_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Readiness:
    """Watch the CPUs until one window is calm: no steal, no foreign work, no quota above its flag.

    Nothing of ours may run meanwhile. It only delays: a machine that never gets calm is measured all the
    same, because its blocks are judged one by one and it may be calm in between.

    Args:
        session: number of the session that waits.
        probe: of the CPUs it will run on.
        limits: whose `flag` counts.
        patience_s: of all windows together.
        clock: seconds, monotonic.
        sleep: lasts for a window.
    """
    started = clock()
    while True:
        before = probe.read()
        sleep(WINDOW_S)
        seen = unrest(between(before, probe.read()), limits, len(probe.cpus))
        waited = clock() - started
        if not seen or waited + WINDOW_S > patience_s:
            return Readiness(session=session, waited_s=round(waited, 4), unrest=seen)
