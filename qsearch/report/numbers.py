"""How numbers are written for people: always with a unit, an estimate always with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.verdict import Interval

#: what is written where there is no number
NOTHING = "–"
#: an interval of a speed-up whose ends are this many times apart tells nothing
_USELESS = 100.0
#: parts of a trial's time by the names that people know
_PARTS = {"assemble": "assembling", "sit": "timing", "score": "scoring"}


def speedup(value: float, low: float, high: float) -> str:
    """`1.52× [1.49, 1.55]`: time of fp32 / time of the candidate; `0.21× [not told]` of a useless interval."""
    if not told(low, high):
        return f"{_fixed(value, 2)}×" if math.isnan(value) else f"{_fixed(value, 2)}× [not told]"
    return f"{_fixed(value, 2)}× [{_fixed(low, 2)}, {_fixed(high, 2)}]"


def told(low: float, high: float) -> bool:
    """Whether the interval of a speed-up says anything: both ends are positive numbers, and not worlds apart."""
    return low > 0 and high < low * _USELESS


def times(value: float) -> str:
    """`1.52×`, where the interval stands elsewhere."""
    return f"{_fixed(value, 2)}×"


def speedup_of(latency: Latency) -> Interval:
    """The speed-up behind a latency: the ratio turned over."""
    return latency.ratio.inverse()


def drop(value: float, low: float, high: float, n: int | None) -> str:
    """`0.3 % [−0.2, 0.8] n=500`: relative to fp32 on the same samples, positive is worse.

    `n` is None where it stands elsewhere, in the heading of a column.
    """
    interval = f"{_fixed(value * 100, 1)} % [{_fixed(low * 100, 1)}, {_fixed(high * 100, 1)}]"
    return interval if n is None else f"{interval} n={n}"


def drop_of(accuracy: Accuracy, *, with_n: bool = True) -> str:
    """The drop of an accuracy, as `drop` writes it; one that was stopped early always says `n=32 of 250`."""
    if accuracy.truncated:
        return f"{drop(accuracy.drop.value, accuracy.drop.low, accuracy.drop.high, accuracy.n)} of {accuracy.of}"
    return drop(accuracy.drop.value, accuracy.drop.low, accuracy.drop.high, accuracy.n if with_n else None)


def percent(fraction: float, digits: int = 1) -> str:
    """`2.4 %` of 0.024; from ten times on no decimals."""
    return f"{_fixed(fraction * 100, 0 if abs(fraction) >= 10 else digits)} %"


def size(count: float) -> str:
    """Bytes in binary units, three digits: `46.7 MiB`."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if abs(value) < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} B" if unit == "B" else f"{_three(value)} {unit}"


def milliseconds(value: float) -> str:
    """`4.21 ms`, three digits; below a tenth of a millisecond `8.13 µs`."""
    if not math.isfinite(value):
        return NOTHING
    return f"{_three(value * 1e3)} µs" if 0 < abs(value) < 0.1 else f"{_three(value)} ms"


def rate(seen: Interval) -> str:
    """`1240 samples/s [1210, 1270]`, three digits and more."""
    return f"{_rate(seen.value)} samples/s [{_rate(seen.low)}, {_rate(seen.high)}]"


def samples_per_s(value: float) -> str:
    """`1240 samples/s`."""
    return f"{_rate(value)} samples/s"


def duration(seconds: float | None) -> str:
    """`350 ms`, `4.2 s`, `42 s`, `4 min 10 s`, `2 h 05 min`; nothing known is a dash."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def durations(seconds: Mapping[str, float]) -> str:
    """`assembling 200 ms, timing 12 s`: what the time of trials went to."""
    return ", ".join(f"{_PARTS.get(part, part)} {duration(value)}" for part, value in seconds.items())


def moment(when: datetime | None) -> str | None:
    """UTC, ISO 8601, whole seconds, ending in Z; None stays None."""
    if when is None:
        return None
    return when.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")


def count(value: int, noun: str) -> str:
    """`1 trial`, `30 trials`."""
    return f"{value} {noun}" if value == 1 else f"{value} {noun}s"


def large(value: int) -> str:
    """Parameters and multiply-accumulates: `17.4 M`, three digits."""
    scaled, unit = float(value), ""
    for larger in ("k", "M", "G", "T"):
        if abs(scaled) < 1000:
            break
        scaled, unit = scaled / 1000, f" {larger}"
    return f"{value}" if not unit else f"{_three(scaled)}{unit}"


def _fixed(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else ("∞" if value > 0 else "−∞")
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def _rate(value: float) -> str:
    return _three(value) if value < 99.95 else f"{value:.0f}" if math.isfinite(value) else NOTHING


def _three(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.{2 if magnitude < 9.995 else 1 if magnitude < 99.95 else 0}f}"
