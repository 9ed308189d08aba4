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
from collections.abc import Iterator
from pathlib import Path

from qsearch.contracts.errors import ModelError

# Field numbers of onnx.proto3; they are frozen by the format.
_MODEL_GRAPH, _GRAPH_NODE, _NODE_OP, _NODE_ATTRIBUTE = 7, 1, 4, 5
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
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
            for field, start, end in _fields(data, 0, len(data)):
                if field == _MODEL_GRAPH:
                    _count_graph(data, start, end, counts, _DEPTH)
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"cannot read the operators of {path.name}: {error}") from error
    return dict(counts.most_common())


def _count_graph(data: mmap.mmap, start: int, end: int, counts: Counter[str], depth: int) -> None:
    if not depth:
        raise ValueError(f"more than {_DEPTH} graphs inside each other")
    for field, begin, stop in _fields(data, start, end):
        if field != _GRAPH_NODE:
            continue
        for part, low, high in _fields(data, begin, stop):
            if part == _NODE_OP:
                counts[data[low:high].decode()] += 1
            elif part == _NODE_ATTRIBUTE:
                for inner, left, right in _fields(data, low, high):
                    if inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                        _count_graph(data, left, right, counts, depth - 1)


def _fields(data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(field number, start, end) of each length-delimited field; numbers are stepped over."""
    while at < end:
        key, at = _varint(data, at, end)
        kind = key & 7
        if kind == _BYTES:
            length, at = _varint(data, at, end)
            if at + length > end:
                raise ValueError("cut short")
            yield key >> 3, at, at + length
            at += length
        elif kind == _VARINT:
            _, at = _varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError("not a protobuf")


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise ValueError("cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("not a protobuf")
