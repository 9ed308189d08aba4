"""The tensor file of a prepared model: arrays one after the other, found by offset."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from numpy.typing import NDArray

from qsearch.contracts.errors import DataError

#: Name of the tensor file beside a prepared or assembled model.
TENSORS = "tensors.bin"
#: Arrays below this many bytes are written into the graph itself.
INLINE_BYTES = 1024
#: Offsets are multiples of the first; of the second, a page, for arrays of at least 1 MiB.
_ALIGN, _PAGE, _LARGE = 64, 4096, 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Where an array lies."""

    #: numpy name, or bfloat16
    dtype: str
    shape: tuple[int, ...]
    #: bytes from the start of the file
    offset: int
    #: bytes
    length: int


class TensorWriter:
    """Appends arrays to a tensor file. Equal arrays in equal order make equal files."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end = 0
        self.entries: dict[str, TensorEntry] = {}

    def add(self, name: str, array: NDArray[Any]) -> TensorEntry:
        """Append an array under a new name."""
        return self.add_bytes(name, np.ascontiguousarray(array).tobytes(), array.dtype.name, array.shape)

    def add_bytes(self, name: str, content: bytes, dtype: str, shape: tuple[int, ...]) -> TensorEntry:
        """Append the little-endian bytes of an array."""
        align = _PAGE if len(content) >= _LARGE else _ALIGN
        offset = -(-self._end // align) * align
        self._file.write(bytes(offset - self._end))
        self._file.write(content)
        self._end = offset + len(content)
        self.entries[name] = TensorEntry(dtype=dtype, shape=tuple(shape), offset=offset, length=len(content))
        return self.entries[name]


class TensorReader:
    """Reads arrays from a tensor file by mapping it; nothing is loaded before it is asked for."""

    def __init__(self, path: Path, entries: Mapping[str, TensorEntry]) -> None:
        self.path = path
        self.entries = entries
        self._map: mmap.mmap | None = None

    def bytes_of(self, offset: int, length: int) -> bytes:
        """A range of the file.

        Raises:
            DataError: the file is missing or too short.
        """
        if length == 0:
            return b""
        try:
            if self._map is None:
                with self.path.open("rb") as file:
                    self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: the tensors of the prepared model cannot be read: {error}") from error
        if offset + length > len(self._map):
            raise DataError(f"{self.path} is too short: expected {offset + length} bytes, found {len(self._map)}")
        return self._map[offset : offset + length]

    def array(self, name: str) -> NDArray[Any]:
        """One stored array, read-only."""
        entry = self.entries[name]
        content = self.bytes_of(entry.offset, entry.length)
        return np.frombuffer(content, dtype=np.dtype(entry.dtype)).reshape(entry.shape)

    def proto(self, name: str) -> onnx.TensorProto:
        """A stored array as an initializer: small ones by value, others by reference."""
        entry = self.entries[name]
        if entry.length < INLINE_BYTES:
            return onnx.numpy_helper.from_array(self.array(name), name)
        return reference(name, entry, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(entry.dtype)))


def reference(name: str, entry: TensorEntry, data_type: int) -> onnx.TensorProto:
    """An initializer whose values lie in the tensor file beside the model."""
    tensor = onnx.TensorProto(name=name, data_type=data_type, dims=entry.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", TENSORS), ("offset", entry.offset), ("length", entry.length)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def place(tensor: onnx.TensorProto) -> tuple[int, int] | None:
    """(offset, length) of an initializer that lies in the tensor file, None for one by value."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    found = {entry.key: entry.value for entry in tensor.external_data}
    return int(found["offset"]), int(found["length"])
