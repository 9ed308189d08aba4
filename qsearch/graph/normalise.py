"""One form for all models, so that everything after it has one case to handle.

What it changes: functions are inlined; Constant nodes become initializers; initializers are no
longer graph inputs; weights behind Identity, Transpose, Cast or Reshape become plain initializers;
a constant added to a Conv's output becomes its bias; a BatchNormalization behind a Conv is folded
into it; nodes get unique names; the opset is raised to 13, the first with per-channel
DequantizeLinear, when it is lower. Nothing else: a model in this form comes back equal.
"""

from __future__ import annotations

import logging

import onnx_ir as ir
from onnx_ir.passes import common as passes
from onnxscript.version_converter import ConvertVersionPass

from qsearch.contracts.errors import ModelError, Unsupported
from qsearch.graph.absorb import absorb_into_convolutions
from qsearch.graph.constants import fold_weights
from qsearch.graph.names import name_nodes

#: First opset whose DequantizeLinear has an axis.
LOWEST_OPSET = 13
#: First IR version of opset 13.
_LOWEST_IR = 7


def normalise(model: ir.Model) -> ir.Model:
    """A new model in normal form; the argument stays as it is.

    NOTE: "within 1e-6 of the source" and not "bit-equal", because raising an opset replaces
    operators by their successors.

    Raises:
        Unsupported: the opset cannot be raised.
        ModelError: the model is not valid ONNX; the message has the checker's words.
    """
    result = model.clone()
    if result.functions:
        passes.InlinePass()(result)
        passes.RemoveUnusedFunctionsPass()(result)  # type: ignore[no-untyped-call]
    if result.opset_imports[""] < LOWEST_OPSET:
        result = _raise_opset(result)
    result.ir_version = max(result.ir_version, _LOWEST_IR)
    passes.RemoveInitializersFromInputsPass()(result)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(result)
    fold_weights(result)
    absorb_into_convolutions(result)
    name_nodes(result)
    check(result)
    return result


def check(model: ir.Model) -> None:
    """Validate after a rewrite; weights are left out, so their size does not matter.

    NOTE: the checker wants a rank for every input and output. Runtimes do not, and exporters leave
    it out, so the copy that is checked gets one.

    Raises:
        ModelError: with the checker's words.
    """
    copy = model.clone()
    for graph in copy.graphs():
        for value in (*graph.inputs, *graph.outputs):
            value.shape = value.shape if value.shape is not None else ir.Shape([])
    try:
        passes.CheckerPass()(copy)
    except Exception as error:
        cause = error.__cause__ or error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ModelError(f"the model is not valid ONNX: {lines[0][:300]}", "Export it again.") from error


def _raise_opset(model: ir.Model) -> ir.Model:
    before = model.opset_imports[""]
    logger = logging.getLogger("onnxscript.version_converter")
    level = logger.level
    # The converter warns before each fallback; whether it succeeded is checked below.
    logger.setLevel(logging.CRITICAL)
    try:
        raised = ConvertVersionPass(LOWEST_OPSET, fallback=True)(model).model
    except Exception as error:
        raise _cannot_raise(before) from error
    finally:
        logger.setLevel(level)
    if raised.opset_imports.get("", 0) < LOWEST_OPSET:
        raise _cannot_raise(before)
    return raised


def _cannot_raise(before: int) -> Unsupported:
    return Unsupported(
        f"the model has opset {before} and could not be converted to opset {LOWEST_OPSET}",
        f"Export it with opset {LOWEST_OPSET} or higher.",
    )
