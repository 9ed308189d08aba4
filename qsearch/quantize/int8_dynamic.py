"""int8-dynamic: uint8 activations whose range is found at each inference, int8 weights per channel.

NOTE: written with the standard operators, in the order (product → Cast → Mul by the product of the
two scales → Add) that ONNX Runtime fuses into DynamicQuantizeMatMul, or into MatMulIntegerToFloat
where several layers share one quantized input. Weights have no zero point: they are symmetric.
"""

from __future__ import annotations

import onnx
from onnx.helper import make_node

from qsearch.graph.sites import Role, Site
from qsearch.quantize.addends import add_bias, attribute, bias_values, made_by
from qsearch.quantize.rewrite import Rewrite
from qsearch.quantize.weights import stored_name


def rewrite_dynamic(rewrite: Rewrite, site: Site) -> None:
    """Replace one node by its integer form."""
    source, name = rewrite.node(site.node), made_by(site)
    activation = transposed_activation(rewrite, site, source)
    codes, scale, zero = _quantized(rewrite, activation)
    weight, weight_scale = stored_name(site, "int8"), stored_name(site, "scale")
    rewrite.stored(weight)
    bias = bias_values(rewrite, site)
    if site.role is Role.CONV:
        product = make_node("ConvInteger", [codes, weight, zero], [f"{name}/int32"], f"{name}/integer")
        product.attribute.extend(source.attribute)
        # One number per channel stands on axis 1 of the result.
        shape = (-1, *[1] * (len(rewrite.shape(weight)) - 2))
        weight_scale = rewrite.constant(f"{weight_scale}/qsearch/shaped", rewrite.array(weight_scale).reshape(shape))
        bias = None if bias is None else bias.reshape(shape)
    else:
        product = make_node("MatMulInteger", [codes, weight, zero], [f"{name}/int32"], f"{name}/integer")
        rewrite.stored(weight_scale)
    cast = make_node("Cast", [f"{name}/int32"], [f"{name}/float"], f"{name}/cast", to=onnx.TensorProto.FLOAT)
    factor = make_node("Mul", [scale, weight_scale], [f"{name}/factor"], f"{name}/scales")
    last = make_node("Mul", [f"{name}/float", f"{name}/factor"], [source.output[0]], f"{name}/rescale")
    rewrite.replace(site.node, [product, cast, factor, *add_bias(rewrite, site, last, bias)])


def transposed_activation(rewrite: Rewrite, site: Site, source: onnx.NodeProto) -> str:
    """The activation as [M, K]: a Gemm with transA gets a Transpose before it."""
    if site.op != "Gemm" or not attribute(source, "transA", 0):
        return site.activation
    name = f"{site.activation}/qsearch/transposed"
    if rewrite.once(name):
        rewrite.after(site.activation, [make_node("Transpose", [site.activation], [name], name, perm=[1, 0])])
    return name


def _quantized(rewrite: Rewrite, tensor: str) -> tuple[str, str, str]:
    """Codes, scale and zero point of a tensor, made once for all its readers."""
    names = (f"{tensor}/qsearch/dynamic_codes", f"{tensor}/qsearch/dynamic_scale", f"{tensor}/qsearch/dynamic_zero")
    if rewrite.once(names[0]):
        rewrite.after(tensor, [make_node("DynamicQuantizeLinear", [tensor], list(names), f"{tensor}/qsearch/dynamic")])
    return names
