"""Models: what is in a file, and how files compare."""

from __future__ import annotations

from pathlib import PurePath

from qsearch.contracts.codec import to_data
from qsearch.contracts.layer import Inspection, TensorInfo
from qsearch.contracts.views import BenchView
from qsearch.report.answer import Answer, Line, Mark, Row, Table, facts
from qsearch.report.numbers import NOTHING, count, duration, large, milliseconds, percent, size, speedup, speedup_of
from qsearch.report.trial import latency_document, sample_counts


def inspection_answer(name: str, seen: Inspection) -> Answer:
    """The answer of `inspect`; its rows are the layers."""
    rows: tuple[Row, ...] = tuple(
        {
            "layer": layer.id,
            "op": layer.op,
            "weight_shape": _shape(layer.weight_shape),
            "parameters": layer.parameters,
            "macs": layer.macs,
            "choices": ",".join(choice.value for choice in layer.choices),
            **{f"{choice.value}_bytes": number for choice, number in layer.bytes.items()},
        }
        for layer in seen.layers
    )
    document = {
        "model": name,
        **to_data(seen),
        "size_bytes": seen.size_bytes,
        "smallest_bytes": seen.smallest_bytes,
    }
    tables = (_model_table(name, seen), _layers_table(seen))
    return Answer(noun="model", row_noun="layer", document=document, rows=rows, tables=tables)


def bench_answer(view: BenchView) -> Answer:
    """The answer of `bench`: every file against the first."""
    rows = tuple(_bench_row(view, position) for position in range(len(view.models)))
    document = {
        "reference": view.models[0],
        "models": [_bench_document(view, position) for position in range(len(view.models))],
        "tier": view.result.sitting.tier.value,
        "seconds": view.result.sitting.seconds,
        "samples": sample_counts(view.result.sitting),
        "circumstances": to_data(view.result.circumstances),
    }
    # NOTE: the noun is not `bench`: `qsearch.bench/1` is the document of the project's own benches.
    tables = (_bench_table(view),)
    return Answer(noun="timings", row_noun="timing", document=document, rows=rows, tables=tables)


def _model_table(name: str, seen: Inspection) -> Table:
    operators = sorted(seen.operators.items(), key=lambda item: (-item[1], item[0]))
    pairs = [
        ("sha256", seen.digest),
        ("opset", str(seen.opset)),
        ("inputs", ", ".join(_tensor(tensor) for tensor in seen.inputs)),
        ("outputs", ", ".join(_tensor(tensor) for tensor in seen.outputs)),
        ("layers", f"{len(seen.layers)} with {large(sum(layer.parameters for layer in seen.layers))} parameters"),
        ("size", f"{size(seen.size_bytes)} in fp32, smallest reachable {size(seen.smallest_bytes)}"),
        ("operators", ", ".join(f"{op} {number}" for op, number in operators)),
    ]
    return facts(f"model {PurePath(name).name}", pairs)


def _layers_table(seen: Inspection) -> Table:
    lines = tuple(
        Line(
            cells=(
                layer.id,
                layer.op,
                _shape(layer.weight_shape),
                large(layer.parameters),
                large(layer.macs) if layer.macs else NOTHING,
                ", ".join(f"{choice.value} {size(layer.bytes[choice])}" for choice in layer.choices),
            )
        )
        for layer in seen.layers
    )
    columns = ("layer", "op", "weight", "parameters", "MACs", "choices and their bytes")
    return Table(columns=columns, lines=lines, title="layers", right=frozenset({"parameters", "MACs"}))


def _bench_row(view: BenchView, position: int) -> Row:
    row: Row = {"model": view.models[position], "reference": position == 0}
    latency = view.result.latencies.get(position)
    if latency is None:
        return row
    gain = speedup_of(latency)
    return {
        **row,
        "speedup": gain.value,
        "speedup_low": gain.low,
        "speedup_high": gain.high,
        "verdict": latency.verdict.value,
        "detectable": latency.detectable,
        "sessions": latency.sessions,
        "pairs": latency.pairs,
        "sitting_p50_ms": latency.median_ms,
        "sitting_reference_p50_ms": latency.reference_ms,
        "flags": ",".join(latency.flags),
    }


def _bench_document(view: BenchView, position: int) -> dict[str, object]:
    latency = view.result.latencies.get(position)
    head: dict[str, object] = {"model": view.models[position], "reference": position == 0}
    return {**head, "latency": latency_document(latency) if latency else None}


def _bench_table(view: BenchView) -> Table:
    result = view.result
    references = [latency.reference_ms for latency in result.latencies.values()]
    lines = [
        Line(cells=(view.models[0], NOTHING, milliseconds(references[0]) if references else NOTHING, "reference", ""))
    ]
    for position, latency in sorted(result.latencies.items()):
        gain = speedup_of(latency)
        told = f"{latency.verdict.value}, smallest visible difference {percent(latency.detectable)}"
        cells = (
            view.models[position],
            speedup(gain.value, gain.low, gain.high),
            milliseconds(latency.median_ms),
            told,
            ", ".join(latency.flags),
        )
        lines.append(Line(cells=cells, mark=Mark.NONE))
    samples = sum(arm["samples"] for arm in sample_counts(result.sitting).values())
    notes = (
        f"Tier {result.sitting.tier.value}, {count(samples, 'raw sample')}, {duration(result.sitting.seconds)}, "
        f"{result.circumstances.runtime} on {result.circumstances.host}.",
    )
    columns = ("model", "speed-up over the first", "p50", "verdict", "flags")
    return Table(columns=columns, lines=tuple(lines), notes=notes, right=frozenset(columns[1:3]))


def _tensor(tensor: TensorInfo) -> str:
    dims = ", ".join("?" if dim is None else str(dim) for dim in tensor.shape)
    return f"{tensor.name} {tensor.dtype}[{dims}]"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(dim) for dim in shape)
