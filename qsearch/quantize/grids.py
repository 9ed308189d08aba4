"""Grids: the numbers that a weight may become, as rounding with compensation needs to know them.

A new scheme gets error compensation by being written as a grid; nothing else knows what its codes mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qsearch.quantize.block_weights import int4_codes, quantize_binary, quantize_int4
from qsearch.quantize.int8_weights import quantize_int8
from qsearch.quantize.ternary_weights import quantize_ternary

Floats = NDArray[np.float64]


class Grid(Protocol):
    """Weight ≈ scale · code, one scale for each column and each block of rows of a [K, N] matrix."""

    @property
    def block(self) -> int:
        """Rows that share a scale; the last block may be shorter."""
        ...

    @property
    def refits(self) -> bool:
        """Whether any positive scale will do once the codes are known."""
        ...

    def fit(self, rows: Floats) -> Floats:
        """Scales [N] for the rows of one block [n, N]; negative ones turn a grid that is not symmetric around."""
        ...

    def codes(self, values: Floats, scales: Floats) -> Floats:
        """The nearest codes of values [..., N], as whole float64 numbers; 0 where a scale is 0."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TernaryGrid:
    """{−1, 0, 1} times a scale fitted exactly to each block."""

    block: int
    refits: bool = True

    def fit(self, rows: Floats) -> Floats:
        """See `Grid`."""
        return quantize_ternary(np.ascontiguousarray(rows.T.astype(np.float32)))[1].astype(np.float64)

    def codes(self, values: Floats, scales: Floats) -> Floats:
        """See `Grid`."""
        return _nearest(values, scales, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Grid:
    """±127 or ±63 times a scale: largest magnitude by largest code, or the floor."""

    #: K where integer kernels read it: one scale for a whole column
    block: int
    #: 8 or 7
    bits: int
    #: smallest scales [N], see `quantize_int8`
    floor: NDArray[np.float32] | None = None
    refits: bool = False

    def fit(self, rows: Floats) -> Floats:
        """See `Grid`."""
        return quantize_int8(rows.astype(np.float32), 1, self.bits, self.floor)[1].astype(np.float64)

    def codes(self, values: Floats, scales: Floats) -> Floats:
        """See `Grid`."""
        return _nearest(values, scales, 2 ** (self.bits - 1) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Int4Grid:
    """−8…7 times a scale of either sign, see `quantize_int4`."""

    block: int
    refits: bool = False

    def fit(self, rows: Floats) -> Floats:
        """See `Grid`."""
        return quantize_int4(np.ascontiguousarray(rows.T.astype(np.float32)))[1].astype(np.float64)

    def codes(self, values: Floats, scales: Floats) -> Floats:
        """See `Grid`."""
        return int4_codes(values, scales)


@dataclass(frozen=True, slots=True, kw_only=True)
class BinaryGrid:
    """−1 or 1 times a scale."""

    block: int
    refits: bool = True

    def fit(self, rows: Floats) -> Floats:
        """See `Grid`."""
        return quantize_binary(np.ascontiguousarray(rows.T.astype(np.float32)))[1].astype(np.float64)

    def codes(self, values: Floats, scales: Floats) -> Floats:
        """See `Grid`."""
        return np.where(scales > 0, np.where(values < 0, -1.0, 1.0), 0.0)


def _nearest(values: Floats, scales: Floats, top: int) -> Floats:
    return np.clip(np.round(values * np.divide(1.0, scales, out=np.zeros_like(scales), where=scales > 0)), -top, top)
