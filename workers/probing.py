"""`probe`: what serves a target on this machine."""

from __future__ import annotations

from pathlib import Path

from qsearch.contracts.work import Probed, ProbeOrder
from workers.interpreters import probed


def probe(order: ProbeOrder, scratch: Path, deadline_s: float) -> Probed:
    """Start the target's interpreter and ask; nothing is written.

    Raises:
        Unsupported: names what is missing.
    """
    return probed(order.target)
