"""Names that are there, unique, printable and the same on every reading."""

from __future__ import annotations

import onnx_ir as ir


def name_nodes(model: ir.Model) -> bool:
    """Give every node, in subgraphs too, a unique printable name; True when something changed.

    A name that is there and printable stays. A missing one is made of the operator and the weight
    that the node reads, or else its first output: both are part of the file, so the name survives
    re-loading. A repeated one gets a number in graph order.
    """
    changed = False
    taken: set[str] = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        name = _unique(printable(node.name or _made(node)), taken)
        taken.add(name)
        if node.name != name:
            node.name = name
            changed = True
    return changed


def printable(name: str) -> str:
    """The name with every blank or unprintable character as an underscore."""
    return "".join(c if c.isprintable() and not c.isspace() else "_" for c in name)


def _made(node: ir.Node) -> str:
    weight = next((v.name for v in node.inputs if v is not None and _is_weight(v)), None)
    output = next((v.name for v in node.outputs if v.name), "")
    return f"{node.op_type}.{weight or output}"


def _is_weight(value: ir.Value) -> bool:
    tensor = value.const_value
    return tensor is not None and tensor.dtype.is_floating_point() and len(tensor.shape) >= 2


def _unique(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"
