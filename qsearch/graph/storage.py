"""How many bytes a layer takes under each choice: what the quantizer stores, to the byte.

Not counted, because it belongs to no single layer: the nodes, the scale and zero point of
activations (5 bytes a tensor, shared by all its readers), the one look-up table of 2-bit codes
(4 KiB a model), and the bias of a MatMul, which is another node's (an Add). `Layer.bytes` is what
the arrays that `quantize` writes take; a test of that room compares the two.
"""

from __future__ import annotations

import math

from qsearch.contracts.choices import Choice
from qsearch.graph.sites import Role, Site


def ternary_block(length: int) -> int:
    """Weights along K that share one scale in a ternary matrix.

    NOTE: 32 to 128 are the sizes for which ONNX Runtime has an integer kernel for 2-bit weights;
    with 16 and 256 it silently computes in float. Smaller blocks store more scales.
    """
    return 64 if length > 32 else 32


def supported(site: Site) -> tuple[Choice, ...]:
    """What a weight in this role can be stored as, whatever the runtime can do."""
    if site.role in {Role.TABLE, Role.STORED}:
        return (Choice.FP32, Choice.TERNARY)
    return (Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC, Choice.TERNARY)


def stored_bytes(choice: Choice, site: Site, shape: tuple[int, ...], biases: tuple[tuple[int, ...], ...]) -> int:
    """Bytes of a layer's weights, scales, zero points and constant biases.

    Args:
        choice: one of `supported`.
        site: any of the layer's sites.
        shape: of the weight.
        biases: shapes of the distinct float32 biases of the layer's sites.
    """
    size, channels = math.prod(shape), _channels(site, shape)
    bias = sum(4 * math.prod(b) for b in biases)
    if choice is Choice.FP32:
        return 4 * size + bias
    if choice is Choice.INT8_STATIC:
        return size + 5 * channels + sum(_static_bias(b, channels) for b in biases)
    if choice is Choice.INT8_DYNAMIC:
        return size + 4 * channels + bias
    if site.role is Role.MATRIX:
        block = ternary_block(size // channels)
        blocks = -(-(size // channels) // block)
        return channels * blocks * (block // 4 + 4) + bias
    if site.role is Role.TABLE:
        return shape[0] * (-(-shape[1] // 4) + 4)
    return -(-size // 4) + 4 * channels + bias


def vector_bias(shape: tuple[int, ...], channels: int) -> bool:
    """Whether a bias of this shape is one number for each of the output channels."""
    return len(shape) <= 2 and (shape[-1] if shape else 1) in {1, channels} and (len(shape) < 2 or shape[0] == 1)


def _static_bias(shape: tuple[int, ...], channels: int) -> int:
    """int32 and its float32 scale for a vector; anything else stays a float addend."""
    return 8 * channels if vector_bias(shape, channels) else 4 * math.prod(shape)


def _channels(site: Site, shape: tuple[int, ...]) -> int:
    """Number of scales per weight: output channels, for each matrix of a batched weight."""
    if site.role is not Role.STORED:
        return shape[site.channel_axis]
    contracted = len(shape) - 1 if site.channel_axis == len(shape) - 2 else len(shape) - 2
    return math.prod(shape) // shape[contracted]
