"""tdq: int8 weights as int8-static has them, and activations whose scale and zero point follow the time input.

The scheme is Temporal Dynamic Quantization (So et al., NeurIPS 2023) with a table for each activation, see
`timing`. The step is found once from the time input; every scale, zero point and bias is looked up by it.

NOTE: written with integer operators (QLinearConv, MatMulIntegerToFloat) and not as Q/DQ pairs: ONNX Runtime
makes integer kernels of pairs only where scales are constant, and the kernels themselves take computed ones.

NOTE: a batch has one time. Where a batch of unlike times is fed nevertheless, the first one's step is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_node

from qsearch.contracts.errors import DataError
from qsearch.graph.sites import Role, Site
from qsearch.graph.storage import vector_bias
from qsearch.quantize.addends import add_bias, bias_values, made_by
from qsearch.quantize.int8_dynamic import transposed_activation
from qsearch.quantize.int8_static import dequantized_weight
from qsearch.quantize.ranges import Range
from qsearch.quantize.rewrite import Rewrite
from qsearch.quantize.timing import TimeRanges
from qsearch.quantize.weights import stored_name

_STEP = "qsearch/step"


def rewrite_tdq(rewrite: Rewrite, sites: Sequence[Site], times: TimeRanges) -> None:
    """Replace the nodes of all tdq layers, given in graph order."""
    tables = _Tables(rewrite, times)
    results = {rewrite.flow.result(s) for s in sites if s.role is Role.CONV and _integer(rewrite, s)}
    for site in sites:
        passed = rewrite.flow.upstream(site.activation)
        # what merely moves a result of an integer kernel has its scale: quantizing again changes no value
        source = next((tensor for tensor in passed if tensor in results), site.activation)
        if site.role is not Role.CONV:
            _matrix(rewrite, site, source, tables)
        elif _integer(rewrite, site):
            _conv(rewrite, site, source, tables)
        else:
            _float_conv(rewrite, site, source, tables)


class _Tables:
    """Scale, zero point and codes of activations at the step that a run is in."""

    def __init__(self, rewrite: Rewrite, times: TimeRanges) -> None:
        self._rewrite = rewrite
        self._ranges: Mapping[str, tuple[Range, ...]] = times.ranges
        self._steps = len(times.edges) + 1
        if self._steps > 1:
            rewrite.first(_find_step(rewrite, times))

    def scales(self, tensor: str) -> NDArray[np.float32]:
        """Of each step, float32 [steps]."""
        return np.array([scale for scale, _ in self._of(tensor)], dtype=np.float32)

    def now(self, name: str, table: NDArray[Any]) -> str:
        """The row of a table [steps, ...] that this run's step has."""
        if self._steps == 1:
            return self._rewrite.constant(name, table[0])
        if self._rewrite.once(name):
            rows = self._rewrite.constant(f"{name}_by_step", table)
            self._rewrite.first([make_node("Gather", [rows, _STEP], [name], name, axis=0)])
        return name

    def parameters(self, tensor: str) -> tuple[str, str]:
        """Names of the scale, float32 scalar, and the zero point, uint8 scalar, of a tensor."""
        zeros = np.array([zero for _, zero in self._of(tensor)], dtype=np.uint8)
        return self.now(f"{tensor}/qsearch/tdq_scale", self.scales(tensor)), self.now(
            f"{tensor}/qsearch/tdq_zero", zeros
        )

    def codes(self, tensor: str, source: str) -> str:
        """uint8 codes of a tensor with the parameters of `source`, made once for all its readers."""
        name = codes_of(tensor)
        if self._rewrite.once(name):
            inputs = [tensor, *self.parameters(source)]
            self._rewrite.after(tensor, [make_node("QuantizeLinear", inputs, [name], f"{tensor}/qsearch/tdq_quantize")])
        return name

    def _of(self, tensor: str) -> list[tuple[np.float32, np.uint8]]:
        if tensor not in self._ranges:
            raise DataError(f"the prepared model has no range for the tensor {tensor!r}", "Prepare the model again.")
        return [found.parameters() for found in self._ranges[tensor]]


def codes_of(tensor: str) -> str:
    """The name of a tensor's codes."""
    return f"{tensor}/qsearch/tdq_codes"


