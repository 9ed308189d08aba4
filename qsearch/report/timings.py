"""Files side by side, under one runtime or several: what `bench` saw of every arm."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from qsearch.contracts.codec import to_data
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import ArmRun, Latency
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.views import BenchView
from qsearch.report.answer import Answer, Line, Mark, Row, Table
from qsearch.report.evaluation import operators_text
from qsearch.report.numbers import NOTHING, count, duration, milliseconds, percent, rate, size
from qsearch.report.remarks import equal_remark, verdict_text
from qsearch.report.speedups import latency_speedup, speedup_cells
from qsearch.report.surroundings import disturbance_notes, surroundings_document
from qsearch.report.trial import grouped, latency_document, sample_counts
from qsearch.report.trial_rows import rate_cells

#: percentiles of single inferences in the table; a document has them all
_TAILS = ("p90", "p99")
#: in the row of an arm of which something must be known
SEE_NOTE = "see the note"


def bench_answer(view: BenchView) -> Answer:
    """The answer of `bench`: every arm against the first that runs."""
    positions = range(len(view.models))
    result = view.result
    document = {
        "reference": view.models[_reference(view)],
        "models": [_document(view, at) for at in positions],
        "tier": result.sitting.tier.value,
        "seconds": result.sitting.seconds,
        "samples": sample_counts(result.sitting),
        "surroundings": surroundings_document(result.sitting),
        "random_inputs": bool(result.made_up),
        "made_up": dict(result.made_up),
        "circumstances": to_data(result.circumstances),
        "notes": list(_warnings(view)),
    }
    # NOTE: the noun is not `bench`: `qsearch.bench/1` is the document of the project's own benches.
    rows = tuple(_row(view, at) for at in positions)
    tables = (_table(view), _costs_table(view))
    return Answer(noun="timings", row_noun="timing", document=document, rows=rows, tables=tables)


def conclusive(view: BenchView) -> bool:
    """Whether each arm that was timed was told apart from the reference, or told equal to it."""
    return not any(seen.verdict in (Verdict.UNRESOLVED, Verdict.POLLUTED) for seen in view.result.latencies.values())


def runs_of(view: BenchView, position: int) -> Sequence[ArmRun]:
    """The children of one arm, one per session; none where it failed."""
    return [run for run in view.result.sitting.runs if run.arm == str(position)]


def _reference(view: BenchView) -> int:
    name = view.result.sitting.reference
    return int(name) if name.isdigit() else 0


def _target(view: BenchView, position: int) -> str | None:
    return view.targets[position] if position < len(view.targets) else None


def _circumstances(view: BenchView, position: int) -> Circumstances | None:
    runs = runs_of(view, position)
    return runs[0].circumstances if runs else None


def _costs(view: BenchView, position: int) -> dict[str, float | int | str | None]:
    """Medians over the arm's children, and the largest of their peaks."""
    runs, arm = runs_of(view, position), view.result.arms.get(position)
    return {
        "load_ms": statistics.median(run.load_ms for run in runs) if runs else None,
        "first_inference_ms": statistics.median(run.first_ms for run in runs) if runs else None,
        "peak_memory_bytes": max(run.peak_rss_bytes for run in runs) if runs else None,
        "size_bytes": arm.size_bytes if arm else None,
        "sha256": arm.sha256 if arm else None,
    }


def _row(view: BenchView, position: int) -> Row:
    under = _circumstances(view, position)
    row: Row = {
        "model": view.models[position],
        "target": _target(view, position),
        "runtime": under.runtime if under else None,
        "reference": position == _reference(view),
        "random_inputs": bool(view.result.made_up),
        "notes": "; ".join(_arm_notes(view, position)) or None,
    }
    failure, latency = view.result.failures.get(position), view.result.latencies.get(position)
    if failure is not None:
        return {**row, "cause": failure.cause.value, "message": failure.message}
    if latency is None:
        return {**row, "sitting_p50_ms": _reference_ms(view), **_costs(view, position)}
    return {
        **row,
        **speedup_cells(latency.ratio, latency.verdict),
        "verdict": latency.verdict.value,
        "remark": equal_remark(latency) or None,
        "detectable": latency.detectable,
        "sessions": latency.sessions,
        "pairs": latency.pairs,
        "rejected_blocks": _rejected(view, position),
        "sitting_p50_ms": latency.median_ms,
        "sitting_reference_p50_ms": latency.reference_ms,
        **{f"tail_{name}_ms": value for name, value in latency.tails.items()},
        **rate_cells(latency.throughput.arm if latency.throughput else None),
        "flags": ",".join(latency.flags),
        **_costs(view, position),
    }


def _document(view: BenchView, position: int) -> dict[str, object]:
    latency, failure = view.result.latencies.get(position), view.result.failures.get(position)
    under, arm = _circumstances(view, position), view.result.arms.get(position)
    return {
        "model": view.models[position],
        "target": _target(view, position),
        "reference": position == _reference(view),
        "failure": to_data(failure) if failure else None,
        "latency": latency_document(latency) if latency else None,
        "sitting_p50_ms": latency.median_ms if latency else None if failure else _reference_ms(view),
        "rejected_blocks": _rejected(view, position),
        **_costs(view, position),
        "operators": dict(arm.optimised_ops) if arm else {},
        "notes": list(arm.notes) if arm else [],
        "circumstances": to_data(under) if under else None,
    }


def _rejected(view: BenchView, position: int) -> int:
    return sample_counts(view.result.sitting).get(str(position), {}).get("rejected_blocks", 0)


def _reference_ms(view: BenchView) -> float | None:
    """The reference's median in the sitting; the same beside every arm."""
    return next((latency.reference_ms for latency in view.result.latencies.values()), None)


