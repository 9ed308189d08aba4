"""A graph being rewritten: what is put where, and the model that comes out.

NOTE: rewriting works on the written form of the graph, by tensor names, and copies only what
changes. The cost of a trial is then the cost of copying a few hundred small nodes; no weight is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from qsearch.quantize.flow import Flow, nested
from qsearch.quantize.tensors import TensorReader

_CONTRIB = "com.microsoft"


class Rewrite:
    """Collects changes to a normalised model; `model` applies them to a copy."""

    def __init__(self, source: onnx.ModelProto, flow: Flow, reader: TensorReader) -> None:
        self._source = source
        self.flow = flow
        self._reader = reader
        self._first: list[onnx.NodeProto] = []
        self._after: dict[str, list[onnx.NodeProto]] = {}
        self._instead: dict[str, list[onnx.NodeProto]] = {}
        self._renamed: dict[str, str] = {}
        self._constants: dict[str, onnx.TensorProto] = {}
        self._made: set[str] = set()

    def node(self, name: str) -> onnx.NodeProto:
        """A copy of a node of the source, to change and hand to `replace`."""
        copy = onnx.NodeProto()
        copy.CopyFrom(self.flow.nodes[name])
        return copy

    def once(self, name: str) -> bool:
        """True the first time that something of this name is made."""
        if name in self._made:
            return False
        self._made.add(name)
        return True

    def constant(self, name: str, array: NDArray[Any] | np.generic) -> str:
        """A small initializer, by value; equal names must mean equal values."""
        if name not in self._constants:
            self._constants[name] = onnx.numpy_helper.from_array(np.asarray(array), name)
        return name

    def stored(self, name: str) -> str:
        """An initializer from the tensor file, under its own name."""
        if name not in self._constants:
            self._constants[name] = self._reader.proto(name)
        return name

    def array(self, name: str) -> NDArray[Any]:
        """The values of a stored array."""
        return self._reader.array(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a stored array."""
        return self._reader.entries[name].shape

    def first(self, nodes: Iterable[onnx.NodeProto]) -> None:
        """Put nodes before all others; they may read constants and inputs of the model only."""
        self._first.extend(nodes)

    def after(self, tensor: str, nodes: Iterable[onnx.NodeProto]) -> None:
        """Put nodes right after the producer of a tensor."""
        self._after.setdefault(tensor, []).extend(nodes)

    def replace(self, name: str, nodes: Sequence[onnx.NodeProto]) -> None:
        """Put nodes in the place of one; the last must produce what it produced."""
        self._instead[name] = list(nodes)

    def divert(self, tensor: str) -> str:
        """Let the producer write another tensor, whose name is returned; somebody else then makes `tensor`."""
        self._renamed[tensor] = f"{tensor}/qsearch/float"
        return self._renamed[tensor]

    def model(self) -> onnx.ModelProto:
        """The source with all changes, without the initializers that nothing reads any more."""
        nodes = self._ordered()
        graph, used = self._source.graph, _read(nodes)
        used.update(value.name for value in graph.output)
        result = onnx.ModelProto()
        for field in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
            setattr(result, field, getattr(self._source, field))
        result.opset_import.extend(self._source.opset_import)
        if any(n.domain == _CONTRIB for n in nodes) and all(o.domain != _CONTRIB for o in result.opset_import):
            result.opset_import.append(onnx.helper.make_opsetid(_CONTRIB, 1))
        result.metadata_props.extend(self._source.metadata_props)
        result.graph.name, result.graph.doc_string = graph.name, graph.doc_string
        result.graph.input.extend(graph.input)
        result.graph.output.extend(graph.output)
        result.graph.value_info.extend(graph.value_info)
        result.graph.sparse_initializer.extend(graph.sparse_initializer)
        result.graph.node.extend(nodes)
        result.graph.initializer.extend(t for t in graph.initializer if t.name in used)
        result.graph.initializer.extend(t for name, t in self._constants.items() if name in used)
        return result

    def _ordered(self) -> list[onnx.NodeProto]:
        result: list[onnx.NodeProto] = []
        pending = dict(self._after)

        def emit(node: onnx.NodeProto) -> None:
            result.append(node)
            for name in node.output:
                for following in pending.pop(name, ()):
                    emit(following)

        for node in self._first:
            emit(node)
        graph = self._source.graph
        for name in [v.name for v in graph.input] + [t.name for t in graph.initializer]:
            for following in pending.pop(name, ()):
                emit(following)
        for node in graph.node:
            for made in self._instead.get(node.name, (node,)):
                emit(self._diverted(made))
        return result

    def _diverted(self, node: onnx.NodeProto) -> onnx.NodeProto:
        if not any(name in self._renamed for name in node.output):
            return node
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        for i, name in enumerate(copy.output):
            copy.output[i] = self._renamed.get(name, name)
        return copy


def _read(nodes: Iterable[onnx.NodeProto]) -> set[str]:
    used: set[str] = set()
    for node in nodes:
        used.update(node.input)
        for graph in nested(node):
            used.update(value.name for value in graph.output)
            for inner in graph.node:
                used.update(inner.input)
    return used
