"""Read a model file without reading its weights.

NOTE: the graph is parsed, the weights stay where they are: external tensors are mapped when somebody
asks for their values, so that a model with more than 2 GiB of weights costs as much memory as its
graph. What can be wrong with the external files is found here, before any work is started.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from qsearch.contracts.errors import ModelError

#: External tensors up to this many bytes are read at once: onnx's own checks read them by value.
_SMALL = 4096
_EXPORT = "Give a complete .onnx file, for example the one that the framework's ONNX export wrote."


def load_model(path: Path) -> ir.Model:
    """The model in `path`, its external tensors checked and bound to absolute paths.

    Raises:
        ModelError: a missing file, not ONNX, truncated, an empty graph, or external data that is
            missing, outside the model's folder or too short; the message says what to do.
    """
    proto = _read_proto(path)
    try:
        model = ir.from_proto(proto)
    except Exception as error:
        raise ModelError(f"{path}: the graph cannot be read: {_first_line(error)}", _EXPORT) from error
    if "" not in model.opset_imports:
        model.opset_imports[""] = 1 if not model.opset_imports else max(13, *model.opset_imports.values())
    for graph in model.graphs():
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                bound = _bind(value.const_value, path)
                kept = graph is model.graph and bound.nbytes > _SMALL
                value.const_value = bound if kept else _in_memory(bound)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for name, attribute in list(node.attributes.items()):
            if isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, _in_memory(_bind(attribute.value, path)))
    return model


def external_files(path: Path) -> tuple[Path, ...]:
    """The files that hold the weights of `path`, sorted by name; empty when all is inside it.

    Raises:
        ModelError: as `load_model`.
    """
    model = ir.from_proto(_read_proto(path))
    tensors = [v.const_value for graph in model.graphs() for v in graph.initializers.values()]
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        tensors.extend(a.value for a in node.attributes.values() if isinstance(a.value, ir.ExternalTensor))
    return tuple(sorted({Path(_bind(t, path).path) for t in tensors if isinstance(t, ir.ExternalTensor)}))


def _read_proto(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise ModelError(f"expected an ONNX model at {path}, found {found}", "Check the path of the model.")
    content = path.read_bytes()
    if not content:
        raise ModelError(f"{path} is empty (0 bytes)", _EXPORT)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise ModelError(f"{path} is not an ONNX model, or it is truncated ({len(content)} bytes)", _EXPORT) from error
    if not proto.HasField("graph") or proto.ir_version < 1:
        raise ModelError(f"{path} is not an ONNX model: it has no graph", _EXPORT)
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{path} has an empty graph: no nodes, or no outputs", _EXPORT)
    return proto


def _in_memory(tensor: ir.ExternalTensor) -> ir.TensorProtocol:
    """A copy that no longer needs the file."""
    return ir.Tensor(np.array(tensor.numpy()), dtype=tensor.dtype, name=tensor.name)


def _bind(tensor: ir.ExternalTensor, model: Path) -> ir.ExternalTensor:
    """The same tensor, checked, with an absolute path.

    NOTE: containment is checked here and not by the reader of onnx-ir, which also refuses files
    with several hard links; package installers and artifact stores make such files on purpose.
    """
    location = Path(str(tensor.location))
    hint = "Keep the data file beside the .onnx file, under the name that it was exported with."
    folders = {model.parent.resolve(), model.resolve().parent}
    found = next((f for f in (folder / location for folder in folders) if f.is_file()), None)
    lexical = not location.is_absolute() and ".." not in location.parts
    if not lexical or (found is not None and not any(found.resolve().is_relative_to(f) for f in folders)):
        raise ModelError(f"{model}: weights of {tensor.name!r} lie outside the model's folder: {location}", hint)
    if found is None:
        raise ModelError(f"{model}: weights of {tensor.name!r} expected in {location}, which is missing", hint)
    offset, length = tensor.offset or 0, tensor.length or tensor.nbytes
    if length != tensor.nbytes:
        raise ModelError(f"{model}: {tensor.name!r} needs {tensor.nbytes} bytes, its entry promises {length}", _EXPORT)
    if found.stat().st_size < offset + length:
        raise ModelError(
            f"{model}: {location} is too short: {tensor.name!r} needs {offset + length} bytes, "
            f"found {found.stat().st_size}",
            "The data file is truncated: copy or export it again.",
        )
    shape = ir.Shape(tensor.shape)
    return ir.ExternalTensor(found.resolve(), offset, length, tensor.dtype, shape=shape, name=tensor.name or "")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
