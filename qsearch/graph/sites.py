"""Sites: weighted nodes, and what each input means."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import onnx_ir as ir


class Role(StrEnum):
    """How a node uses its weight; it decides which layouts the weight can be stored in."""

    #: activation [..., M, K] times weight [K, N]
    MATRIX = "matrix"
    #: Conv, weight [out, in / group, ...]
    CONV = "conv"
    #: Gather on axis 0, weight [rows, columns]
    TABLE = "table"
    #: a MatMul whose weight stands on the left, or has more than two axes
    STORED = "stored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One weighted node of the main graph."""

    node: str
    op: str
    role: Role
    #: tensor that is multiplied or, for Gather, the indices
    activation: str
    weight: str
    #: position of the weight among the node's inputs
    weight_index: int
    #: constant bias, or empty
    bias: str = ""
    #: Gemm: the weight is stored as [N, K]
    transposed: bool = False
    #: Gemm: the product is multiplied by this
    alpha: float = 1.0
    #: axis of the weight that counts output channels
    channel_axis: int = 0

    @property
    def kind(self) -> tuple[object, ...]:
        """What must agree for two sites to share one quantized weight."""
        return (self.op, self.role, self.weight_index, self.transposed, self.alpha, self.channel_axis)


#: weighted operators that have fp32 only in this version, and the input that is the weight
_LATER = {
    "ConvTranspose": 1,
    "LSTM": 1,
    "GRU": 1,
    "RNN": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "MatMulInteger": 1,
    "QLinearMatMul": 3,
    "MatMulNBits": 1,
    "QGemm": 3,
    "Einsum": 1,
}
#: position of the weight of operators that can be layers
_INPUTS = {"Conv": (1,), "Gemm": (1, 0), "MatMul": (1, 0), "Gather": (0,)}


def read_site(node: ir.Node) -> Site | str | None:
    """The site of a node, why its weight is left out, or None when it has no weight."""
    if node.op_type in _LATER:
        weight = node.inputs[_LATER[node.op_type]] if len(node.inputs) > _LATER[node.op_type] else None
        return f"{node.op_type} has fp32 only in this version" if weight is not None and _constant(weight) else None
    if node.op_type not in _INPUTS or node.domain not in {"", "ai.onnx"}:
        return None
    for index in _INPUTS[node.op_type]:
        value = node.inputs[index]
        if value is not None and (_constant(value) or _computed_constant(value)):
            return _site(node, index, value)
    return None


def _site(node: ir.Node, index: int, value: ir.Value) -> Site | str | None:
    refusal = _refusal(node, index, value)
    if refusal is not None or value.const_value is None:
        return refusal or None
    rank = len(value.const_value.shape)
    if node.op_type == "Conv":
        return _make(node, index, Role.CONV, bias=_bias(node))
    if node.op_type == "Gather":
        return _make(node, index, Role.TABLE)
    if node.op_type == "Gemm":
        transposed = bool(node.attributes.get_int("transB", 0))
        alpha, axis = node.attributes.get_float("alpha", 1.0), 0 if transposed else 1
        site = _make(node, index, Role.MATRIX, bias=_bias(node), axis=axis)
        return replace(site, transposed=transposed, alpha=alpha)
    if index == 1:
        return _make(node, index, Role.MATRIX if rank == 2 else Role.STORED, axis=rank - 1)
    return _make(node, index, Role.STORED, axis=rank - 2)


def _refusal(node: ir.Node, index: int, value: ir.Value) -> str | None:
    """Why the weight cannot be quantized; empty when the node is not a weighted one at all."""
    tensor = value.const_value
    if tensor is None:
        return f"its weight {value.name!r} is computed from constants that are quantized, or used elsewhere"
    if node.op_type == "Gather" and not tensor.dtype.is_floating_point():
        return ""
    if tensor.dtype != ir.DataType.FLOAT:
        return f"its weight is {tensor.dtype.name.lower()}, only float32 weights are quantized"
    if value.is_graph_output() or value.is_graph_input():
        return "its weight is an input or output of the model"
    if tensor.size == 0:
        return "its weight is empty"
    rank = len(tensor.shape)
    if node.op_type == "Gather":
        if rank < 2:
            return ""
        if rank != 2 or node.attributes.get_int("axis", 0) not in {0, -2}:
            return "only two-dimensional tables read on axis 0 are quantized"
    elif node.op_type == "Gemm" and index == 0:
        return "a Gemm with its weight on the left is not quantized"
    elif rank < 2:
        return "its weight is a vector"
    return None


def _make(node: ir.Node, index: int, role: Role, *, bias: str = "", axis: int = 0) -> Site:
    weight, activation = node.inputs[index], node.inputs[1 - index]
    return Site(
        node=node.name or "",
        op=node.op_type,
        role=role,
        activation=(activation.name or "") if activation is not None else "",
        weight=(weight.name or "") if weight is not None else "",
        weight_index=index,
        bias=bias,
        channel_axis=axis,
    )


def _bias(node: ir.Node) -> str:
    value = node.inputs[2] if len(node.inputs) > 2 else None
    constant = value is not None and _constant(value) and value.const_value is not None
    return (value.name or "") if constant and value is not None else ""


def _constant(value: ir.Value) -> bool:
    return value.is_initializer() and value.const_value is not None


def _computed_constant(value: ir.Value) -> bool:
    """The output of nodes that read nothing but constants: a quantized or converted weight."""
    node, depth = value.producer(), 0
    while node is not None and depth < 4:
        inputs = [v for v in node.inputs if v is not None]
        if not inputs or node.op_type in {"Shape", "Constant", "ConstantOfShape", "Range"}:
            return False
        if all(_constant(v) for v in inputs):
            largest = max(len(v.const_value.shape) for v in inputs if v.const_value is not None)
            return largest >= 2
        rest = [v for v in inputs if not _constant(v)]
        if len(rest) != 1:
            return False
        node, depth = rest[0].producer(), depth + 1
    return False
