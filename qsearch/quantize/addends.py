"""What a Gemm or a Conv adds to its product."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_node

from qsearch.graph.sites import Site
from qsearch.quantize.rewrite import Rewrite


def made_by(site: Site) -> str:
    """Prefix of what a node is rewritten to. Its last part keeps a node apart from a tensor of the same name."""
    return f"{site.node}/qsearch/node"


def attribute(node: onnx.NodeProto, name: str, default: float) -> float:
    """A number among a node's attributes."""
    found = [a for a in node.attribute if a.name == name]
    return onnx.helper.get_attribute_value(found[0]) if found else default


def bias_values(rewrite: Rewrite, site: Site) -> NDArray[np.float32] | None:
    """The constant addend of a node, Gemm's beta applied; None when there is none."""
    if not site.bias:
        return None
    beta = attribute(rewrite.flow.nodes[site.node], "beta", 1.0) if site.op == "Gemm" else 1.0
    values: NDArray[np.float32] = rewrite.array(site.bias)
    return values if beta == 1.0 else values * np.float32(beta)


def add_bias(
    rewrite: Rewrite, site: Site, product: onnx.NodeProto, constant: NDArray[np.float32] | None
) -> list[onnx.NodeProto]:
    """The product, and what adds the rest to it; the last node writes what the source node wrote.

    Args:
        rewrite: the graph.
        site: Conv or Gemm.
        product: its output is renamed when something is added.
        constant: what is still to be added; a Gemm's computed addend is added in any case.
    """
    source, name = rewrite.flow.nodes[site.node], made_by(site)
    output = source.output[0]
    computed = source.input[2] if len(source.input) > 2 and source.input[2] and not site.bias else ""
    nodes = [product]
    if constant is None and not computed:
        product.output[0] = output
        return nodes
    product.output[0] = f"{name}/product"
    beta = attribute(source, "beta", 1.0) if site.op == "Gemm" else 1.0
    if constant is None:
        addend = computed
        if beta != 1.0:
            factor = rewrite.constant(f"{name}/beta", np.float32(beta))
            addend = f"{name}/addend"
            nodes.append(make_node("Mul", [computed, factor], [addend], f"{name}/scale_addend"))
    elif beta == 1.0 and constant.shape == rewrite.shape(site.bias):
        addend = site.bias
    else:
        addend = rewrite.constant(f"{name}/addend", constant)
    nodes.append(make_node("Add", [product.output[0], addend], [output], f"{name}/add"))
    return nodes
