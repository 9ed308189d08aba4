"""A torch module to an .onnx file, and what torch itself computes, for comparison.

NOTE: the exporter notes where in the Python sources each node came from, paths included. Those notes are
removed: they would make equal modules give unequal files, and tell a reader of the file what the
machine's folders are called.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from qsearch.contracts.errors import ModelError, TaskError
from qsearch.contracts.task import Array
from qsearch.contracts.torch_model import TorchModel
from qsearch.quantize.torch_parameters import name_after_parameters

#: the newest opset that torch's exporter writes by itself; normalising raises it where a choice needs more
OPSET = 20
#: largest model that is written as one file; protobuf ends at 2 GiB
_ONE_FILE = 1_900_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchExport:
    """What is known of an exported module beside its file."""

    #: output → what the module computes in torch for the example inputs
    expected: Mapping[str, Array]
    #: weight of the graph → torch parameter with the same values
    parameters: Mapping[str, str]
    #: torch's version
    version: str


def export_torch(model: TorchModel, out: Path) -> TorchExport:
    """Write `model.onnx` (and `model.onnx.data` where it is large) into `out`, a folder that is made.

    Raises:
        TaskError: the record is not what `TorchModel` promises.
        ModelError: torch cannot export the module; its reason is said.
    """
    import torch

    _check(model, torch)
    module = model.module.eval()
    feeds = {name: torch.from_numpy(np.array(value)) for name, value in model.inputs.items()}
    with torch.no_grad():
        expected = _outputs(module(**feeds), model.outputs, torch)
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                kwargs=feeds,
                output_names=list(model.outputs),
                dynamic_shapes={name: dict.fromkeys(axes, torch.export.Dim.DYNAMIC) for name, axes in _open(model)},
                opset_version=OPSET,
                dynamo=True,
            )
    except Exception as error:  # the exporter raises whatever the capture of the graph met
        raise ModelError(
            f"torch cannot export {type(module).__name__}: {_cause(error)}",
            "Change the module so that torch.export takes it, or export it yourself and give `model: {path: ...}`.",
        ) from error
    if program is None:
        raise ModelError(f"torch exported nothing for {type(module).__name__}")
    graph: ir.Model = program.model
    parameters = name_after_parameters(graph, module)
    _name_axes(graph, model)
    _forget(graph)
    out.mkdir(parents=True, exist_ok=True)
    _save(graph, out / "model.onnx")
    return TorchExport(expected=expected, parameters=parameters, version=str(torch.__version__))


def _check(model: TorchModel, torch: Any) -> None:
    if not isinstance(model.module, torch.nn.Module):
        raise TaskError(f"TorchModel.module is {type(model.module).__name__}; expected a torch.nn.Module")
    if not model.inputs:
        raise TaskError("TorchModel.inputs is empty; expected an example for each argument of forward")
    unknown = sorted(set(model.dynamic) - set(model.inputs))
    if unknown:
        raise TaskError(f"TorchModel.dynamic names {unknown}; the inputs are {sorted(model.inputs)}")
    for name, value in model.inputs.items():
        if not isinstance(value, np.ndarray):
            raise TaskError(f"TorchModel.inputs[{name!r}] is {type(value).__name__}; expected a numpy array")
        for axis in model.dynamic.get(name, {}):
            if not 0 <= axis < value.ndim:
                raise TaskError(f"TorchModel.dynamic[{name!r}] names axis {axis} of an input with {value.ndim} axes")
            if value.shape[axis] < 2:
                # torch.export takes a size of 1 for a constant, whatever it is told
                raise TaskError(
                    f"TorchModel.inputs[{name!r}] has size {value.shape[axis]} on its open axis {axis}; "
                    "give an example of size 2 or more"
                )


def _open(model: TorchModel) -> Iterator[tuple[str, Mapping[int, str]]]:
    """Input → open axes with their names; by default the first axis of an example with several samples."""
    for name, value in model.inputs.items():
        batch = {0: "batch"} if value.ndim and value.shape[0] > 1 else {}
        yield name, model.dynamic.get(name, batch)


def _outputs(found: Any, names: tuple[str, ...], torch: Any) -> dict[str, Array]:
    several = list(found.values()) if isinstance(found, Mapping) else found
    values = list(several) if isinstance(several, (tuple, list)) else [several]
    if len(values) != len(names) or not all(isinstance(value, torch.Tensor) for value in values):
        kinds = ", ".join(type(value).__name__ for value in values)
        raise TaskError(f"forward returned {len(values)} values ({kinds}); TorchModel.outputs names {len(names)}")
    return {name: value.detach().cpu().numpy() for name, value in zip(names, values, strict=True)}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter prints its progress and warns of its own future; the user asked for neither."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_axes(graph: ir.Model, model: TorchModel) -> None:
    """The user's names for open axes instead of torch's symbols, wherever a symbol stands."""
    names: dict[str, str] = {}
    axes_of = dict(_open(model))
    for value in graph.graph.inputs:
        for axis, size in axes_of[str(value.name)].items():
            symbol = None if value.shape is None else value.shape[axis]
            if isinstance(symbol, ir.SymbolicDim) and symbol.value:
                names.setdefault(str(symbol.value), size)
    for value in (*graph.graph.inputs, *(v for node in graph.graph.all_nodes() for v in node.outputs)):
        if value.shape is not None:
            value.shape = ir.Shape([_renamed(size, names) for size in value.shape])


def _renamed(size: int | ir.SymbolicDim, names: Mapping[str, str]) -> int | str | None:
    if isinstance(size, int):
        return size
    return names.get(str(size.value), str(size.value)) if size.value else None


def _forget(graph: ir.Model) -> None:
    """Remove what the exporter noted on the model and all that is in it."""
    for part in graph.graphs():
        values = (*part.inputs, *part.initializers.values(), *(v for node in part for v in node.outputs))
        for noted in (part, *part, *values):
            noted.metadata_props.clear()
            noted.doc_string = None
    graph.metadata_props.clear()
    graph.doc_string = None


def _save(graph: ir.Model, path: Path) -> None:
    sizes = (v.const_value.nbytes for v in graph.graph.initializers.values() if v.const_value is not None)
    ir.save(graph, path, external_data=f"{path.name}.data" if sum(sizes) > _ONE_FILE else None)


def _cause(error: BaseException) -> str:
    """The first line of the deepest error: those above it only say that a step failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:500]
