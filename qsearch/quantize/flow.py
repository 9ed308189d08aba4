"""Who produces and who reads each tensor of a written graph."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from qsearch.graph.sites import Role, Site

#: Nodes that a runtime merges into the integer kernel before them.
_MERGED = ("Relu", "Clip")
#: Nodes that only move or select values: codes pass through them unchanged.
_MOVING = ("MaxPool", "Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze")


class Flow:
    """Tensors of the main graph. A reader inside a subgraph counts as one that nothing can merge."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = {node.name: node for node in graph.node}
        self.outputs = {value.name for value in graph.output}
        self._producer = {name: node for node in graph.node for name in node.output if name}
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        self._captured: set[str] = set()
        for node in graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
            for inner in nested(node):
                self._captured.update(name for n in inner.node for name in n.input)

    def result(self, site: Site) -> str:
        """The tensor behind a node and the Relu or Clip that a runtime merges into it."""
        tensor: str = self.nodes[site.node].output[0]
        readers = self._readers.get(tensor, [])
        alone = len(readers) == 1 and tensor not in self.outputs and tensor not in self._captured
        if alone and readers[0].op_type in _MERGED and readers[0].input[0] == tensor:
            return str(readers[0].output[0])
        return tensor

    def behind(self, tensor: str) -> onnx.NodeProto:
        """The one reader of a tensor that has one."""
        return self._readers[tensor][0]

    def addend(self, site: Site) -> tuple[str, str] | None:
        """(Add node, other operand) behind a MatMul whose result nothing else reads."""
        tensor = self.nodes[site.node].output[0]
        readers = self._readers.get(tensor, [])
        alone = len(readers) == 1 and tensor not in self.outputs and tensor not in self._captured
        if not alone or readers[0].op_type != "Add":
            return None
        others = [name for name in readers[0].input if name != tensor]
        return (readers[0].name, others[0]) if others else None

    def upstream(self, tensor: str) -> Iterator[str]:
        """The tensor itself, then those that it is a mere rearrangement of, nearest first."""
        yield tensor
        while True:
            node = self._producer.get(tensor)
            if node is None or node.op_type not in _MOVING or len([o for o in node.output if o]) != 1:
                return
            tensor = node.input[0]
            yield tensor

    def observed(self, site: Site) -> tuple[str, ...]:
        """Tensors whose range int8-static needs for this site."""
        behind = site.role is Role.CONV or site.op == "Gemm"
        return (site.activation, self.result(site)) if behind else (site.activation,)


def nested(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Every subgraph of a node, at any depth."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield graph
            for inner in graph.node:
                yield from nested(inner)
