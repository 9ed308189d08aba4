"""Which numbers an integer input may hold, read off the graph that takes it.

NOTE: whoever makes up inputs must not feed a token id of a word that the table does not have (the
runtime refuses it, or reads beyond the table), and must not feed 0 and 1 only, which keeps two rows of a
table of thirty thousand in the cache and times another work than the model's. The graph says it: an
index ends in a Gather, whose table has so many rows, or in a OneHot of a certain depth. What ends in
neither is taken for a mask or a length, where 1 does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from qsearch.graph.load import load_model
from qsearch.graph.shapes import infer_shapes

#: operators whose first input's values are the output's, moved or repeated; integer casts with them
_MOVES = frozenset(
    {
        "Cast",
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "Pad",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
#: EmbedLayerNormalization: position of the ids among the inputs → position of their table
_EMBED_TABLES = {0: 2, 1: 4, 8: 3}
#: entries of a constant that may still be a OneHot's row
_LARGEST_ROW = 1 << 20
#: values of an 8-bit input that nothing bounds: an image
_BYTES = ("int8", "uint8")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRange:
    """The whole numbers that an input may hold, both ends included."""

    low: int
    high: int
    #: what bounds it, in words: "rows of embeddings.word"
    reason: str
    #: False = nothing in the graph does, and the range is a custom
    bound: bool = True


def input_ranges(path: Path) -> Mapping[str, InputRange]:
    """The range of every integer or boolean input of a model file; other inputs are absent.

    Indices of tables and of one-hot vectors get 0 to their size − 1, the smallest where there are
    several; 8-bit inputs that nothing bounds their whole type; everything else 1, as a mask would be.

    Raises:
        ModelError: the file cannot be read.
    """
    model = load_model(path)
    if model.functions:
        passes.InlinePass()(model)
    model = infer_shapes(model)
    inputs = [value for value in model.graph.inputs if value.name not in model.graph.initializers]
    return {str(value.name): _range(value) for value in inputs if _is_integer(value.dtype)}


def _range(value: ir.Value) -> InputRange:
    found = [bound for bound in _bounds(value, 0, set()) if bound.high >= bound.low]
    name = str(value.dtype.numpy().name) if value.dtype is not None else "int64"
    if found:
        least = min(found, key=lambda bound: bound.high)
        if name == "bool":
            return InputRange(low=0, high=1, reason=least.reason)
        kind = np.iinfo(name)
        low = max(int(kind.min), *(bound.low for bound in found))
        return InputRange(low=min(low, least.high), high=min(least.high, int(kind.max)), reason=least.reason)
    if name in _BYTES:
        kind = np.iinfo(name)
        return InputRange(
            low=int(kind.min),
            high=int(kind.max),
            reason=f"all of {name}: nothing in the graph bounds it",
            bound=False,
        )
    return InputRange(low=1, high=1, reason="a mask or a length: it indexes nothing", bound=False)


def _bounds(value: ir.Value, offset: int, seen: set[tuple[int, int]]) -> Iterator[InputRange]:
    """What the uses of `value`, which is the input + offset, ask of the input."""
    if (id(value), offset) in seen:
        return
    seen.add((id(value), offset))
    for node, index in value.uses():
        asked = _asked(node, index)
        if asked is not None:
            yield InputRange(low=max(0, asked.low - offset), high=asked.high - offset, reason=asked.reason)
            continue
        shift = _shift(node, index)
        if shift is not None:
            for output in node.outputs:
                yield from _bounds(output, offset + shift, seen)


def _asked(node: ir.Node, index: int) -> InputRange | None:
    """What the node asks of its input number `index`, where it chooses one of several entries by it."""
    op = node.op_type
    if op in {"Gather", "GatherElements"} and index == 1:
        return _rows(node, 0, node.attributes.get_int("axis", 0))
    if op == "GatherBlockQuantized" and index == 1:
        return _rows(node, 0, node.attributes.get_int("gather_axis", 0))
    if op == "EmbedLayerNormalization" and index in _EMBED_TABLES:
        return _rows(node, _EMBED_TABLES[index], 0)
    if op == "OneHot" and index == 0:
        depth = _scalar(node.inputs[1])
        return None if depth is None else InputRange(low=0, high=depth - 1, reason="depth of a OneHot")
    return _one_hot(node.inputs[1 - index]) if op == "Equal" else None


def _rows(node: ir.Node, index: int, axis: int) -> InputRange | None:
    table = node.inputs[index] if index < len(node.inputs) else None
    shape = None if table is None else table.shape
    if table is None or shape is None or not len(shape) or not -len(shape) <= axis < len(shape):
        return None
    size = shape[axis]
    return InputRange(low=0, high=size - 1, reason=f"rows of {table.name}") if isinstance(size, int) and size else None


def _one_hot(value: ir.Value | None) -> InputRange | None:
    """A OneHot as some frameworks spell it: compared with every number of a constant row 0, 1, 2..."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size < 2 or tensor.size > _LARGEST_ROW or not tensor.dtype.is_integer():
        return None
    entries = np.unique(tensor.numpy())
    if entries.size != tensor.size or int(entries[-1]) - int(entries[0]) != entries.size - 1:
        return None
    return InputRange(low=int(entries[0]), high=int(entries[-1]), reason=f"entries of {tensor.name or 'a OneHot'}")


def _shift(node: ir.Node, index: int) -> int | None:
    """What the node adds to the values of its input number `index`; None when it does something else."""
    op = node.op_type
    if node.domain not in {"", "ai.onnx"}:
        return None
    if op in {"Add", "Sub"} and len(node.inputs) == 2:
        other = _scalar(node.inputs[1 - index])
        if other is None or (op == "Sub" and index == 1):
            return None
        return other if op == "Add" else -other
    if op not in _MOVES or (index and op != "Concat"):
        return None
    # a cast to bool keeps no value
    kept = op != "Cast" or ir.DataType(node.attributes.get_int("to", 0)).is_integer()
    return 0 if kept else None


def _scalar(value: ir.Value | None) -> int | None:
    """A constant whole number; None when it is another one, or not known."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is None or tensor.size != 1 or not tensor.dtype.is_integer():
        return None
    return int(tensor.numpy().reshape(()))


def _is_integer(dtype: ir.DataType | None) -> bool:
    return dtype is not None and (dtype.is_integer() or dtype == ir.DataType.BOOL)
