"""int8-weight, int4-weight and binary: packed weights, float activations.

NOTE: MatMul and Gemm become MatMulNBits of ONNX Runtime, which OpenVINO reads, too. All others are stored
packed and unpacked with Cast, Gather, Reshape and Mul: constants alone, which a runtime computes once, and
for a Gather only the rows looked up. DequantizeLinear would not do: ONNX Runtime leaves it in the graph and
executes it at every inference, it merges one between quantized tensors into an integer kernel (another
choice), and four bits of it need opset 21.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx.helper import make_node

from qsearch.contracts.choices import Choice
from qsearch.graph.sites import Role, Site
from qsearch.graph.storage import Packing, packing
from qsearch.quantize.addends import add_bias, bias_values, made_by
from qsearch.quantize.block_weights import unpacking_table
from qsearch.quantize.int8_dynamic import transposed_activation
from qsearch.quantize.lowering import Kernel, lowering_of
from qsearch.quantize.packed_weights import PARTS, moved_axis
from qsearch.quantize.rewrite import Rewrite
from qsearch.quantize.weights import stored_name


def rewrite_weight_only(rewrite: Rewrite, site: Site, choice: Choice) -> None:
    """Replace one node, or its weight, by the packed form."""
    if site.role is Role.MATRIX:
        rewrite_matrix(rewrite, site, choice)
    elif site.role is Role.TABLE:
        _rows(rewrite, site, choice)
    else:
        node = rewrite.node(site.node)
        node.input[site.weight_index] = _whole(rewrite, site, choice)
        rewrite.replace(site.node, [node])


def rewrite_matrix(rewrite: Rewrite, site: Site, choice: Choice) -> None:
    """A MatMul or Gemm of a packed choice, or a ternary one, in the lowering that is decided for it."""
    lowering, source = lowering_of(choice), rewrite.node(site.node)
    if lowering.kernel is Kernel.FLOAT:
        _float_matrix(rewrite, site, source, choice)
        return
    codes, scales = (rewrite.stored(stored_name(site, part)) for part in PARTS[choice])
    packed = packing(choice, site, rewrite.shape(site.weight))
    node = make_node(
        "MatMulNBits",
        [transposed_activation(rewrite, site, source), codes, scales],
        [source.output[0]],
        f"{made_by(site)}/{choice.value}",
        domain="com.microsoft",
        K=packed.columns,
        N=packed.rows,
        bits=packed.bits,
        block_size=packed.block,
        accuracy_level=lowering.accuracy_level,
    )
    rewrite.replace(site.node, add_bias(rewrite, site, node, bias_values(rewrite, site)))


def _float_matrix(rewrite: Rewrite, site: Site, source: onnx.NodeProto, choice: Choice) -> None:
    """[K, N], alpha inside: a Gemm keeps transA, beta and its addend."""
    source.input[site.weight_index] = _whole(rewrite, site, choice)
    kept = [a for a in source.attribute if a.name not in {"transB", "alpha"}]
    del source.attribute[:]
    source.attribute.extend(kept)
    rewrite.replace(site.node, [source])


def _whole(rewrite: Rewrite, site: Site, choice: Choice) -> str:
    """The unpacked weight, made of constants alone, so that a runtime computes it once."""
    name = stored_name(site, choice.value)
    if not rewrite.once(name):
        return name
    codes, scales = (rewrite.stored(stored_name(site, part)) for part in PARTS[choice])
    packed, shape = packing(choice, site, rewrite.shape(site.weight)), rewrite.shape(site.weight)
    nodes, values = _values(rewrite, codes, packed, site.role is Role.MATRIX, name)
    wide = packed.blocks * _width(packed)
    blocked = _constant(rewrite, (packed.rows, packed.blocks, _width(packed)))
    factors = scales
    if site.role is Role.MATRIX:
        factors = f"{name}/factors"
        shaped = _constant(rewrite, (packed.rows, packed.blocks, 1))
        nodes.append(make_node("Reshape", [scales, shaped], [factors], factors))
    nodes += [
        make_node("Reshape", [values, blocked], [f"{name}/blocked"], f"{name}/blocked"),
        make_node("Mul", [f"{name}/blocked", factors], [f"{name}/scaled"], f"{name}/rescale"),
        make_node(
            "Reshape", [f"{name}/scaled", _constant(rewrite, (packed.rows, wide))], [f"{name}/wide"], f"{name}/widen"
        ),
        *_cut(rewrite, f"{name}/wide", f"{name}/rows", packed.columns),
    ]
    rewrite.first([*nodes, *_turned(rewrite, site, shape, f"{name}/rows", name)])
    return name


def _turned(rewrite: Rewrite, site: Site, shape: tuple[int, ...], rows: str, result: str) -> list[onnx.NodeProto]:
    """Rows as the weight that the node reads."""
    if site.role is Role.MATRIX:
        return [make_node("Transpose", [rows], [result], f"{result}/turn", perm=[1, 0])]
    if site.role is Role.CONV:
        return [make_node("Reshape", [rows, _constant(rewrite, shape)], [result], f"{result}/shape")]
    axes = list(range(len(shape)))
    axes.append(axes.pop(moved_axis(site, len(shape))))
    moved = tuple(shape[axis] for axis in axes)
    return [
        make_node("Reshape", [rows, _constant(rewrite, moved)], [f"{result}/moved"], f"{result}/shape"),
        make_node("Transpose", [f"{result}/moved"], [result], f"{result}/turn", perm=np.argsort(axes).tolist()),
    ]


def _rows(rewrite: Rewrite, site: Site, choice: Choice) -> None:
    """Look up packed rows, then unpack them: only what is read is unpacked."""
    name, output = made_by(site), rewrite.node(site.node).output[0]
    codes, scales = (rewrite.stored(stored_name(site, part)) for part in PARTS[choice])
    packed = packing(choice, site, rewrite.shape(site.weight))
    wide, exact = packed.blocks * _width(packed), packed.blocks * _width(packed) == packed.columns
    nodes, values = _values(rewrite, f"{name}/bytes", packed, False, name)
    rewrite.replace(
        site.node,
        [
            make_node("Gather", [codes, site.activation], [f"{name}/bytes"], f"{name}/look_up"),
            *nodes,
            make_node("Shape", [site.activation], [f"{name}/leading"], f"{name}/leading"),
            *_reshaped(rewrite, values, f"{name}/blocked", f"{name}/leading", (packed.blocks, _width(packed))),
            make_node("Gather", [scales, site.activation], [f"{name}/scale"], f"{name}/look_up_scale"),
            make_node("Mul", [f"{name}/blocked", f"{name}/scale"], [f"{name}/scaled"], f"{name}/rescale"),
            *_reshaped(rewrite, f"{name}/scaled", output if exact else f"{name}/wide", f"{name}/leading", (wide,)),
            *([] if exact else _cut(rewrite, f"{name}/wide", output, packed.columns, f"{name}/cut")),
        ],
    )


def _values(rewrite: Rewrite, codes: str, packed: Packing, kernel: bool, name: str) -> tuple[list[onnx.NodeProto], str]:
    """Codes as float32, [..., bytes] or [..., bytes, codes in a byte], and the tensor's name.

    Args:
        kernel: eight bits are uint8 with 128 for zero, as MatMulNBits has them, and not int8.
    """
    found = f"{name}/codes"
    if packed.bits < 8:
        table = rewrite.constant(f"qsearch/unpack/{packed.bits}", unpacking_table(packed.bits))
        return [
            make_node("Cast", [codes], [f"{name}/indices"], f"{name}/to_indices", to=onnx.TensorProto.INT32),
            make_node("Gather", [table, f"{name}/indices"], [found], f"{name}/unpack"),
        ], found
    cast = make_node("Cast", [codes], [f"{name}/raw" if kernel else found], f"{name}/cast", to=onnx.TensorProto.FLOAT)
    if not kernel:
        return [cast], found
    zero = rewrite.constant("qsearch/unpack/zero8", np.float32(128))
    return [cast, make_node("Sub", [f"{name}/raw", zero], [found], f"{name}/centre")], found


def _reshaped(rewrite: Rewrite, source: str, target: str, leading: str, last: tuple[int, ...]) -> list[onnx.NodeProto]:
    """The axes of the indices, then `last`."""
    shape = f"{target}/qsearch/shape"
    return [
        make_node("Concat", [leading, _constant(rewrite, last)], [shape], shape, axis=0),
        make_node("Reshape", [source, shape], [target], f"{target}/qsearch/reshape"),
    ]


def _cut(rewrite: Rewrite, source: str, target: str, length: int, name: str = "") -> list[onnx.NodeProto]:
    """The first `length` along the last axis."""
    parts = [_constant(rewrite, (number,)) for number in (0, length, -1)]
    return [make_node("Slice", [source, *parts], [target], name or target)]


def _width(packed: Packing) -> int:
    """Codes that the bytes of one block hold, padding included."""
    return packed.block_bytes * (8 // packed.bits)


def _constant(rewrite: Rewrite, numbers: tuple[int, ...]) -> str:
    return rewrite.constant(f"qsearch/shape/{'x'.join(map(str, numbers))}", np.array(numbers, dtype=np.int64))
