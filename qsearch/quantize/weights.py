"""Each layer's weights, once per choice, in the layout that the kernels read.

| stored as          | for                      | layout                                                    |
|--------------------|--------------------------|-----------------------------------------------------------|
| `int8`, `scale`    | MatMul, Gemm             | int8 [K, N], float32 [N]; Gemm transposed, alpha inside   |
| `int8`, `scale`    | Conv                     | int8 as the weight, float32 [out]                         |
| `zero`             | the same, not dynamic    | int8 zeros, one per scale: DequantizeLinear wants them    |
| `blocks`, `scales` | ternary MatMul, Gemm     | uint8 [N, blocks, block / 4], float32 [N, blocks]         |
| `packed`, `scales` | ternary Gather           | uint8 [rows, ⌈columns / 4⌉], float32 [rows, 1]            |
| `packed`, `scales` | ternary Conv, left MatMul| uint8 [⌈size / 4⌉], float32 that broadcasts to the weight |

Those of int8-weight, int4-weight and binary: see `packed_weights`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.choices import TIMED, Choice
from qsearch.graph.sites import Role, Site
from qsearch.graph.storage import ternary_block
from qsearch.quantize.int8_weights import quantize_int8
from qsearch.quantize.packed_weights import quantize_packed
from qsearch.quantize.ternary_weights import pack, quantize_ternary


def stored_name(site: Site, part: str) -> str:
    """Name of a stored array of the site's weight, in the tensor file and in assembled graphs."""
    return f"qsearch/{site.weight}/{part}"


def quantize_weight(
    choice: Choice, site: Site, weight: NDArray[np.float32], bits: int, floor: NDArray[np.float32] | None = None
) -> dict[str, NDArray[Any]]:
    """Part → array for one choice; fp32 needs none.

    Args:
        choice: one that the layer has.
        site: any of the layer's sites.
        weight: as stored in the model.
        bits: of the int8 codes that are multiplied with uint8, 8 or 7.
        floor: smallest of their scales, see `quantize_int8`.
    """
    if choice is Choice.FP32:
        return {}
    if choice is Choice.TERNARY:
        return _ternary(site, weight)
    if choice not in {Choice.INT8_STATIC, Choice.INT8_DYNAMIC, *TIMED}:
        return quantize_packed(choice, site, as_matrix(site, weight) if site.role is Role.MATRIX else weight)
    matrix, axis = (as_matrix(site, weight), 1) if site.role is Role.MATRIX else (weight, 0)
    return int8_parts(choice, *quantize_int8(matrix, axis, bits, floor))


def int8_parts(choice: Choice, codes: NDArray[np.int8], scale: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Part → array for int8 codes, [K, N] or as a Conv's weight, and scales [out]."""
    parts: dict[str, NDArray[Any]] = {"int8": codes, "scale": scale}
    if choice is not Choice.INT8_DYNAMIC:
        parts["zero"] = np.zeros(len(scale), dtype=np.int8)
    return parts


def ternary_parts(site: Site, codes: NDArray[np.int8], scales: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Part → array for ternary codes: [K, N] with scales [blocks, N], or as a Conv's weight with scales [out]."""
    if site.role is Role.MATRIX:
        return _packed_blocks(np.ascontiguousarray(codes.T), np.ascontiguousarray(scales.T))
    shape = (len(codes), *[1] * (codes.ndim - 1))
    return {"packed": pack((codes.reshape(-1) + 1).astype(np.uint8)), "scales": scales.reshape(shape)}


def as_matrix(site: Site, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """[K, N], with Gemm's transposition and alpha applied."""
    matrix = weight.T if site.transposed else weight
    return np.ascontiguousarray(matrix if site.alpha == 1.0 else matrix * np.float32(site.alpha))


def _ternary(site: Site, weight: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    if site.role is Role.MATRIX:
        return _blocks(as_matrix(site, weight))
    if site.role is Role.TABLE:
        codes, scales = quantize_ternary(weight)
        return {"packed": pack((codes + 1).astype(np.uint8)), "scales": scales[:, np.newaxis]}
    # Rows hold what one output channel sums over: everything but axis 0, or the axis that is contracted.
    if site.role is Role.CONV:
        rows = weight.reshape(len(weight), -1)
        codes, scales = quantize_ternary(rows)
        flat, shape = codes.reshape(-1), (len(weight), *[1] * (weight.ndim - 1))
    else:
        axis = weight.ndim - 1 if site.channel_axis == weight.ndim - 2 else weight.ndim - 2
        moved = np.moveaxis(weight, axis, -1)
        codes, scales = quantize_ternary(np.ascontiguousarray(moved).reshape(-1, weight.shape[axis]))
        flat = np.moveaxis(codes.reshape(moved.shape), -1, axis).reshape(-1)
        shape = tuple(1 if i == axis else size for i, size in enumerate(weight.shape))
    return {"packed": pack((flat + 1).astype(np.uint8)), "scales": scales.reshape(shape)}


def _blocks(matrix: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """MatMulNBits: columns in blocks along K, codes value + 2 (2 is the operator's own zero point).

    NOTE: K need not be a multiple of the block: the last block is padded with zeros, which the
    kernel multiplies with nothing.
    """
    inner, columns = matrix.shape
    block = ternary_block(inner)
    count = -(-inner // block)
    padded = np.zeros((columns, count * block), dtype=np.float32)
    padded[:, :inner] = matrix.T
    codes, scales = quantize_ternary(padded.reshape(columns * count, block))
    return _packed_blocks(codes.reshape(columns, -1), scales.reshape(columns, count))


def _packed_blocks(codes: NDArray[np.int8], scales: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """From codes [N, K], K padded with zeros or not, and scales [N, blocks]."""
    columns, count = scales.shape
    block = ternary_block(codes.shape[1])
    padded = np.zeros((columns, count * block), dtype=np.int8)
    padded[:, : codes.shape[1]] = codes
    packed = pack((padded + 2).astype(np.uint8)).reshape(columns, count, block // 4)
    return {"blocks": packed, "scales": scales}
