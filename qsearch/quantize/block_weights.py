"""Weights of int8-weight, int4-weight and binary: rows of blocks, each block with a scale.

Signs: Rastegari et al., "XNOR-Net", 2016 (arXiv 1603.05279).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.choices import Choice
from qsearch.quantize.int8_weights import quantize_int8

#: Steps that are tried for four bits, as a share of the one with which code −8 is the largest weight exactly.
#: 8 / 7 cuts nothing off on the other side; the smaller ones cut the largest for the sake of all others.
_STEPS = (1.0, 8.0 / 7.0, 0.95, 0.9, 0.85, 0.8)


def quantize_blocks(
    choice: Choice, rows: NDArray[np.float32], block: int
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes [rows, columns] and scales [rows, blocks], each weight rounded to nearest; real ≈ scale · code.

    Args:
        choice: int8-weight, int4-weight or binary.
        rows: finite values, shape [rows, columns].
        block: columns that share a scale; the last block may be shorter.
    """
    count, columns = rows.shape
    codes = np.empty((count, columns), dtype=np.int8)
    scales = np.empty((count, -(-columns // block)), dtype=np.float32)
    # Whole blocks at once, then the short one: padding it would change the mean of a binary block.
    whole = columns // block * block
    if whole:
        found, factors = _QUANTIZERS[choice](np.ascontiguousarray(rows[:, :whole]).reshape(-1, block))
        codes[:, :whole], scales[:, : whole // block] = found.reshape(count, whole), factors.reshape(count, -1)
    if whole < columns:
        codes[:, whole:], scales[:, -1] = _QUANTIZERS[choice](np.ascontiguousarray(rows[:, whole:]))
    return codes, scales


def quantize_int4(groups: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes −8…7 and one scale, which may be negative, per row of [rows, n].

    NOTE: sixteen codes have one more on one side. The sign of the scale puts that side where the weight of
    largest magnitude is, and of a few steps the one with the least squared error is kept. No zero points:
    they would lose a little less, but the 4-bit kernel of ONNX Runtime for zero points and one row of
    activations is reported to be wrong by 46 % on CPUs with AVX2
    and without AVX-512 (its issue tracker, July 2026).
    """
    exact = groups.astype(np.float64)
    place = np.argmax(np.abs(exact), axis=1)
    full = -exact[np.arange(len(exact)), place] / 8.0
    best, least = np.zeros_like(full), np.full(len(exact), np.inf)
    for share in _STEPS:
        scale = _stored(full * share)
        error = np.sum(np.square(exact - scale[:, np.newaxis] * int4_codes(exact, scale[:, np.newaxis])), axis=1)
        best, least = np.where(error < least, scale, best), np.minimum(error, least)
    return int4_codes(exact, best[:, np.newaxis]).astype(np.int8), best.astype(np.float32)


def int4_codes(values: NDArray[np.float64], scales: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest codes, 0 where a scale is 0."""
    inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales != 0.0)
    return np.clip(np.round(values * inverse), -8.0, 7.0)


def quantize_binary(groups: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes −1 or 1 and one scale per row of [rows, n]: signs and mean magnitude, the best of all such pairs.

    A zero is 1: there is no third code.
    """
    scale = np.mean(np.abs(groups.astype(np.float64)), axis=1)
    return np.where(groups < 0, -1, 1).astype(np.int8), scale.astype(np.float32)


def pack_bits(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """8 / `bits` codes to a byte along the last axis, the first in the lowest bits, padded with 0."""
    per = 8 // bits
    last = codes.shape[-1]
    padded = np.zeros((*codes.shape[:-1], -(-last // per) * per), dtype=np.uint8)
    padded[..., :last] = codes
    shifted = padded.reshape(*codes.shape[:-1], -1, per) << (bits * np.arange(per, dtype=np.uint8))
    return np.asarray(np.bitwise_or.reduce(shifted, axis=-1), dtype=np.uint8)


def unpacking_table(bits: int) -> NDArray[np.float32]:
    """Row b holds the 8 / `bits` codes that byte b stands for: −8…7 of four bits, −2…1 of two, −1 and 1 of one."""
    stored = (np.arange(256)[:, np.newaxis] >> (bits * np.arange(8 // bits))) & (2**bits - 1)
    signed = 2 * stored - 1 if bits == 1 else stored - 2 ** (bits - 1)
    return np.asarray(signed, dtype=np.float32)


def _int8(groups: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    return quantize_int8(groups, 0, 8)


def _stored(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """As float32 holds it; 0 where it would be denormal, which kernels may flush."""
    kept = scale.astype(np.float32)
    return np.where(np.abs(kept) < np.finfo(np.float32).tiny, 0.0, kept).astype(np.float64)


_QUANTIZERS = {Choice.INT8_WEIGHT: _int8, Choice.INT4_WEIGHT: quantize_int4, Choice.BINARY: quantize_binary}
