"""Inputs and outputs of an ONNX file as its author named them, read without the onnx package.

NOTE: OpenVINO keeps the names of tensors, not those of symbolic axes, and gives one tensor several
names in no order. What a spec and a task are written in are the words of the file.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from qsearch.contracts.errors import ModelError
from qsearch.measure.protobuf import fields

# Field numbers of onnx.proto3; they are frozen by the format.
_MODEL_GRAPH = 7
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIMENSION, _DIMENSION_NAME = 1, 2, 1, 2, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What a graph takes and gives, in the file's order."""

    #: input → the symbolic name of each axis, empty where it has none; initializers are left out
    inputs: dict[str, tuple[str, ...]]
    outputs: tuple[str, ...]


def read_ports(path: Path) -> Ports:
    """The ports of the main graph.

    Raises:
        ModelError: not an ONNX file, cut short, or a graph without outputs.
    """
    inputs: dict[str, tuple[str, ...]] = {}
    outputs: list[str] = []
    constants: set[str] = set()
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for field, start, end in fields(data, 0, len(data)):
                for part, low, high in fields(data, start, end) if field == _MODEL_GRAPH else ():
                    if part == _GRAPH_INPUT:
                        inputs[_text(data, low, high, _VALUE_NAME)] = _axes(data, low, high)
                    elif part == _GRAPH_OUTPUT:
                        outputs.append(_text(data, low, high, _VALUE_NAME))
                    elif part == _GRAPH_INITIALIZER:
                        constants.add(_text(data, low, high, _TENSOR_NAME))
    except (OSError, ValueError, IndexError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}", "Is it a complete .onnx file?") from error
    if not outputs:
        raise ModelError(f"{path.name} is no ONNX model: it has no graph with outputs", "Is it a complete .onnx file?")
    return Ports(inputs={n: axes for n, axes in inputs.items() if n not in constants}, outputs=tuple(outputs))


def _text(data: mmap.mmap, start: int, end: int, wanted: int) -> str:
    return next((data[low:high].decode() for field, low, high in fields(data, start, end) if field == wanted), "")


def _axes(data: mmap.mmap, start: int, end: int) -> tuple[str, ...]:
    """Down from the value to its dimensions; every level stands once, only the dimensions are many."""
    places = [(start, end)]
    for level in (_VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIMENSION):
        places = [(a, b) for low, high in places for field, a, b in fields(data, low, high) if field == level]
    return tuple(_text(data, low, high, _DIMENSION_NAME) for low, high in places)
