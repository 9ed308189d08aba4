"""int8-static: uint8 activations with calibrated ranges, int8 weights per channel, as Q/DQ pairs.

ONNX Runtime turns the pattern into MatMulIntegerToFloat, QGemm and QLinearConv; other runtimes read
the same pairs. The float operator stays in the graph, so the file is valid for any of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx.helper import make_node

from qsearch.graph.sites import Role, Site
from qsearch.graph.storage import vector_bias
from qsearch.quantize.addends import add_bias, bias_values, made_by
from qsearch.quantize.regions import Pair
from qsearch.quantize.rewrite import Rewrite
from qsearch.quantize.weights import stored_name


def place_pairs(rewrite: Rewrite, pairs: Mapping[str, Pair]) -> None:
    """Put each Q/DQ pair behind its tensor, one pair whatever the number of readers."""
    for tensor, pair in pairs.items():
        scale = rewrite.constant(f"{tensor}/qsearch/scale", pair.scale)
        zero = rewrite.constant(f"{tensor}/qsearch/zero", pair.zero)
        source = rewrite.divert(tensor) if pair.everywhere else tensor
        target, codes = dequantized(tensor, pair), f"{tensor}/qsearch/codes"
        quantize = make_node("QuantizeLinear", [source, scale, zero], [codes], f"{tensor}/qsearch/quantize")
        dequantize = make_node("DequantizeLinear", [codes, scale, zero], [target], f"{tensor}/qsearch/dequantize")
        rewrite.after(source, [quantize, dequantize])


def dequantized(tensor: str, pair: Pair) -> str:
    """The name under which static layers read a tensor."""
    return tensor if pair.everywhere else f"{tensor}/qsearch/dequantized"


def rewrite_static(rewrite: Rewrite, site: Site, pair: Pair, merged: Mapping[str, str]) -> None:
    """Let one node read dequantized inputs.

    NOTE: ONNX Runtime makes one Gemm of MatMul·Add where the activation has two axes, or only known
    sizes, and does so before it looks for Q/DQ pairs. A Gemm with a float bias has no integer kernel,
    so there, and only there, the Add reads an int32 bias through DequantizeLinear.

    Args:
        rewrite: the graph.
        site: a static node.
        pair: of its activation.
        merged: MatMul → the Add behind it, where that happens.
    """
    node = rewrite.node(site.node)
    node.input[1 - site.weight_index] = dequantized(site.activation, pair)
    node.input[site.weight_index] = dequantized_weight(rewrite, site)
    if site.op == "MatMul":
        rewrite.replace(site.node, [node])
        if site.node in merged:
            _merged_bias(rewrite, site, pair, merged[site.node])
        return
    bias = bias_values(rewrite, site)
    channels = rewrite.shape(stored_name(site, "scale"))[0]
    del node.input[2:]
    if bias is not None and vector_bias(bias.shape, channels):
        full = np.broadcast_to(bias.reshape(-1), (channels,)).astype(np.float32)
        node.input.append(_bias(rewrite, site, pair, full))
        bias = None
    if site.op == "Gemm":
        _plain(node)
        rewrite.replace(site.node, add_bias(rewrite, site, node, bias))
    else:
        rewrite.replace(site.node, [node])


def dequantized_weight(rewrite: Rewrite, site: Site) -> str:
    """The name of a layer's weight as float, from its stored codes."""
    name = stored_name(site, "int8/dequantized")
    if rewrite.once(name):
        parts = [rewrite.stored(stored_name(site, part)) for part in ("int8", "scale", "zero")]
        axis = 1 if site.role is Role.MATRIX else 0
        rewrite.first([make_node("DequantizeLinear", parts, [name], name, axis=axis)])
    return name


def _merged_bias(rewrite: Rewrite, site: Site, pair: Pair, name: str) -> None:
    add, product = rewrite.node(name), rewrite.flow.nodes[site.node].output[0]
    index = 1 if add.input[0] == product else 0
    channels = rewrite.shape(stored_name(site, "scale"))[0]
    full = np.broadcast_to(rewrite.array(add.input[index]).reshape(-1), (channels,)).astype(np.float32)
    if np.any(np.abs(full.astype(np.float64)) > 2.0**30 * rewrite.array(stored_name(site, "scale")) * pair.scale):
        # A bias beyond int32 beside a nearly empty column: correct in float, at the price of the kernel.
        return
    add.input[index] = _bias(rewrite, site, pair, full)
    rewrite.replace(name, [add])


def _bias(rewrite: Rewrite, site: Site, pair: Pair, bias: np.ndarray) -> str:
    """int32 codes with the scale that the kernel accumulates in: activation scale times weight scale."""
    name = f"{made_by(site)}/bias"
    scale = (rewrite.array(stored_name(site, "scale")) * pair.scale).astype(np.float32)
    codes = np.clip(np.round(bias.astype(np.float64) / scale), -(2**31), 2**31 - 1).astype(np.int32)
    parts = [rewrite.constant(f"{name}/int32", codes), rewrite.constant(f"{name}/scale", scale)]
    rewrite.first([make_node("DequantizeLinear", parts, [f"{name}/dequantized"], f"{name}/dequantize", axis=0)])
    return f"{name}/dequantized"


def _plain(gemm: onnx.NodeProto) -> None:
    """A Gemm whose weight is [K, N] with alpha inside: only transA stays."""
    kept = [attribute for attribute in gemm.attribute if attribute.name == "transA"]
    del gemm.attribute[:]
    gemm.attribute.extend(kept)
