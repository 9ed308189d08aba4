"""Ternary weights: {−1, 0, +1} times one scale per group.

Li et al., "Ternary Weight Networks", 2016 (arXiv 1605.04711).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantize_ternary(groups: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes in {−1, 0, 1} and one scale per row that minimise the squared error of each row.

    NOTE: the paper approximates its optimal threshold by 0.7 · mean|w|; here it is found exactly.
    With magnitudes sorted downwards, keeping the first k explains (Σ|w|)² / k of the squared norm,
    and the scale is their mean: one sort and one cumulated sum per row.

    Args:
        groups: finite values, shape [rows, n].
    """
    magnitude = np.abs(groups.astype(np.float64))
    ordered = -np.sort(-magnitude, axis=1)
    cumulated = np.cumsum(ordered, axis=1)
    gain = np.square(cumulated) / np.arange(1, groups.shape[1] + 1)
    kept = np.argmax(gain, axis=1)[:, np.newaxis]
    threshold = np.take_along_axis(ordered, kept, axis=1)
    selected = (magnitude >= threshold) & (magnitude > 0.0)
    total = np.sum(np.where(selected, magnitude, 0.0), axis=1)
    scale = total / np.maximum(np.count_nonzero(selected, axis=1), 1)
    return (np.sign(groups) * selected).astype(np.int8), scale.astype(np.float32)


def pack(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Four 2-bit codes to a byte along the last axis, the first in the lowest bits, padded with 0."""
    last = codes.shape[-1]
    padded = np.zeros((*codes.shape[:-1], -(-last // 4) * 4), dtype=np.uint8)
    padded[..., :last] = codes
    parts = padded.reshape(*codes.shape[:-1], -1, 4)
    return np.asarray(parts[..., 0] | parts[..., 1] << 2 | parts[..., 2] << 4 | parts[..., 3] << 6, dtype=np.uint8)


def look_up_table() -> NDArray[np.float32]:
    """Row b holds the four numbers in {−1, 0, 1} that byte b of storage codes (value + 1) stands for."""
    codes = (np.arange(256)[:, np.newaxis] >> np.array([0, 2, 4, 6])) & 3
    return np.where(codes == 3, 0, codes - 1).astype(np.float32)
