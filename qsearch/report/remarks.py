"""Short words that stand in a row of a front, and the one line below it that explains each that occurs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qsearch.contracts.measurement import Latency
from qsearch.contracts.verdict import COUNTS_AS_EQUAL, THETA, Verdict, rests_on_absolute, theta
from qsearch.contracts.views import FrontRow
from qsearch.report.limits import POLLUTED, TRUNCATED, limits_remark
from qsearch.report.numbers import milliseconds, speedup_of, told
from qsearch.report.trial_rows import pooled_references, shown_latency

#: flag → a word for a table; `show` and the JSON forms have all flags, by their full names
_WORDS = {
    "no_steady_state": "unsteady",
    "many_rejected": "disturbed",
    "indicative": "indicative",
    "lowered_priority": "low priority",
    "lenient_limits": "lenient",
}
_MEANINGS = {
    POLLUTED: "too few undisturbed pairs of timings to place it",
    TRUNCATED: "a part of the samples shows it over the drop limit",
    "disturbed": "more than a quarter of its pairs of timings were rejected",
    "unsteady": "its time had not settled when warming up ended",
    "indicative": "one short session only",
    "low priority": "timed with less priority than other processes",
    "lenient": "disturbed timings stand that are rejected by default, because its spec says so",
}


def flag_words(latency: Latency) -> tuple[str, ...]:
    """The flags of a latency that are worth a word in a table."""
    return tuple(_WORDS[flag] for flag in latency.flags if flag in _WORDS)


def explained(rows: Sequence[FrontRow]) -> tuple[str, ...]:
    """A line for the words that occur, and one where fp32 is so fast that 20 µs decide; none where neither is."""
    found = {word for row in rows for word in (limits_remark(row), *flag_words(shown_latency(row)))}
    said = [f"{word}: {meaning}" for word, meaning in _MEANINGS.items() if word in found]
    if any(not told(gain.low, gain.high) for gain in (speedup_of(shown_latency(row)) for row in rows)):
        said.append("[not told]: an interval whose ends are more than a hundredfold apart")
    return tuple(line for line in ("; ".join(said), equal_line(rows)) if line)


def equal_line(rows: Sequence[FrontRow]) -> str:
    """What a reader of ties and verdicts must know where fp32 is so fast that 20 µs decide; else empty."""
    times = [time for time in pooled_references(rows).values() if math.isfinite(time) and theta(time) > THETA]
    if not times:
        return ""
    return f"fp32 takes {milliseconds(min(times))}, and {COUNTS_AS_EQUAL}, in ties and verdicts."


def equal_remark(latency: Latency) -> str:
    """`differences under 20 µs count as equal`, where that is why nobody was called faster; else empty."""
    return COUNTS_AS_EQUAL if rests_on_absolute(latency.verdict, latency.reference_ms) else ""


def verdict_text(verdict: Verdict, reference_ms: float) -> str:
    """`EQUIVALENT (differences under 20 µs count as equal)`: a verdict, and that remark where it is why."""
    return f"{verdict.value} ({COUNTS_AS_EQUAL})" if rests_on_absolute(verdict, reference_ms) else verdict.value
