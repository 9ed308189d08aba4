"""Shapes of activations for given input shapes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common as passes

from qsearch.contracts.errors import DataError

#: elements of a tensor that may still be an argument of Reshape, Slice or Expand
_SMALL = 64


def infer_shapes(model: ir.Model, shapes: Mapping[str, tuple[int, ...]] | None = None) -> ir.Model:
    """A copy of the model with as many shapes as ONNX can infer; weights are not read.

    NOTE: inference alone stops at the first Reshape whose target is computed with operators that it
    does not follow (Cast to int32, Squeeze: common in exported OCR models). So nodes that compute
    shapes from shapes are evaluated and replaced by their results, and inference is run again,
    until nothing changes. The copy is for reading shapes only: it holds for these inputs alone.

    Raises:
        DataError: a name that is no input, or a shape of another rank.
    """
    copy = model.clone()
    _set_inputs(copy, shapes or {})
    for _ in range(32):
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(copy)
        if not _fold_shape_arithmetic(copy):
            break
    return copy


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """The shape with unknown sizes counted as 1; None when not even the rank is known."""
    if value is None or value.shape is None:
        return None
    return tuple(size if isinstance(size, int) else 1 for size in value.shape)


def _set_inputs(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> None:
    inputs = {value.name: value for value in model.graph.inputs}
    for name, shape in shapes.items():
        if name not in inputs:
            raise DataError(f"the model has no input {name!r}", f"Its inputs: {', '.join(map(str, inputs))}")
        known = inputs[name].shape
        if known is not None and len(known) != len(shape):
            raise DataError(f"input {name!r} has {len(known)} axes, the shape given has {len(shape)}: {shape}")
        inputs[name].shape = ir.Shape(shape)


def _fold_shape_arithmetic(model: ir.Model) -> bool:
    """Replace nodes whose result is known by their result; True when there was one."""
    changed = False
    for node in list(model.graph):
        results = _evaluate(node)
        if results is None:
            continue
        for old, array in zip(node.outputs, results, strict=False):
            tensor = ir.Tensor(np.ascontiguousarray(array), name=old.name)
            value = ir.Value(name=old.name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
            old.replace_all_uses_with(value)
            model.graph.register_initializer(value)
        model.graph.remove(node, safe=True)
        changed = True
    return changed


def _evaluate(node: ir.Node) -> list[np.ndarray] | None:
    if any(v.is_graph_output() for v in node.outputs) or node.domain not in {"", "ai.onnx"}:
        return None
    if node.op_type == "Shape":
        source = node.inputs[0]
        if source is None or source.shape is None or not all(isinstance(s, int) for s in source.shape):
            return None
        sizes = np.array([int(str(s)) for s in source.shape], dtype=np.int64)
        return [sizes[node.attributes.get_int("start", 0) : node.attributes.get_int("end", len(sizes))]]
    feeds: dict[str, np.ndarray] = {}
    for value in node.inputs:
        if value is None:
            continue
        tensor = value.const_value if value.is_initializer() else None
        if tensor is None or tensor.size > _SMALL or tensor.dtype == ir.DataType.STRING:
            return None
        feeds[value.name or ""] = tensor.numpy()
    if not feeds or any(attr.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS} for attr in _attributes(node)):
        return None
    return _run(node, feeds)


def _attributes(node: ir.Node) -> list[ir.Attr]:
    return list(node.attributes.values())


def _run(node: ir.Node, feeds: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    """One node on the reference evaluator; None when it cannot be evaluated."""
    opsets = node.graph.opset_imports if node.graph is not None else {"": 13}
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "node",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in feeds.items()
        ],
        [onnx.helper.make_value_info(v.name or "", onnx.TypeProto()) for v in node.outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(d, v) for d, v in opsets.items()])
    try:
        found = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # noqa: BLE001 - an operator without a reference leaves its shape unknown, as documented
        return None
    arrays = [np.asarray(a) for a in found]
    return arrays if all(a.size <= _SMALL for a in arrays) else None
