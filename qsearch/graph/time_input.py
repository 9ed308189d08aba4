"""The input that tells a model which step of its loop it is in: the noise level of a diffusion model, a time step."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from qsearch.contracts.choices import TIMED, Choice
from qsearch.contracts.errors import ModelError, Unsupported

_FLOATS = {ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE}
_INTEGERS = {ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT8}


def check_time_input(model: ir.Model, name: str, choices: Sequence[Choice]) -> None:
    """Refuse a time input that the model does not have, or that holds more than one number per sample.

    Args:
        model: the source or its normal form.
        name: what the user calls the time input; empty = none was named.
        choices: what the spec allows.

    Raises:
        Unsupported: a choice that needs a time input, and none is named.
        ModelError: no such input, or one that is no number per sample, by name.
    """
    wanting = [choice for choice in choices if choice in TIMED]
    if not name:
        if wanting:
            raise Unsupported(
                f"the choice {wanting[0].value!r} needs the model's time input, and none is named",
                "Write model: {..., time_input: NAME}, or leave the choice out.",
            )
        return
    inputs = {value.name: value for value in model.graph.inputs}
    if name not in inputs:
        known = ", ".join(str(known) for known in inputs)
        raise ModelError(f"the model has no input {name!r} that could be its time input", f"It has: {known}")
    found = inputs[name]
    if found.dtype not in _FLOATS | _INTEGERS:
        dtype = "of unknown type" if found.dtype is None else found.dtype.name.lower()
        raise ModelError(f"the time input {name!r} is {dtype}; expected floats or integers")
    if found.shape is not None and len(found.shape) > 1:
        shape = [s if isinstance(s, int) else s.value for s in found.shape]
        raise ModelError(f"the time input {name!r} is {shape}; expected a scalar, or one number per sample")
