"""Which accepted measurements are of one file, again: the same for every ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log

from qsearch.contracts.measurement import Latency
from qsearch.contracts.noise import Repeat, Wander
from qsearch.contracts.verdict import Verdict

#: The newest accepted measurements of a machine that are looked through.
REMEMBERED = 300


def repeats_of(machine_key: str, measured: Iterable[tuple[str, str, Latency]]) -> Sequence[Repeat]:
    """Group what is comparable.

    Args:
        machine_key: where all of it was measured.
        measured: runtime key, SHA-256 of the file, and its time against its reference; order is kept.
    """
    groups: dict[tuple[str, str, str], list[tuple[float, Wander]]] = {}
    for runtime_key, sha256, latency in measured:
        if latency.wander is None or latency.verdict is Verdict.POLLUTED:
            continue
        key = (runtime_key, sha256, latency.shapes)
        groups.setdefault(key, []).append((log(latency.ratio.value), latency.wander))
    return [
        Repeat(
            machine_key=machine_key,
            runtime_key=key[0],
            shifts=tuple(shift for shift, _ in found),
            wanders=tuple(wander for _, wander in found),
        )
        for key, found in groups.items()
        if len(found) > 1
    ]
