"""Two trials side by side."""

from __future__ import annotations

from qsearch.contracts.codec import to_data
from qsearch.contracts.comparison import (
    AccuracyCompared,
    Basis,
    Compared,
    CompareView,
    PairedTest,
    TimeCompared,
)
from qsearch.contracts.measurement import Latency
from qsearch.contracts.verdict import Verdict
from qsearch.report.answer import Answer, Line, Mark, Row, Table
from qsearch.report.bests import choice_counts
from qsearch.report.numbers import NOTHING, drop, percent, size
from qsearch.report.remarks import verdict_text
from qsearch.report.speedups import latency_speedup, speedup_cells, speedup_text, usable
from qsearch.report.trial import accuracy_document, latency_document

#: columns of how much faster the second is
_GAIN = "speedup_over_first"
_GAIN_CELLS = (_GAIN, f"{_GAIN}_low", f"{_GAIN}_high")
_HOW = {
    Basis.FINALS: "head to head in one final sitting",
    Basis.NOW: "head to head, measured now",
    Basis.INDIRECT: "indirect: each against fp32 in a sitting of its own",
}


def comparison_answer(view: CompareView) -> Answer:
    """The answer of `compare A B`; its rows are the facts, one value for each trial."""
    a, b = view.first, view.second
    document = {
        "first": _side_document(a),
        "second": _side_document(b),
        "time": None if view.time is None else _time_document(view.time),
        "incomparable": view.incomparable or None,
        "accuracy": [_accuracy_document(told) for told in view.accuracies],
        "size_ratio": b.size_bytes / a.size_bytes if a.size_bytes else None,
        "memory_ratio": b.peak_memory_bytes / a.peak_memory_bytes if a.peak_memory_bytes else None,
        "layers": [to_data(layer) for layer in view.layers],
        "same_layers": view.same_layers,
        "notes": list(view.notes),
    }
    tables = (_facts_table(view), *([_layers_table(view)] if view.layers else []))
    return Answer(noun="comparison", row_noun="compared", document=document, rows=(_row(view),), tables=tables)


def conclusive(view: CompareView) -> bool:
    """Whether the times were compared and one of FASTER, SLOWER, EQUIVALENT was said."""
    return view.time is not None and view.time.verdict not in (Verdict.UNRESOLVED, Verdict.POLLUTED)


def _row(view: CompareView) -> Row:
    a, b, time = view.first, view.second, view.time
    row: Row = {
        "first": a.trial,
        "second": b.trial,
        "first_target": a.target,
        "second_target": b.target,
        "basis": time.basis.value if time else None,
        **(speedup_cells(time.ratio, time.verdict, _GAIN) if time else dict.fromkeys(_GAIN_CELLS)),
        "verdict": time.verdict.value if time else None,
        "detectable": time.detectable if time else None,
        "incomparable": view.incomparable or None,
    }
    for told in view.accuracies:
        row |= _accuracy_cells(told)
    return {
        **row,
        "first_size_bytes": a.size_bytes,
        "second_size_bytes": b.size_bytes,
        "first_peak_memory_bytes": a.peak_memory_bytes,
        "second_peak_memory_bytes": b.peak_memory_bytes,
        "layers_differ": len(view.layers),
        "layers_same": view.same_layers,
    }


def _accuracy_cells(told: AccuracyCompared) -> Row:
    return {
        f"{told.split}_drop": told.drop.value,
        f"{told.split}_drop_low": told.drop.low,
        f"{told.split}_drop_high": told.drop.high,
        f"{told.split}_n": told.n,
        f"{told.split}_of": told.of or told.n,
        f"{told.split}_detectable": told.detectable,
        f"{told.split}_p": told.p,
    }


def _side_document(side: Compared) -> dict[str, object]:
    return {
        "trial": side.trial,
        "target": side.target,
        "origin": side.origin,
        "choices": to_data(side.choices),
        "latency": latency_document(side.latency) if side.latency else None,
        "score_search": side.search.score if side.search else None,
        "score_heldout": side.heldout.score if side.heldout else None,
        "accuracy_search": accuracy_document(side.search) if side.search else None,
        "accuracy_heldout": accuracy_document(side.heldout) if side.heldout else None,
        "size_bytes": side.size_bytes,
        "peak_memory_bytes": side.peak_memory_bytes,
        "circumstances": to_data(side.circumstances),
    }


