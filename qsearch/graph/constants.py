"""Weights behind Identity, Transpose, Cast or Reshape become plain initializers.

NOTE: folded only where it is exact and costs nothing. Exact: values are moved, or cast from a
narrower float to float32. Free: every use of the source goes through nodes that are folded, so the
source disappears; a tied embedding, read as a table and transposed by the output layer, would
otherwise be stored twice.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

_MOVES = ("Identity", "Transpose", "Reshape")


def fold_weights(model: ir.Model) -> bool:
    """Fold in place, main graph only; True when something changed."""
    changed = False
    again = True
    while again:
        again = False
        for node in list(model.graph):
            if _foldable(node) and all(_foldable(use.node) for use in _source(node).uses()):
                _fold(model, _source(node))
                again = changed = True
                break
    return changed


def _source(node: ir.Node) -> ir.Value:
    value = node.inputs[0]
    if value is None:
        raise ValueError(f"{node.op_type} without an input")
    return value


def _foldable(node: ir.Node) -> bool:
    """A node whose output is the same numbers as those of one float initializer."""
    if node.domain not in {"", "ai.onnx"} or node.op_type not in (*_MOVES, "Cast"):
        return False
    value = node.inputs[0] if node.inputs else None
    if value is None or not _is_plain_weight(value, node):
        return False
    if node.outputs[0].is_graph_output():
        return False
    if node.op_type == "Cast":
        widening = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.FLOAT)
        target = node.attributes.get_int("to", 0)
        return value.const_value is not None and value.const_value.dtype in widening and target == ir.DataType.FLOAT
    if node.op_type == "Reshape":
        shape = node.inputs[1]
        return shape is not None and shape.is_initializer() and shape.const_value is not None
    return True


def _is_plain_weight(value: ir.Value, node: ir.Node) -> bool:
    tensor = value.const_value
    if tensor is None or not value.is_initializer() or value.is_graph_input() or value.is_graph_output():
        return False
    same_graph = node.graph is value.graph and all(use.node.graph is value.graph for use in value.uses())
    return same_graph and tensor.dtype.is_floating_point() and len(tensor.shape) >= 1 and tensor.size > 0


def _fold(model: ir.Model, source: ir.Value) -> None:
    tensor = source.const_value
    if tensor is None:
        return
    for node in {use.node: None for use in source.uses()}:
        old = node.outputs[0]
        folded = ir.Tensor(_moved(node, tensor), name=old.name)
        value = ir.Value(name=old.name, shape=folded.shape, type=ir.TensorType(folded.dtype), const_value=folded)
        old.replace_all_uses_with(value)
        model.graph.remove(node, safe=True)
        model.graph.register_initializer(value)
    if source.name is not None:
        del model.graph.initializers[source.name]


def _moved(node: ir.Node, tensor: ir.TensorProtocol) -> np.ndarray:
    array = tensor.numpy()
    if node.op_type == "Cast":
        return array.astype(np.float32)
    if node.op_type == "Transpose":
        return np.ascontiguousarray(np.transpose(array, node.attributes.get_ints("perm", None)))
    if node.op_type == "Reshape":
        shape = node.inputs[1]
        if shape is None or shape.const_value is None:
            raise ValueError(f"{node.name}: a Reshape without a constant shape was taken for a foldable one")
        sizes = [int(s) for s in shape.const_value.numpy().ravel()]
        if not node.attributes.get_int("allowzero", 0):
            sizes = [array.shape[i] if s == 0 else s for i, s in enumerate(sizes)]
        return array.reshape(sizes)
    return array
