"""What `inspect` says of a model file."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx_ir as ir

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import ModelError
from qsearch.contracts.layer import Inspection, Layer
from qsearch.graph.layers import find_layers
from qsearch.graph.load import external_files, load_model
from qsearch.graph.normalise import normalise
from qsearch.graph.signature import tensor_info
from qsearch.graph.time_input import check_time_input


def inspect_model(
    path: Path,
    *,
    capabilities: Mapping[str, Sequence[Choice]],
    choices: Sequence[Choice],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    time_input: str = "",
) -> tuple[Inspection, tuple[str, ...]]:
    """Layers, sizes and inputs of the model in normal form, and notes; nothing is run.

    Raises:
        ModelError: the file cannot be read, has nothing to quantize, or has no such time input.
        Unsupported: a choice, or an opset, that cannot be honoured.
        DataError: `shapes` does not fit the model's inputs.
    """
    model = normalise(load_model(path))
    check_time_input(model, time_input, choices)
    layers, notes = find_layers(model, capabilities=capabilities, choices=choices, shapes=shapes)
    return describe(model, layers, notes, path), notes


def describe(model: ir.Model, layers: tuple[Layer, ...], notes: Sequence[str], path: Path) -> Inspection:
    """The inspection of a normalised model that was read from `path`.

    Raises:
        ModelError: there is no layer.
    """
    if not layers:
        why = "; ".join(notes[:3]) or "it has no Conv, Gemm, MatMul or Gather with a constant float32 weight"
        raise ModelError(f"{path}: nothing to quantize", f"{why}.")
    total = _graph_bytes(model) + sum(
        v.const_value.nbytes for g in model.graphs() for v in g.initializers.values() if v.const_value is not None
    )
    return Inspection(
        digest=digest_of_file(path),
        opset=model.opset_imports[""],
        inputs=tuple(tensor_info(value) for value in model.graph.inputs),
        outputs=tuple(tensor_info(value) for value in model.graph.outputs),
        layers=layers,
        operators=dict(sorted(Counter(n.op_type for n in ir.traversal.RecursiveGraphIterator(model.graph)).items())),
        other_bytes=total - sum(layer.bytes[Choice.FP32] for layer in layers),
    )


def digest_of_file(path: Path) -> str:
    """SHA-256 (hex) of a model file and, where it has them, its external files, by name."""
    digest = hashlib.sha256()
    for file in (path, *external_files(path)):
        if file != path:
            digest.update(os.fsencode(f"\0{file.name}\0"))
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _graph_bytes(model: ir.Model) -> int:
    """Bytes of everything but the initializers' values: what the bare graph takes when written."""
    bare = model.clone()
    for graph in bare.graphs():
        for name in list(graph.initializers):
            graph.initializers[name].const_value = None
            graph.initializers.pop(name)
    size: int = ir.to_proto(bare).ByteSize()
    return size
