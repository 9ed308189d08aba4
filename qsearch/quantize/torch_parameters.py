"""Weights of an exported graph by the names of their torch parameters.

Exporters transpose weights and number what they make, so that a linear layer's weight is called val_37 and
its node node_MatMul_36. Equal values tell which parameter it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx_ir as ir

from qsearch.contracts.task import Array

#: ends the name of a weight that is a parameter transposed
TRANSPOSED = ".T"


def name_after_parameters(model: ir.Model, module: Any) -> dict[str, str]:
    """Rename weights to their parameters, and the nodes that read one to their modules, in place.

    A weight that the exporter computed from several parameters (a convolution that took in its batch
    normalisation) has no parameter's values. It keeps the exporter's name, which often is the parameter's.

    Args:
        model: as torch's exporter made it.
        module: torch.nn.Module that was exported.

    Returns:
        Weight → parameter.
    """
    parameters = dict(_parameters(module))
    by_value: dict[str, tuple[str, str]] = {}
    for name, values in parameters.items():
        by_value.setdefault(_digest(values), (name, ""))
    for name, values in parameters.items():
        if values.ndim == 2:
            by_value.setdefault(_digest(values.T), (name, TRANSPOSED))
    found: dict[str, str] = {}
    for value in list(model.graph.initializers.values()):
        tensor = value.const_value
        if tensor is None or len(tensor.shape) < 2 or not tensor.dtype.is_floating_point():
            continue
        parameter, ending = by_value.get(_digest(tensor.numpy().astype(np.float32)), ("", ""))
        named = parameter + ending
        if parameter and (value.name == named or named not in model.graph.initializers):
            value.name = named
            found[named] = parameter
    _name_nodes(model, set(parameters), found)
    return found


def _name_nodes(model: ir.Model, parameters: set[str], found: dict[str, str]) -> None:
    """Node ← the module of its weight; a second node of one module gets a number."""
    taken = {node.name for node in model.graph if node.name}
    for value in model.graph.initializers.values():
        parameter = found.get(str(value.name), str(value.name))
        if parameter not in parameters:
            continue
        base = parameter.rpartition(".")[0] or parameter
        for use in value.uses():
            number, name = 2, base
            while name in taken:
                number, name = number + 1, f"{base}_{number}"
            taken.add(name)
            use.node.name = name


def _parameters(module: Any) -> Iterator[tuple[str, Array]]:
    """Name → values of each parameter with two axes or more, float32; shared ones once, by their first name."""
    for name, parameter in module.named_parameters():
        if parameter.dim() >= 2 and parameter.is_floating_point():
            yield name, parameter.detach().float().cpu().numpy()


def _digest(values: Array) -> str:
    return hashlib.sha256(repr(values.shape).encode() + np.ascontiguousarray(values).tobytes()).hexdigest()
