"""What a model file takes and gives, and how large it is; nothing is normalised and nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from qsearch.contracts.errors import ModelError
from qsearch.contracts.layer import TensorInfo
from qsearch.graph.load import external_files, load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A model file from outside."""

    #: what must be fed; initializers that old files also list as inputs are left out
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    #: of the file and its external data
    size_bytes: int

    @property
    def ports(self) -> dict[str, tuple[str, tuple[int | str | None, ...]]]:
        """Input name → (numpy dtype name, shape), as a runtime that has loaded the file tells it."""
        return {t.name: (t.dtype, t.shape) for t in self.inputs}

    def must_match(self, expected: Signature) -> None:
        """Refuse a file that cannot stand in for the expected one: names, element types, order of outputs.

        Shapes are left to the runtime: a fixed axis may well fit the samples. The order of outputs
        counts, because a built-in metric looks at the first; the order of inputs does not.

        Raises:
            ModelError: names the first input or output that differs.
        """
        for kind, mine, theirs in (
            ("input", self.inputs, expected.inputs),
            ("output", self.outputs, expected.outputs),
        ):
            _must_match(kind, {t.name: t.dtype for t in mine}, {t.name: t.dtype for t in theirs})
        found, wanted = [t.name for t in self.outputs], [t.name for t in expected.outputs]
        if found != wanted:
            raise ModelError(f"its outputs come as {', '.join(found)}; the spec's model gives {', '.join(wanted)}")


def read_signature(path: Path) -> Signature:
    """Inputs, outputs and bytes of a model file.

    Raises:
        ModelError: the file, or its external data, cannot be read.
    """
    graph = load_model(path).graph
    return Signature(
        inputs=tuple(tensor_info(value) for value in graph.inputs if value.name not in graph.initializers),
        outputs=tuple(tensor_info(value) for value in graph.outputs),
        size_bytes=path.stat().st_size + sum(file.stat().st_size for file in external_files(path)),
    )


def tensor_info(value: ir.Value) -> TensorInfo:
    """Name, element type and shape of a graph's input or output."""
    shape = () if value.shape is None else tuple(s if isinstance(s, int) else s.value for s in value.shape)
    dtype = value.dtype.numpy().name if value.dtype is not None and value.dtype != ir.DataType.STRING else "str"
    return TensorInfo(name=value.name or "", dtype=dtype, shape=shape)


def _must_match(kind: str, mine: dict[str, str], theirs: dict[str, str]) -> None:
    for name, dtype in theirs.items():
        if name not in mine:
            raise ModelError(
                f"it has no {kind} {name!r}, which the spec's model has; it has {', '.join(mine) or 'none'}"
            )
        if mine[name] != dtype:
            raise ModelError(f"its {kind} {name!r} is {mine[name]}; the spec's model has {dtype}")
    more = [name for name in mine if name not in theirs]
    if more:
        raise ModelError(f"it has an {kind} {more[0]!r} that the spec's model does not have")
