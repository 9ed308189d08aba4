"""The normalised model as it is stored: a small graph over the tensor file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir

from qsearch.graph.shapes import infer_shapes
from qsearch.graph.sites import Site
from qsearch.graph.storage import vector_bias
from qsearch.quantize.flow import Flow
from qsearch.quantize.index import MODEL
from qsearch.quantize.tensors import INLINE_BYTES, TensorWriter, reference


def write_floats(model: ir.Model, out: Path, writer: TensorWriter) -> None:
    """All initializers of the main graph to the tensor file; the large ones leave the graph.

    NOTE: small ones are written too, so that a scheme finds every bias in one place, but stay in the
    graph by value: runtimes read shapes and scales while they load.
    """
    external: dict[str, onnx.TensorProto] = {}
    bare = model.clone()
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.dtype.bitwidth < 8:
            continue
        if tensor.nbytes < INLINE_BYTES and tensor.dtype != ir.DataType.FLOAT:
            continue
        dtype, shape = tensor.dtype.numpy().name, tuple(int(str(size)) for size in tensor.shape)
        entry = writer.add_bytes(name, tensor.tobytes(), dtype, shape)
        if tensor.nbytes >= INLINE_BYTES:
            external[name] = reference(name, entry, int(tensor.dtype))
            placeholder = bare.graph.initializers[name]
            placeholder.const_value = ir.Tensor(np.zeros(0, dtype=np.float32), name=name)
    for inner in bare.graphs():
        for value in inner.initializers.values():
            # A small tensor of an external file, or one of a subgraph, comes into the graph by value.
            if isinstance(value.const_value, ir.ExternalTensor):
                values = np.array(value.const_value.numpy())
                value.const_value = ir.Tensor(values, dtype=value.const_value.dtype, name=value.name)
    proto = ir.to_proto(bare)
    for initializer in proto.graph.initializer:
        if initializer.name in external:
            initializer.CopyFrom(external[initializer.name])
    (out / MODEL).write_bytes(proto.SerializeToString(deterministic=True))


def merged_addends(
    model: ir.Model, out: Path, sites: Sequence[Site], shapes: Mapping[str, tuple[int, ...]] | None
) -> dict[str, str]:
    """MatMul → Add, where ONNX Runtime makes one Gemm of both: see `int8_static`.

    Only additions of one constant number per column are meant. Sizes count as known when the model
    alone tells them, the number of axes also when `shapes` of the inputs do. An activation of unknown
    rank counts as one where it happens: the int32 bias is right either way, a float one is not.
    """
    flow = Flow(onnx.load(str(out / MODEL), load_external_data=False).graph)
    always, here = _shapes(infer_shapes(model)), _shapes(infer_shapes(model, shapes))
    found: dict[str, str] = {}
    for site in sites:
        behind = flow.addend(site) if site.op == "MatMul" else None
        constant = model.graph.initializers.get(behind[1]) if behind is not None else None
        shape, axes = always.get(site.activation), here.get(site.activation)
        fixed = shape is not None and all(isinstance(size, int) for size in shape)
        merges = axes is None or len(axes) == 2 or fixed
        if behind is None or constant is None or constant.const_value is None or not merges:
            continue
        weight, sizes = model.graph.initializers[site.weight].shape, constant.const_value.shape
        columns = int(str(weight[site.channel_axis])) if weight is not None else 0
        if constant.const_value.dtype == ir.DataType.FLOAT and vector_bias(tuple(map(int, sizes.numpy())), columns):
            found[site.node] = behind[0]
    return found


def _shapes(model: ir.Model) -> dict[str, ir.Shape | None]:
    values = [value for node in model.graph for value in node.outputs] + list(model.graph.inputs)
    return {value.name or "": value.shape for value in values}
