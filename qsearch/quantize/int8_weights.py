"""Symmetric per-channel int8 weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantize_int8(
    weight: NDArray[np.float32], axis: int, bits: int, floor: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Codes and scales, real ≈ scale · code, one scale for each index of `axis`.

    NOTE: with 8 bits the codes are those of ONNX Runtime's quantizer (range ±127, scale 1 where a
    channel is zero or denormal). With 7 bits they stay in ±63, inside [-64, 63]: then two products
    with uint8 add up to less than 2^15, and x86 CPUs without VNNI do not saturate.

    Args:
        weight: finite values.
        axis: of the output channels.
        bits: 8 or 7.
        floor: smallest scale allowed per channel, so that a bias fits into int32; None = no floor.
    """
    top = 2 ** (bits - 1) - 1
    others = tuple(i for i in range(weight.ndim) if i != axis)
    largest = np.max(np.abs(weight), axis=others).astype(np.float64) if weight.size else np.zeros(weight.shape[axis])
    scale = 2.0 * largest / (2.0 * top)
    scale = np.where(scale < np.finfo(np.float32).tiny, 1.0, scale).astype(np.float32)
    if floor is not None:
        scale = np.maximum(scale, floor)
    shaped = scale.reshape([-1 if i == axis else 1 for i in range(weight.ndim)])
    codes = np.clip(np.round(weight / shaped), -top, top).astype(np.int8)
    return codes, scale


def scale_floor(bias: NDArray[np.float32], activation_scale: float) -> NDArray[np.float32]:
    """The smallest weight scale with which a bias fits into int32, with room for a coarser activation."""
    return (np.abs(bias.astype(np.float64)) / (2.0**29 * activation_scale)).astype(np.float32)