def _table(view: BenchView) -> Table:
    lines = [_line(view, at) for at in range(len(view.models))]
    columns = ("model", "target", f"speed-up over {_over(view)}", "p50", "tails", "verdict", "pairs", "flags")
    return Table(
        columns=columns,
        lines=tuple(lines),
        notes=_notes(view),
        right=frozenset({columns[2], "p50"}),
        spare=("tails", "pairs"),
    )


def _over(view: BenchView) -> str:
    return "the first" if _reference(view) == 0 else f"arm {_reference(view) + 1}"


def _line(view: BenchView, position: int) -> Line:
    name, target = view.models[position], _target(view, position) or NOTHING
    failure, latency = view.result.failures.get(position), view.result.latencies.get(position)
    weak = _arm_notes(view, position)
    if failure is not None:
        told = f"{failure.cause.value}: {failure.message}"
        return Line(cells=(name, target, NOTHING, NOTHING, NOTHING, told, NOTHING, ""), mark=Mark.PROBLEM)
    if latency is None:
        reference = _reference_ms(view)
        rates = [seen.throughput.reference for seen in view.result.latencies.values() if seen.throughput]
        p50 = NOTHING if reference is None else _time(reference, rates[0] if rates else None)
        said = ("reference", NOTHING, SEE_NOTE if weak else "")
        return Line(cells=(name, target, NOTHING, p50, NOTHING, *said), mark=Mark.WARNING if weak else Mark.NONE)
    flags = (*latency.flags, *([SEE_NOTE] if weak else []))
    cells = (
        name,
        target,
        latency_speedup(latency),
        _time(latency.median_ms, latency.throughput.arm if latency.throughput else None),
        _tails(latency, in_groups=grouped(view.result.sitting, str(position))),
        _verdict(latency),
        f"{latency.pairs} in {count(latency.sessions, 'session')}, {_rejected(view, position)} blocks rejected",
        ", ".join(flags),
    )
    polluted = latency.verdict is Verdict.POLLUTED
    return Line(cells=cells, mark=Mark.DIM if polluted else Mark.WARNING if weak else Mark.NONE)


def _verdict(latency: Latency) -> str:
    if latency.verdict is Verdict.POLLUTED:
        return latency.verdict.value
    told = verdict_text(latency.verdict, latency.reference_ms)
    return f"{told}, smallest visible difference {percent(latency.detectable)}"


def _time(median_ms: float, seen: Interval | None) -> str:
    return milliseconds(median_ms) if seen is None else f"{milliseconds(median_ms)}, {rate(seen)}"


def _tails(latency: Latency, *, in_groups: bool) -> str:
    """`p90 ≤ 4.6 ms, p99 needs 662`: upper bounds at 99 % confidence, or the samples that one needs."""
    parts = []
    for name in _TAILS:
        value, need = latency.tails.get(name), latency.tails_need.get(name)
        if value is None and in_groups:
            return "timed in groups"
        if value is not None:
            parts.append(f"{name} ≤ {milliseconds(value)}")
        elif need is not None:
            parts.append(f"{name} needs {need}")
    return ", ".join(parts) or NOTHING


def _costs_table(view: BenchView) -> Table:
    columns = ("model", "target", "runtime", "load", "first inference", "peak memory", "file", "operators as run")
    lines = []
    for at, arm in sorted(view.result.arms.items()):
        cost, under = _costs(view, at), _circumstances(view, at)
        lines.append(
            Line(
                cells=(
                    view.models[at],
                    _target(view, at) or NOTHING,
                    _runtime(under),
                    _told(cost, "load_ms", milliseconds),
                    _told(cost, "first_inference_ms", milliseconds),
                    _told(cost, "peak_memory_bytes", size),
                    size(arm.size_bytes),
                    operators_text(arm.optimised_ops) or NOTHING,
                )
            )
        )
    right = frozenset({"load", "first inference", "peak memory", "file"})
    return Table(columns=columns, lines=tuple(lines), title="what each costs besides", right=right, spare=columns[-1:])


def _runtime(under: Circumstances | None) -> str:
    if under is None:
        return NOTHING
    threads = under.details.get("threads", "")
    return f"{under.runtime}, {count(int(threads), 'thread')}" if threads.isdigit() else under.runtime


def _told(cost: Mapping[str, float | int | str | None], name: str, write: object) -> str:
    value = cost[name]
    return write(value) if callable(write) and isinstance(value, int | float) else NOTHING


def _notes(view: BenchView) -> tuple[str, ...]:
    result = view.result
    samples = sum(arm["samples"] for arm in sample_counts(result.sitting).values())
    return (
        f"One sitting of {count(len(result.latencies) + 1, 'arm')}, tier {result.sitting.tier.value}, "
        f"{count(samples, 'raw sample')}, {duration(result.sitting.seconds)}, on {result.circumstances.host}, "
        f"machine class {result.circumstances.machine_key}.",
        *(f"{note[:1].upper()}{note[1:]}." for note in _warnings(view)),
    )


def _warnings(view: BenchView) -> Sequence[str]:
    """What a reader must know of the inputs and of single arms."""
    made = "; ".join(f"{name}: {how}" for name, how in view.result.made_up.items())
    random = [f"the inputs are RANDOM, seeded, not anybody's data: {made}"] if made else []
    arms = [
        f"arm {at + 1}, {view.models[at]}: {note}" for at in sorted(view.result.arms) for note in _arm_notes(view, at)
    ]
    return [*view.notes, *random, *arms, *disturbance_notes(view.result.sitting, view.result.latencies.values())]


def _arm_notes(view: BenchView, position: int) -> Sequence[str]:
    arm = view.result.arms.get(position)
    return arm.notes if arm else ()
