"""ternary: two bits a weight, float activations.

NOTE: MatMul and Gemm become the 2-bit MatMulNBits of ONNX Runtime, by default with accuracy_level 4
(see `lowering`): the kernel quantizes each row of the activation to int8 per block itself, which is 50
times faster than level 0.
Conv, Gather and MatMuls whose weight stands on the left are stored in two bits and dequantized.
The standard's own way, INT2 with DequantizeLinear, needs opset 25; raising a model's opset that far
replaces operators and moves its outputs. So the stored form is uint8, four codes a byte, and a
256 × 4 table turns each byte into four numbers with a Gather: valid at every opset from 13 on, folded
by the runtime when the model is loaded for a Conv, and executed for the rows looked up in a Gather.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx.helper import make_node

from qsearch.contracts.choices import Choice
from qsearch.graph.sites import Role, Site
from qsearch.quantize.addends import made_by
from qsearch.quantize.rewrite import Rewrite
from qsearch.quantize.ternary_weights import look_up_table
from qsearch.quantize.weight_only import rewrite_matrix
from qsearch.quantize.weights import stored_name

_TABLE = "qsearch/ternary/table"


def rewrite_ternary(rewrite: Rewrite, site: Site) -> None:
    """Replace one node, or its weight, by the 2-bit form."""
    if site.role is Role.MATRIX:
        rewrite_matrix(rewrite, site, Choice.TERNARY)
    elif site.role is Role.TABLE:
        _rows(rewrite, site)
    else:
        node = rewrite.node(site.node)
        node.input[site.weight_index] = _whole(rewrite, site)
        rewrite.replace(site.node, [node])


def _rows(rewrite: Rewrite, site: Site) -> None:
    """Look up packed rows, then unpack them: only what is read is dequantized."""
    name, source = made_by(site), rewrite.node(site.node)
    packed, scales = (rewrite.stored(stored_name(site, part)) for part in ("packed", "scales"))
    columns, padded = rewrite.shape(site.weight)[1], 4 * rewrite.shape(packed)[1]
    width = rewrite.constant(f"qsearch/shape/{padded}", np.array([padded], dtype=np.int64))
    nodes = [
        make_node("Gather", [packed, site.activation], [f"{name}/bytes"], f"{name}/look_up"),
        *_unpack(rewrite, f"{name}/bytes", f"{name}/quads", name),
        make_node("Shape", [site.activation], [f"{name}/leading"], f"{name}/leading"),
        make_node("Concat", [f"{name}/leading", width], [f"{name}/shape"], f"{name}/shape", axis=0),
        make_node(
            "Reshape",
            [f"{name}/quads", f"{name}/shape"],
            [f"{name}/padded"],
            f"{name}/reshape",
        ),
        *_cut(rewrite, f"{name}/padded", f"{name}/signs", columns if columns != padded else None, -1),
        make_node("Gather", [scales, site.activation], [f"{name}/scale"], f"{name}/look_up_scale"),
    ]
    signs = f"{name}/signs" if columns != padded else f"{name}/padded"
    nodes.append(make_node("Mul", [signs, f"{name}/scale"], [source.output[0]], f"{name}/rescale"))
    rewrite.replace(site.node, nodes)


def _whole(rewrite: Rewrite, site: Site) -> str:
    """The dequantized weight, made of constants alone, so that a runtime computes it once."""
    name = stored_name(site, "ternary")
    if not rewrite.once(name):
        return name
    packed, scales = (rewrite.stored(stored_name(site, part)) for part in ("packed", "scales"))
    shape = rewrite.shape(site.weight)
    size, padded = math.prod(shape), 4 * rewrite.shape(packed)[0]
    flat = rewrite.constant("qsearch/shape/flat", np.array([-1], dtype=np.int64))
    target = rewrite.constant(f"{name}/shape", np.array(shape, dtype=np.int64))
    cut = size if size != padded else None
    rewrite.first(
        [
            *_unpack(rewrite, packed, f"{name}/quads", name),
            make_node("Reshape", [f"{name}/quads", flat], [f"{name}/padded"], f"{name}/flatten"),
            *_cut(rewrite, f"{name}/padded", f"{name}/flat", cut, 0),
            make_node(
                "Reshape",
                [f"{name}/padded" if cut is None else f"{name}/flat", target],
                [f"{name}/signs"],
                f"{name}/reshape",
            ),
            make_node("Mul", [f"{name}/signs", scales], [name], f"{name}/rescale"),
        ]
    )
    return name


def _unpack(rewrite: Rewrite, packed: str, quads: str, name: str) -> list[onnx.NodeProto]:
    """uint8 [...] → float32 [..., 4] in {−1, 0, 1}."""
    table = rewrite.constant(_TABLE, look_up_table())
    return [
        make_node("Cast", [packed], [f"{name}/indices"], f"{name}/to_indices", to=onnx.TensorProto.INT32),
        make_node("Gather", [table, f"{name}/indices"], [quads], f"{name}/unpack"),
    ]


def _cut(rewrite: Rewrite, source: str, target: str, length: int | None, axis: int) -> list[onnx.NodeProto]:
    """Drop the padding of the last byte; nothing when there is none."""
    if length is None:
        return []
    parts = [
        rewrite.constant(f"qsearch/shape/{number}", np.array([number], dtype=np.int64)) for number in (0, length, axis)
    ]
    return [make_node("Slice", [source, *parts], [target], target)]
