"""Models: what is in a file."""

from __future__ import annotations

from pathlib import PurePath

from qsearch.contracts.codec import to_data
from qsearch.contracts.layer import Inspection, TensorInfo
from qsearch.report.answer import Answer, Line, Row, Table, facts
from qsearch.report.numbers import NOTHING, large, size


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


def _tensor(tensor: TensorInfo) -> str:
    dims = ", ".join("?" if dim is None else str(dim) for dim in tensor.shape)
    return f"{tensor.name} {tensor.dtype}[{dims}]"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(dim) for dim in shape)
