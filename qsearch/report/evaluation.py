"""Files and trials against a spec's fp32: one table, sorted, the failures named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from qsearch.contracts.codec import to_data
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.contracts.views import EvalView
from qsearch.contracts.work import Evaluated
from qsearch.report.answer import Answer, Line, Mark, Row, Table
from qsearch.report.numbers import (
    NOTHING,
    count,
    drop_of,
    duration,
    milliseconds,
    percent,
    rate,
    size,
)
from qsearch.report.operators import CAST, DEQUANTIZE, QUANTIZE, operator_of
from qsearch.report.remarks import equal_remark, verdict_text
from qsearch.report.speedups import latency_speedup, speedup_cells
from qsearch.report.surroundings import disturbance_notes, surroundings_document
from qsearch.report.trial import latency_document, sample_counts
from qsearch.report.trial_rows import rate_cells

#: operators named in a table; a document has them all
TOP_OPERATORS = 4
#: circumstances that a table tells; a document has them all
_TOLD = ("provider", "threads", "batch", "options")
_DYNAMIC = frozenset({"DynamicQuantizeLinear"})
_MOVERS = QUANTIZE | DEQUANTIZE | CAST


def evaluation_answer(view: EvalView) -> Answer:
    """The answer of `eval`; its rows are fp32 and the files, in the order of the table."""
    result = view.result
    rows = (_reference_row(view), *(_row(view, position) for position in ranked(view)))
    document = {
        "spec": view.spec,
        "target": view.target,
        "max_drop": None if view.limit is None else str(view.limit),
        "tier": result.sitting.tier.value,
        "seconds": result.sitting.seconds,
        "reference": {"operators": dict(result.reference.optimised_ops), **_numbers(result.reference)},
        "models": [_document(view, position) for position in ranked(view)],
        "samples": sample_counts(result.sitting),
        "surroundings": surroundings_document(result.sitting),
        "circumstances": to_data(result.circumstances),
        "notes": _warnings(view),
    }
    return Answer(noun="evaluation", row_noun="evaluated", document=document, rows=rows, tables=(_table(view),))


def ranked(view: EvalView) -> Sequence[int]:
    """Positions by speed: what keeps the drop limit, what breaks it; behind them polluted times, then failures."""
    measured = view.result.models

    def place(position: int) -> tuple[bool, bool, bool, float, int]:
        file = measured.get(position)
        ratio = file.latency.ratio.value if file and file.latency else 0.0
        return position not in measured, polluted(file), not view.keeps.get(position, True), ratio, position

    return sorted(range(len(view.models)), key=place)


def polluted(file: Evaluated | None) -> bool:
    """Whether telemetry left so few pairs that a file's time says nothing."""
    return file is not None and file.latency is not None and file.latency.verdict is Verdict.POLLUTED


def operators_text(operators: Mapping[str, int]) -> str:
    """`MatMulInteger 18, Add 12, 3 kinds more; Q/DQ 4/5, Cast 2`: what works, then what moves between types."""

    def of(names: frozenset[str]) -> int:
        return sum(number for name, number in operators.items() if operator_of(name) in names)

    working = Counter({n: number for n, number in operators.items() if operator_of(n) not in _MOVERS}).most_common()
    words = [f"{name} {number}" for name, number in working[:TOP_OPERATORS]]
    if len(working) > TOP_OPERATORS:
        words.append(f"{len(working) - TOP_OPERATORS} kinds more")
    quantized, back, dynamic, cast = of(QUANTIZE - _DYNAMIC), of(DEQUANTIZE), of(_DYNAMIC), of(CAST)
    parts = [", ".join(words)]
    if quantized or back:
        parts.append(f"Q/DQ {quantized}/{back}")
    if dynamic:
        parts.append(f"dynamic Q {dynamic}")
    if cast:
        parts.append(f"Cast {cast}")
    return "; ".join(parts)


def _row(view: EvalView, position: int) -> Row:
    name, failure = view.models[position], view.result.failures.get(position)
    file = view.result.models.get(position)
    if file is None or file.latency is None:
        return {
            "model": name,
            "reference": False,
            "cause": failure.cause.value if failure else None,
            "message": failure.message if failure else None,
        }
    return {
        "model": name,
        "reference": False,
        "keeps_drop": view.keeps.get(position),
        **speedup_cells(file.latency.ratio, file.latency.verdict),
        "verdict": file.latency.verdict.value,
        "remark": equal_remark(file.latency) or None,
        "detectable": file.latency.detectable,
        "sessions": file.latency.sessions,
        "pairs": file.latency.pairs,
        "sitting_p50_ms": file.latency.median_ms,
        **rate_cells(file.latency.throughput.arm if file.latency.throughput else None),
        "flags": ",".join(file.latency.flags),
        **_scored(file),
    }


def _reference_row(view: EvalView) -> Row:
    return {
        "model": "fp32",
        "reference": True,
        "sitting_p50_ms": _reference_ms(view),
        **rate_cells(_reference_rate(view)),
        **_scored(view.result.reference),
    }


def _scored(file: Evaluated) -> Row:
    seen = file.heldout
    return {
        "metric": seen.metric,
        "score": seen.score,
        "drop": seen.drop.value,
        "drop_low": seen.drop.low,
        "drop_high": seen.drop.high,
        "drop_n": seen.n,
        "size_bytes": file.size_bytes,
        "peak_memory_bytes": file.peak_memory_bytes,
        "sha256": file.sha256,
        "operators": operators_text(file.optimised_ops),
    }