def _find_step(rewrite: Rewrite, times: TimeRanges) -> list[onnx.NodeProto]:
    """How many edges lie below the time, int64 scalar."""
    edges = rewrite.constant(f"{_STEP}/edges", np.array(times.edges, dtype=np.float32))
    flat = rewrite.constant(f"{_STEP}/flat", np.array([-1], dtype=np.int64))
    head = rewrite.constant(f"{_STEP}/head", np.array(0, dtype=np.int64))
    names = {part: f"{_STEP}/{part}" for part in ("float", "vector", "time", "below", "count")}
    return [
        make_node("Cast", [times.input], [names["float"]], names["float"], to=onnx.TensorProto.FLOAT),
        make_node("Reshape", [names["float"], flat], [names["vector"]], names["vector"]),
        make_node("Gather", [names["vector"], head], [names["time"]], names["time"], axis=0),
        make_node("Less", [edges, names["time"]], [names["below"]], names["below"]),
        make_node("Cast", [names["below"]], [names["count"]], names["count"], to=onnx.TensorProto.INT64),
        make_node("ReduceSum", [names["count"]], [_STEP], _STEP, keepdims=0),
    ]


def _integer(rewrite: Rewrite, site: Site) -> bool:
    """Whether the integer convolution can take the bias: a constant vector, or none."""
    inputs = rewrite.flow.nodes[site.node].input
    if not site.bias:
        return len(inputs) < 3 or not inputs[2]
    return vector_bias(rewrite.shape(site.bias), rewrite.shape(stored_name(site, "scale"))[0])


def _conv(rewrite: Rewrite, site: Site, source: str, tables: _Tables) -> None:
    """QLinearConv, with a Relu behind it inside: no code lies below the zero point of a range from 0."""
    node, flow, name = rewrite.node(site.node), rewrite.flow, made_by(site)
    result, own = flow.result(site), flow.nodes[site.node].output[0]
    behind = flow.behind(own) if result != own else None
    inside = behind is not None and behind.op_type == "Relu"
    written = result if inside else own
    weight = [rewrite.stored(stored_name(site, part)) for part in ("int8", "scale", "zero")]
    inputs = [tables.codes(site.activation, source), *tables.parameters(source), *weight, *tables.parameters(result)]
    bias = bias_values(rewrite, site)
    if bias is not None:
        inputs.append(tables.now(f"{name}/tdq_bias", _bias_codes(rewrite, site, bias, tables.scales(source))))
    codes = codes_of(written)
    rewrite.once(codes)
    product = make_node("QLinearConv", inputs, [codes], f"{name}/integer")
    product.attribute.extend(node.attribute)
    back = make_node("DequantizeLinear", [codes, *tables.parameters(result)], [written], f"{name}/dequantize")
    if inside and behind is not None:
        rewrite.replace(site.node, [])
        rewrite.replace(behind.name, [product, back])
    else:
        rewrite.replace(site.node, [product, back])


def _float_conv(rewrite: Rewrite, site: Site, source: str, tables: _Tables) -> None:
    """A bias that is computed has no place in the integer kernel: the same numbers, multiplied in float."""
    node = rewrite.node(site.node)
    name = f"{site.activation}/qsearch/tdq_dequantized"
    codes = tables.codes(site.activation, source)
    if rewrite.once(name):
        inputs = [codes, *tables.parameters(source)]
        rewrite.after(codes, [make_node("DequantizeLinear", inputs, [name], name)])
    node.input[0], node.input[1] = name, dequantized_weight(rewrite, site)
    rewrite.replace(site.node, [node])


def _matrix(rewrite: Rewrite, site: Site, source: str, tables: _Tables) -> None:
    node, name = rewrite.node(site.node), made_by(site)
    codes = tables.codes(transposed_activation(rewrite, site, node), source)
    scale, zero = tables.parameters(source)
    weight, factors = (rewrite.stored(stored_name(site, part)) for part in ("int8", "scale"))
    columns = rewrite.shape(stored_name(site, "scale"))[0]
    bias = bias_values(rewrite, site)
    inputs = [codes, weight, scale, factors, zero]
    if bias is not None and vector_bias(bias.shape, columns):
        full = np.broadcast_to(bias.reshape(-1), (columns,)).astype(np.float32)
        inputs += ["", rewrite.constant(f"{name}/tdq_bias", full)]
        bias = None
    product = make_node("MatMulIntegerToFloat", inputs, [node.output[0]], f"{name}/integer", domain="com.microsoft")
    rewrite.replace(site.node, add_bias(rewrite, site, product, bias))


def _bias_codes(
    rewrite: Rewrite, site: Site, bias: NDArray[np.float32], scales: NDArray[np.float32]
) -> NDArray[np.int32]:
    """int32 [steps, channels]: the kernel adds them in steps of activation scale times weight scale."""
    factors = rewrite.array(stored_name(site, "scale"))
    full = np.broadcast_to(bias.reshape(-1), factors.shape).astype(np.float64)
    step = (scales[:, np.newaxis] * factors).astype(np.float32)
    codes: NDArray[np.int32] = np.clip(np.round(full / step), -(2**31), 2**31 - 1).astype(np.int32)
    return codes
