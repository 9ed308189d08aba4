"""What stands behind a Conv and is linear per channel becomes part of the Conv.

NOTE: runtimes do this themselves for float models, and cannot any more once a QuantizeLinear stands
between the two nodes. Done here once, the float model keeps its speed, and int8 keeps the fused bias.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray


def absorb_into_convolutions(model: ir.Model) -> bool:
    """Fold Conv·BatchNormalization and Conv·Add(constant per channel) in place; True when changed."""
    changed = False
    for conv in list(model.graph):
        if conv.op_type != "Conv" or conv.domain not in {"", "ai.onnx"}:
            continue
        while _absorb_next(model, conv):
            changed = True
    return changed


def _absorb_next(model: ir.Model, conv: ir.Node) -> bool:
    uses = tuple(conv.outputs[0].uses())
    weight, bias = _floats(conv, 1), _floats(conv, 2)
    if len(uses) != 1 or conv.outputs[0].is_graph_output() or weight is None:
        return False
    if len(conv.inputs) > 2 and conv.inputs[2] is not None and bias is None:
        return False
    node = uses[0].node
    if node.graph is not conv.graph or node.domain not in {"", "ai.onnx"}:
        return False
    if node.op_type == "Add":
        term = _per_channel(node, 1 - uses[0].idx, weight)
        if term is None:
            return False
        _replace(model, conv, node, {2: term if bias is None else bias + term})
        return True
    if node.op_type == "BatchNormalization" and uses[0].idx == 0:
        return _absorb_normalisation(model, conv, node, bias)
    return False


def _absorb_normalisation(model: ir.Model, conv: ir.Node, node: ir.Node, bias: NDArray[np.float32] | None) -> bool:
    """Weight and bias of Conv·BatchNormalization.

    NOTE: in float32, and in the order in which ONNX Runtime folds the same pair, so that the folded
    model and the source give the same bits there.
    """
    found = [_floats(node, i) for i in (1, 2, 3, 4)]
    weight, shared = _floats(conv, 1), conv.inputs[1]
    parts = [part for part in found if part is not None]
    if len(parts) != 4 or weight is None or shared is None or len(tuple(shared.uses())) != 1:
        return False
    if sum(1 for v in node.outputs if v.name) != 1 or bool(node.attributes.get_int("training_mode", False)):
        return False
    scale, shift, mean, variance = parts
    factor = scale / np.sqrt(variance + np.float32(node.attributes.get_float("epsilon", 1e-5)))
    moved = shift - mean * factor if bias is None else (bias - mean) * factor + shift
    _replace(model, conv, node, {1: weight * factor.reshape(-1, *[1] * (weight.ndim - 1)), 2: moved})
    return True


def _floats(node: ir.Node, index: int) -> NDArray[np.float32] | None:
    """A float32 constant input of the main graph, or None."""
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None or not value.is_initializer() or value.is_graph_input() or value.const_value is None:
        return None
    return value.const_value.numpy() if value.const_value.dtype == ir.DataType.FLOAT else None


def _per_channel(node: ir.Node, index: int, weight: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The constant of an Add as one number per output channel, or None when it is something else."""
    term = _floats(node, index)
    if term is None or term.ndim > weight.ndim:
        return None
    shape = (1,) * (weight.ndim - term.ndim) + term.shape
    if shape[1] not in {1, len(weight)} or any(size != 1 for i, size in enumerate(shape) if i != 1):
        return None
    return np.broadcast_to(term.reshape(-1), (len(weight),))


def _replace(model: ir.Model, conv: ir.Node, node: ir.Node, arrays: dict[int, NDArray[np.float32]]) -> None:
    """Give the Conv new constants and the output of the node behind it, which goes."""
    if len(conv.inputs) < 3:
        conv.resize_inputs(3)
    for index, array in arrays.items():
        kind = "weight" if index == 1 else "bias"
        name, old = f"{node.outputs[0].name}/{kind}", conv.inputs[index]
        tensor = ir.Tensor(array.astype(np.float32), name=name)
        value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        model.graph.register_initializer(value)
        conv.replace_input_with(index, value)
        _drop_unused(model, old)
    behind, output = node.outputs[0], conv.outputs[0]
    constants = [v for v in node.inputs if v is not None and v is not output]
    written = behind.name
    output.shape, output.type = behind.shape, behind.type
    behind.replace_all_uses_with(output, replace_graph_outputs=True)
    for i in range(len(node.inputs)):
        node.replace_input_with(i, None)
    model.graph.remove(node, safe=True)
    output.name = written
    for value in constants:
        _drop_unused(model, value)


def _drop_unused(model: ir.Model, value: ir.Value | None) -> None:
    """Remove an initializer that nothing reads any more."""
    if value is not None and value.is_initializer() and not value.uses() and not value.is_graph_output():
        model.graph.initializers.pop(value.name or "", None)