def _document(view: EvalView, position: int) -> dict[str, object]:
    failure, file = view.result.failures.get(position), view.result.models.get(position)
    head: dict[str, object] = {"model": view.models[position], "position": position}
    if file is None:
        return {**head, "failure": None if failure is None else to_data(failure)}
    latency = latency_document(file.latency) if file.latency else None
    keeps = view.keeps.get(position)
    return {
        **head,
        "latency": latency,
        "keeps_drop": keeps,
        "operators": dict(file.optimised_ops),
        **_numbers(file),
    }


def _numbers(file: Evaluated) -> dict[str, object]:
    seen = file.heldout
    return {
        "drop": {"value": seen.drop.value, "low": seen.drop.low, "high": seen.drop.high, "n": seen.n},
        "drop_points": to_data(seen.drop_points),
        "detectable_drop": seen.detectable,
        "metric": seen.metric,
        "score": seen.score,
        "size_bytes": file.size_bytes,
        "peak_memory_bytes": file.peak_memory_bytes,
        "sha256": file.sha256,
    }


def _table(view: EvalView) -> Table:
    result, seen = view.result, view.result.reference.heldout
    lines = [_line(view, position) for position in ranked(view)]
    reference = (
        "fp32",
        NOTHING,
        _time(_reference_ms(view), _reference_rate(view)),
        "reference",
        NOTHING,
        _score(seen),
        size(result.reference.size_bytes),
        operators_text(result.reference.optimised_ops),
    )
    columns = (
        "model", "speed-up over fp32", "p50", "verdict", f"drop, n={seen.n} held out", seen.metric, "size",
        "operators as run",
    )  # fmt: skip
    return Table(
        columns=columns,
        lines=(Line(cells=reference), *lines),
        title=f"{view.spec} on {view.target}",
        notes=_notes(view),
        right=frozenset({"speed-up over fp32", "p50", seen.metric, "size"}),
        spare=("operators as run", "size"),
    )


def _line(view: EvalView, position: int) -> Line:
    name, file = view.models[position], view.result.models.get(position)
    if file is None or file.latency is None:
        failure = view.result.failures[position]
        told = f"{failure.cause.value}: {failure.message}"
        return Line(cells=(name, NOTHING, NOTHING, told, *(NOTHING,) * 4), mark=Mark.PROBLEM)
    cells = (
        name,
        latency_speedup(file.latency),
        _time(file.latency.median_ms, file.latency.throughput.arm if file.latency.throughput else None),
        ", ".join((verdict_text(file.latency.verdict, file.latency.reference_ms), *file.latency.flags)),
        drop_of(file.heldout, with_n=False),
        _score(file.heldout),
        size(file.size_bytes),
        operators_text(file.optimised_ops),
    )
    if view.keeps.get(position) is False:
        cells = (cells[0], *cells[1:3], f"{cells[3]}; breaks the limit of {view.limit}", *cells[4:])
        return Line(cells=cells, mark=Mark.DIM)
    return Line(cells=cells, mark=Mark.DIM if polluted(file) else Mark.NONE)


def _notes(view: EvalView) -> tuple[str, ...]:
    result, under = view.result, view.result.circumstances
    latencies = [file.latency for file in result.models.values() if file.latency]
    raw = sum(arm["samples"] for arm in sample_counts(result.sitting).values())
    clean = [latency.detectable for latency in latencies if latency.verdict is not Verdict.POLLUTED]
    visible = f"; differences below {percent(max(clean))} cannot be seen in all of them" if clean else ""
    asked = "" if view.limit is None else f" Limit: a drop of {view.limit}, judged by the point estimate."
    return (
        f"One sitting of {count(len(latencies) + 1, 'arm')}, tier {result.sitting.tier.value}, "
        f"{count(raw, 'raw sample')}, {duration(result.sitting.seconds)}, {result.circumstances.runtime} on "
        f"{result.circumstances.host}{visible}.{asked}",
        f"Measured under machine class {under.machine_key}, runtime key {under.runtime_key}"
        f"{''.join(f', {name} {under.details[name]}' for name in _TOLD if under.details.get(name))}.",
        *(f"{note[:1].upper()}{note[1:]}." for note in _warnings(view)),
    )


def _warnings(view: EvalView) -> list[str]:
    latencies = [file.latency for file in view.result.models.values() if file.latency]
    return [*view.notes, *disturbance_notes(view.result.sitting, latencies)]


def _score(accuracy: Accuracy) -> str:
    return f"{accuracy.score:.4g}"


def _reference_ms(view: EvalView) -> float:
    """fp32's median in the sitting; the same beside every arm."""
    return next(file.latency.reference_ms for file in view.result.models.values() if file.latency)


def _reference_rate(view: EvalView) -> Interval | None:
    """fp32's samples per second in the sitting; None unless it was offline."""
    seen = (file.latency.throughput for file in view.result.models.values() if file.latency)
    return next((each.reference for each in seen if each), None)


def _time(median_ms: float, seen: Interval | None) -> str:
    return milliseconds(median_ms) if seen is None else f"{milliseconds(median_ms)}, {rate(seen)}"
