"""A model over the tensor file as one self-contained file."""

from __future__ import annotations

from pathlib import Path

import onnx

from qsearch.quantize.tensors import TensorReader, place

#: A protobuf message cannot be larger than 2 GiB; some room is left for the reader's own limits.
_LIMIT = 2**31 - 2**20


def standalone_bytes(model: onnx.ModelProto) -> int:
    """Exact size in bytes of the file that `write_standalone` writes, computed without reading weights."""
    graph: int = model.graph.ByteSize()
    plain: int = model.ByteSize() - _field(graph)
    for tensor in model.graph.initializer:
        found = place(tensor)
        if found is not None:
            graph += _field(_bare(tensor).ByteSize() + _field(found[1])) - _field(tensor.ByteSize())
    return plain + _field(graph)


def write_standalone(model: onnx.ModelProto, reader: TensorReader, file: Path) -> int:
    """Write the model with its weights, and the number of bytes written; `model` may be changed."""
    data = file.with_name(file.name + ".data")
    data.unlink(missing_ok=True)
    file.unlink(missing_ok=True)
    if standalone_bytes(model) > _LIMIT:
        _write_beside(model, reader, data)
    else:
        for tensor in model.graph.initializer:
            found = place(tensor)
            if found is not None:
                tensor.CopyFrom(_bare(tensor))
                tensor.raw_data = reader.bytes_of(*found)
    file.write_bytes(model.SerializeToString(deterministic=True))
    return file.stat().st_size + (data.stat().st_size if data.exists() else 0)


def _write_beside(model: onnx.ModelProto, reader: TensorReader, data: Path) -> None:
    """Only the tensors that this model reads, in one file, page by page."""
    with data.open("wb") as stream:
        for tensor in model.graph.initializer:
            found = place(tensor)
            if found is None:
                continue
            stream.write(bytes(-stream.tell() % 4096))
            offset = stream.tell()
            stream.write(reader.bytes_of(*found))
            tensor.CopyFrom(_bare(tensor))
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", offset), ("length", found[1])):
                tensor.external_data.add(key=key, value=str(value))


def _bare(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """Name, type and shape, without values."""
    return onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def _field(length: int) -> int:
    """Bytes of a length-delimited field with a one-byte tag: tag, varint of the length, content."""
    return 1 + max(1, -(-length.bit_length() // 7)) + length
