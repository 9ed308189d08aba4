"""What a spec changed of the thresholds by which disturbed timings are rejected or flagged."""

from __future__ import annotations

from qsearch.contracts.codec import to_data
from qsearch.contracts.limits import COUNTED, FLAGGED, Limits, Thresholds


def limits_text(limits: Limits) -> str:
    """`rejects above steal 5%; flags above canary 10%`: what is not the default; "" when all is."""
    parts = [
        f"{does} above " + ", ".join(f"{name} {_bound(name, value)}" for name, value in changed)
        for does, mine, usual in (("rejects", limits.reject, Thresholds()), ("flags", limits.flag, FLAGGED))
        if (changed := [(n, v) for n, v in to_data(mine).items() if v != getattr(usual, n)])
    ]
    return "; ".join(parts)


def _bound(name: str, value: float | None) -> str:
    if value is None:
        return "never"
    return f"{value:g}" if name in COUNTED else f"{100 * value:g}%"
