"""Operator counts of an ONNX file, read without the onnx package.

NOTE: what really runs is the graph after the runtime's last rewrite, and ONNX Runtime shows that one
only as a file (`optimized_model_filepath`). Its assignment info is recorded before the fusions of
level 2, so quantize/dequantize pairs that will vanish are still in it; a profile holds only nodes that
one particular run reached. The child must not import onnx, so the three fields needed (graph, node,
operator) are walked here; everything else, the weights above all, is skipped by its length.
"""

from __future__ import annotations

import mmap
from collections import Counter
from pathlib import Path

from qsearch.contracts.errors import ModelError
from qsearch.measure.protobuf import fields

# Field numbers of onnx.proto3; they are frozen by the format.
_MODEL_GRAPH, _GRAPH_NODE, _NODE_OP, _NODE_ATTRIBUTE = 7, 1, 4, 5
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
#: graphs inside graphs (If, Loop, Scan); deeper than any real model, so a hostile file cannot exhaust the stack
_DEPTH = 32


def count_operators(path: Path) -> dict[str, int]:
    """Nodes by operator, those inside subgraphs included, most frequent first.

    Raises:
        ModelError: not an ONNX file, or cut short.
    """
    counts: Counter[str] = Counter()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for field, start, end in fields(data, 0, len(data)):
                if field == _MODEL_GRAPH:
                    _count_graph(data, start, end, counts, _DEPTH)
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"cannot read the operators of {path.name}: {error}") from error
    return dict(counts.most_common())


def _count_graph(data: mmap.mmap, start: int, end: int, counts: Counter[str], depth: int) -> None:
    if not depth:
        raise ValueError(f"more than {_DEPTH} graphs inside each other")
    for field, begin, stop in fields(data, start, end):
        if field != _GRAPH_NODE:
            continue
        for part, low, high in fields(data, begin, stop):
            if part == _NODE_OP:
                counts[data[low:high].decode()] += 1
            elif part == _NODE_ATTRIBUTE:
                for inner, left, right in fields(data, low, high):
                    if inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                        _count_graph(data, left, right, counts, depth - 1)
