"""How many bytes a layer takes under each choice: what the quantizer stores, to the byte.

Not counted, because it belongs to no single layer: the nodes, the scale and zero point of
activations (5 bytes a tensor, shared by all its readers; of tdq as much for each step, and a Conv's biases for
all steps but one: 4 bytes a channel and step), the look-up tables of 1-, 2- and 4-bit codes (8, 4 and 2 KiB a
model), and the bias of a MatMul, which is another node's (an Add). `Layer.bytes` is what the arrays that `quantize`
writes take; a test of that room compares the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qsearch.contracts.choices import Choice
from qsearch.graph.sites import Role, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """How a weight-only choice stores a weight: rows of blocks, each block with a scale of its own.

    A row is what one output channel sums over; of a Gather, one row of the table.
    """

    rows: int
    #: weights in a row
    columns: int
    #: weights that share a scale
    block: int
    #: of one code
    bits: int

    @property
    def blocks(self) -> int:
        """Scales in a row; the last block is padded."""
        return -(-self.columns // self.block)

    @property
    def block_bytes(self) -> int:
        """Bytes of the codes of one block."""
        return -(-self.block * self.bits // 8)


def packing(choice: Choice, site: Site, shape: tuple[int, ...]) -> Packing:
    """The layout of a weight under int8-weight, int4-weight or binary.

    NOTE: a matrix has what MatMulNBits takes: blocks of powers of two, and two bits where one would do.
    Elsewhere nothing reads the codes but what unpacks them, so a block need not be padded and a sign
    takes one bit. Blocks of 32 weights for four bits: each halving of the block lowers the error of the
    largest weight's neighbours and adds a scale; eight bits have steps fine enough for 128.
    """
    rows = _channels(site, shape) if site.role is not Role.TABLE else shape[0]
    columns = math.prod(shape) // rows
    if site.role is Role.MATRIX:
        bits = {Choice.INT8_WEIGHT: 8, Choice.INT4_WEIGHT: 4}.get(choice, 2)
        widest = {Choice.INT8_WEIGHT: 128, Choice.INT4_WEIGHT: 32}.get(choice, 64)
        return Packing(rows=rows, columns=columns, block=_kernel_block(columns, widest), bits=bits)
    bits = {Choice.INT8_WEIGHT: 8, Choice.INT4_WEIGHT: 4}.get(choice, 1)
    block = min(columns, 32) if choice is Choice.INT4_WEIGHT else columns
    return Packing(rows=rows, columns=columns, block=block, bits=bits)


def ternary_block(length: int) -> int:
    """Weights along K that share one scale in a ternary matrix.

    NOTE: 32 to 128 are the sizes for which ONNX Runtime has an integer kernel for 2-bit weights;
    with 16 and 256 it silently computes in float. Smaller blocks store more scales.
    """
    return _kernel_block(length, 64)


def supported(site: Site) -> tuple[Choice, ...]:
    """What a weight in this role can be stored as, whatever the runtime can do."""
    weights = (Choice.INT8_WEIGHT, Choice.INT4_WEIGHT, Choice.TERNARY)
    if site.role is Role.TABLE:
        return (Choice.FP32, *weights)
    if site.role is Role.STORED:
        return (Choice.FP32, *weights, Choice.BINARY)
    return (Choice.FP32, Choice.INT8_STATIC, Choice.INT8_DYNAMIC, *weights, Choice.BINARY, Choice.TDQ)


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
    if choice is Choice.TDQ:
        return size + 5 * channels + sum(4 * channels if vector_bias(b, channels) else 4 * math.prod(b) for b in biases)
    if choice is Choice.INT8_DYNAMIC:
        return size + 4 * channels + bias
    if choice is not Choice.TERNARY:
        packed = packing(choice, site, shape)
        return packed.rows * packed.blocks * (packed.block_bytes + 4) + bias
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


def _kernel_block(length: int, widest: int) -> int:
    """The smallest of 32, 64, 128 that holds a row, at most `widest`."""
    return min(widest, 32 if length <= 32 else 64 if length <= 64 else 128)


def _static_bias(shape: tuple[int, ...], channels: int) -> int:
    """int32 and its float32 scale for a vector; anything else stays a float addend."""
    return 8 * channels if vector_bias(shape, channels) else 4 * math.prod(shape)


def _channels(site: Site, shape: tuple[int, ...]) -> int:
    """Number of scales per weight: output channels, for each matrix of a batched weight."""
    if site.role is not Role.STORED:
        return shape[site.channel_axis]
    contracted = len(shape) - 1 if site.channel_axis == len(shape) - 2 else len(shape) - 2
    return math.prod(shape) // shape[contracted]