def _time_document(time: TimeCompared) -> dict[str, object]:
    return {
        "basis": time.basis.value,
        "direct": time.basis is not Basis.INDIRECT,
        "ratio": {**to_data(time.ratio), **usable(time.ratio, time.verdict)},
        "speedup_over_first": usable(time.ratio.inverse(), time.verdict),
        "verdict": time.verdict.value,
        "detectable": time.detectable,
        "flags": list(time.flags),
    }


def _accuracy_document(told: AccuracyCompared) -> dict[str, object]:
    document: dict[str, object] = to_data(told)
    return {**document, "of": told.of or told.n}


def _facts_table(view: CompareView) -> Table:
    a, b = view.first, view.second
    lines = [
        ("target", a.target, b.target, "" if a.target == b.target else "differ"),
        ("proposed as", a.origin, b.origin, ""),
        ("layers", choice_counts(a.choices.values()), choice_counts(b.choices.values()), _layers_text(view)),
        ("speed-up over fp32", _gain(a.latency), _gain(b.latency), ""),
        ("time", "", "", _time_text(view)),
        *(_accuracy_line(told) for told in view.accuracies),
        ("size", size(a.size_bytes), size(b.size_bytes), _times(b.size_bytes, a.size_bytes)),
        (
            "peak memory",
            size(a.peak_memory_bytes),
            size(b.peak_memory_bytes),
            _times(b.peak_memory_bytes, a.peak_memory_bytes),
        ),
        ("runtime", a.circumstances.runtime, b.circumstances.runtime, ""),
    ]
    return Table(
        columns=("", a.trial, b.trial, "the second against the first"),
        lines=tuple(Line(cells=cells, mark=_mark(view, cells[0])) for cells in lines),
        title=f"{a.trial} and {b.trial}",
        notes=_notes(view),
    )


def _mark(view: CompareView, name: str) -> Mark:
    return Mark.WARNING if name == "time" and not conclusive(view) else Mark.NONE


def _layers_text(view: CompareView) -> str:
    return f"{len(view.layers)} differ, {view.same_layers} alike"


def _gain(latency: Latency | None) -> str:
    if latency is None:
        return NOTHING
    return f"{latency_speedup(latency)}, {verdict_text(latency.verdict, latency.reference_ms)}"


def _time_text(view: CompareView) -> str:
    if view.time is None:
        return f"not compared: {view.incomparable}"
    parts = [
        f"{speedup_text(view.time.ratio, view.time.verdict)} as fast",
        verdict_text(view.time.verdict, view.time.reference_ms),
        _HOW[view.time.basis],
        f"smallest visible difference {percent(view.time.detectable)}",
        *view.time.flags,
    ]
    return ", ".join(parts)


def _accuracy_line(told: AccuracyCompared) -> tuple[str, str, str, str]:
    where = "held out" if told.split == "heldout" else told.split
    lost = drop(told.drop.value, told.drop.low, told.drop.high, told.n)
    partly = f" of {told.of}" if told.of > told.n else ""
    words = f"drop {lost}{partly}; {_test_text(told)}; smallest visible drop {percent(told.detectable)}"
    return (f"{told.metric}, {where}", f"{told.first:.4g}", f"{told.second:.4g}", words)


def _test_text(told: AccuracyCompared) -> str:
    if told.test is not PairedTest.MCNEMAR or told.p is None:
        return told.test.value
    discordant = f"only the first right on {told.only_first}, only the second on {told.only_second}"
    return f"{told.test.value} p={told.p:.3g}: {discordant}"


def _times(second: int, first: int) -> str:
    return f"{second / first:.2f} times" if first else NOTHING


def _notes(view: CompareView) -> tuple[str, ...]:
    return tuple(f"{note[:1].upper()}{note[1:]}." for note in view.notes)


def _layers_table(view: CompareView) -> Table:
    lines = tuple(
        Line(
            cells=(
                layer.layer,
                layer.op,
                layer.first.value if layer.first else NOTHING,
                layer.second.value if layer.second else NOTHING,
            )
        )
        for layer in view.layers
    )
    columns = ("layer", "op", view.first.trial, view.second.trial)
    return Table(columns=columns, lines=lines, title=f"layers that differ; {view.same_layers} do not", spare=("op",))
