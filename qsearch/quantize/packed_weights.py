"""What is stored of a weight under int8-weight, int4-weight and binary.

| part                              | MatMul, Gemm                               | elsewhere                        |
|-----------------------------------|--------------------------------------------|----------------------------------|
| `bytes`, `nibbles`, `signs`       | uint8 [N, blocks, bytes of a block]; value | the same of rows, but eight bits |
|                                   | + 128, + 8, and + 2 (two bits)             | are int8, and a sign is one bit  |
| `byte_`, `nibble_`, `sign_scales` | float32 [N, blocks]                        | float32 [rows, blocks, 1]        |

A row is what one output channel sums over, of a Gather one row of the table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.choices import Choice
from qsearch.graph.sites import Role, Site
from qsearch.graph.storage import Packing, packing
from qsearch.quantize.block_weights import pack_bits, quantize_blocks

#: choice → names of its codes and scales; `blocks` are those of ternary matrices, which lie alike
PARTS = {
    Choice.INT8_WEIGHT: ("bytes", "byte_scales"),
    Choice.INT4_WEIGHT: ("nibbles", "nibble_scales"),
    Choice.BINARY: ("signs", "sign_scales"),
    Choice.TERNARY: ("blocks", "scales"),
}


def quantize_packed(choice: Choice, site: Site, weight: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Part → array of a weight, rounded to nearest; a matrix as [K, N], with alpha inside."""
    packed = packing(choice, site, _shape(site, weight))
    return packed_parts(choice, site, packed, *quantize_blocks(choice, _rows(site, weight), packed.block))


def packed_parts(
    choice: Choice, site: Site, packed: Packing, codes: NDArray[np.int8], scales: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """Part → array for codes [rows, columns] and scales [rows, blocks].

    NOTE: a block without a code has the scale 0, whatever it was fitted with: the 8-bit kernel subtracts the
    zero point in float behind the sum, and leaves a rest times the scale.
    """
    own, factors = PARTS[choice]
    filled = np.zeros((packed.rows, packed.blocks * packed.block), dtype=np.int8)
    filled[:, : packed.columns] = codes
    blocked = filled.reshape(packed.rows, packed.blocks, packed.block)
    scales = np.where(blocked.any(axis=2), scales, np.float32(0))
    if site.role is Role.MATRIX:
        stored = (blocked.astype(np.int16) + 2 ** (packed.bits - 1)).astype(np.uint8)
        return {own: pack_bits(stored, packed.bits), factors: scales}
    scales = scales[..., np.newaxis]
    if packed.bits == 8:
        return {own: blocked, factors: scales}
    stored = (blocked > 0) if packed.bits == 1 else blocked + 8
    return {own: pack_bits(stored.astype(np.uint8), packed.bits), factors: scales}


def moved_axis(site: Site, rank: int) -> int:
    """Of a STORED weight, the axis that is contracted, which its rows have last."""
    return rank - 1 if site.channel_axis == rank - 2 else rank - 2


def _rows(site: Site, weight: NDArray[np.float32]) -> NDArray[np.float32]:
    if site.role is Role.MATRIX:
        return np.ascontiguousarray(weight.T)
    if site.role is Role.STORED:
        axis = moved_axis(site, weight.ndim)
        return np.ascontiguousarray(np.moveaxis(weight, axis, -1)).reshape(-1, weight.shape[axis])
    return weight.reshape(len(weight), -1)


def _shape(site: Site, weight: NDArray[np.float32]) -> tuple[int, ...]:
    """As the model stores it: the second axis of a transposed Gemm's matrix is its first there."""
    return weight.shape[::-1] if site.transposed else weight.shape
