"""Finished trials, flat: one row each, with units in the names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from statistics import median

from qsearch.contracts.front import DropSeen
from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.trial import Result, Trial
from qsearch.contracts.verdict import Interval
from qsearch.contracts.views import FrontRow
from qsearch.report.answer import Row
from qsearch.report.bests import choice_counts, drop_cells
from qsearch.report.numbers import moment, speedup_of
from qsearch.report.speedups import speedup_cells

#: (target, machine_key) → pooled median of the reference, milliseconds
Pooled = Mapping[tuple[str, str], float]


def pooled_references(rows: Sequence[FrontRow]) -> Pooled:
    """The median of the sittings' reference medians, per target and class of machine.

    NOTE: a latency in milliseconds is a trial's ratio × this, not the trial's own median: two
    sittings an hour apart share the ratio's scale and not the clock's.
    """
    seen: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        values = seen.setdefault(_place(row.result), [])
        if isfinite(row.result.latency.reference_ms):
            values.append(row.result.latency.reference_ms)
    return {place: median(values) if values else nan for place, values in seen.items()}


def front_row(row: FrontRow, pooled: Pooled) -> Row:
    """A finished trial, flat. The speed-up is the finals' where there was one."""
    result = row.result
    latency = shown_latency(row)
    return {
        **trial_cells(row.trial, result.trial),
        "rank": row.rank,
        "tied_with": row.tied_with or None,
        "feasible": row.feasible,
        "excess": row.excess,
        "uniform": row.uniform or None,
        "pick": row.pick,
        **speedup_cells(latency.ratio, latency.verdict),
        "verdict": latency.verdict.value,
        "detectable": latency.detectable,
        "sessions": latency.sessions,
        "pairs": latency.pairs,
        "flags": ",".join(latency.flags),
        "latency_p50_ms": p50_ms(row, pooled),
        "reference_p50_ms": pooled[_place(result)],
        "scenario": latency.scenario.value,
        **rate_cells(rate_of(row, pooled)),
        "reference_samples_per_s": reference_rate(row, pooled),
        "metric": result.accuracy.metric,
        "score_search": result.accuracy.score,
        **drops(result.accuracy, result.heldout),
        "size_bytes": result.size_bytes,
        "peak_memory_bytes": result.peak_memory_bytes,
        "machine_key": result.machine_key,
        "runtime_key": result.runtime_key,
    }


def drops(search: Accuracy, heldout: Accuracy | None) -> Row:
    """Both drops with their intervals and samples; of `drop_search_of` samples where `truncated`."""
    return {
        **drop_cells("drop_search", _seen(search)),
        "drop_search_of": search.of or search.n,
        "truncated": search.truncated,
        **drop_cells("drop", _seen(heldout) if heldout else None),
    }


def trial_cells(name: str, trial: Trial) -> Row:
    """What is known of any trial, finished or not."""
    return {
        "trial": name,
        "number": trial.number,
        "target": trial.target,
        "state": trial.state.value,
        "origin": trial.origin,
        "choices": choice_counts(trial.candidate.choices.values()),
        "candidate": trial.candidate.digest,
        "created": moment(trial.created),
        "ended": moment(trial.ended),
        "cause": trial.cause.value if trial.cause else None,
        "message": trial.message or None,
    }


def shown_latency(row: FrontRow) -> Latency:
    """The finals' latency where there was a usable one, else the trial's own."""
    return row.result.judged_latency


def p50_ms(row: FrontRow, pooled: Pooled) -> float:
    """Median latency in milliseconds on the job's own scale: ratio × pooled reference."""
    return shown_latency(row).ratio.value * pooled[_place(row.result)]


def rate_of(row: FrontRow, pooled: Pooled) -> Interval | None:
    """Samples per second on the job's own scale, the pooled reference times the speed-up; None unless offline."""
    fp32 = reference_rate(row, pooled)
    if fp32 is None:
        return None
    gain = speedup_of(shown_latency(row))
    return Interval(value=fp32 * gain.value, low=fp32 * gain.low, high=fp32 * gain.high, confidence=gain.confidence)


def reference_rate(row: FrontRow, pooled: Pooled) -> float | None:
    """fp32's samples per second by the pooled median of its time; None unless the trial was offline."""
    seen = shown_latency(row).throughput
    return None if seen is None else seen.batch * 1000 / pooled[_place(row.result)]


def rate_cells(seen: Interval | None) -> Row:
    """Three columns of a throughput; all None where it is no throughput that is measured."""
    values = (seen.value, seen.low, seen.high) if seen else (None, None, None)
    return dict(zip(("samples_per_s", "samples_per_s_low", "samples_per_s_high"), values, strict=True))


def reference(trial: Trial) -> str:
    """`JOB/42`."""
    return f"{trial.job}/{trial.number}"


def _place(result: Result) -> tuple[str, str]:
    return result.trial.target, result.machine_key


def _seen(accuracy: Accuracy) -> DropSeen:
    interval = accuracy.drop
    return DropSeen(value=interval.value, low=interval.low, high=interval.high, n=accuracy.n)
