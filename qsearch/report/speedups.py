"""A speed-up is written with its interval, unless telemetry left too few pairs for one."""

from __future__ import annotations

from qsearch.contracts.measurement import Latency
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.report.answer import Row
from qsearch.report.numbers import speedup, times


def speedup_text(ratio: Interval, verdict: Verdict) -> str:
    """`1.52× [1.49, 1.55]` from a ratio of times; `1.52× [polluted]` where the sitting has no usable interval."""
    gain = ratio.inverse()
    return (
        f"{times(gain.value)} [polluted]" if verdict is Verdict.POLLUTED else speedup(gain.value, gain.low, gain.high)
    )


def latency_speedup(latency: Latency) -> str:
    """The same of a latency."""
    return speedup_text(latency.ratio, latency.verdict)


def speedup_cells(ratio: Interval, verdict: Verdict, name: str = "speedup") -> Row:
    """Three columns of a speed-up from a ratio of times; the ends are None where the sitting was polluted."""
    gain = usable(ratio.inverse(), verdict)
    return {name: gain["value"], f"{name}_low": gain["low"], f"{name}_high": gain["high"]}


def usable(interval: Interval, verdict: Verdict) -> dict[str, float | None]:
    """An interval of a time as data: estimate and ends.

    NOTE: of a polluted sitting the estimate is kept, made from all pairs, to show what it would have been; an
    interval from pairs that telemetry says are no measurement would be read as one.
    """
    polluted = verdict is Verdict.POLLUTED
    low, high = (None, None) if polluted else (interval.low, interval.high)
    return {"value": interval.value, "low": low, "high": high}
