"""Rounding that compensates its own errors: what one weight loses, weights not yet rounded make up for.

Frantar et al., "GPTQ", 2023 (arXiv 2210.17323), after "Optimal Brain Compression", 2022 (arXiv 2208.11580);
then coordinate descent over the codes as in Behdin et al., "QuantEase", 2023 (arXiv 2309.01885), in turn
with scales by least squares. All of it lowers tr((W − Ŵ)ᵀ H (W − Ŵ)), the squared error of the layer's
output on the rows whose second moment is H.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qsearch.quantize.grids import Floats, Grid

#: Share of H's mean diagonal that is added to it. NOTE: 0.01 is usual for 3 and 4 bits. Ternary codes move
#: weights so far that a moment of few samples is fitted too closely: three-layer MiniLM, all MatMuls ternary,
#: 128 short samples, loses 0.121 of the cosine with 0.01 and 0.110 with 0.1 (0.259 rounded to nearest).
_DAMPING = 0.1
#: Rounds of coordinate descent and scales: with refitted scales, and without.
_ROUNDS, _ROUNDS_FIXED = 3, 1


class Curvature:
    """A damped second moment and its factor, made once for all weights that see the same input."""

    def __init__(self, moment: Floats) -> None:
        """Args: moment: Σ x xᵀ, float64 [K, K], finite, not all zero."""
        size = len(moment)
        mean = np.trace(moment) / size
        self.matrix: Floats = moment / mean + _DAMPING * np.eye(size)
        #: upper triangular U with UᵀU = the inverse; row k tells how an error in weight k is made up for later
        self.factor: Floats = np.linalg.cholesky(np.linalg.inv(self.matrix)).T


def nearest(weight: NDArray[np.float32], grid: Grid) -> tuple[Floats, Floats]:
    """Codes [K, N] and scales [blocks, N] by rounding each weight [K, N] on its own."""
    exact = weight.astype(np.float64)
    blocks = [exact[start : start + grid.block] for start in range(0, len(exact), grid.block)]
    scales = np.stack([grid.fit(block) for block in blocks])
    return grid.codes(exact, expand(scales, grid.block, len(exact))), scales


def compensate(weight: NDArray[np.float32], curvature: Curvature, grid: Grid) -> tuple[Floats, Floats]:
    """Codes [K, N] and scales [blocks, N] for a weight [K, N], whose error on the damped moment is small.

    The error is never above that of rounding to nearest: each column is the better of the two.
    """
    exact = weight.astype(np.float64)
    codes, scales = _one_pass(exact, curvature.factor, grid)
    plain_codes, plain_scales = nearest(weight, grid)
    for _ in range(_ROUNDS if grid.refits else _ROUNDS_FIXED):
        if grid.refits:
            scales = _refitted(exact, codes, scales, curvature.matrix, grid.block)
        codes = _descended(exact, codes, scales, curvature.matrix, grid)
    if grid.refits:
        scales = _refitted(exact, codes, scales, curvature.matrix, grid.block)
    worse = _error(exact, codes, scales, curvature, grid) >= _error(exact, plain_codes, plain_scales, curvature, grid)
    return np.where(worse, plain_codes, codes), np.where(worse, plain_scales, scales)


def expand(scales: Floats, block: int, length: int) -> Floats:
    """Scales [blocks, N] as one for each row [length, N]."""
    return np.repeat(scales, block, axis=0)[:length]


def _one_pass(exact: Floats, factor: Floats, grid: Grid) -> tuple[Floats, Floats]:
    """Row after row: round, divide the error by the factor's diagonal, hand it to the rows behind."""
    length, columns = exact.shape
    current, codes, scales = exact.copy(), np.zeros_like(exact), []
    for start in range(0, length, grid.block):
        stop = min(start + grid.block, length)
        scale = grid.fit(current[start:stop])
        scales.append(scale)
        errors = np.zeros((stop - start, columns))
        for row in range(start, stop):
            codes[row] = grid.codes(current[row], scale)
            errors[row - start] = (current[row] - codes[row] * scale) / factor[row, row]
            current[row + 1 : stop] -= np.outer(factor[row, row + 1 : stop], errors[row - start])
        current[stop:] -= factor[start:stop, stop:].T @ errors
    return codes, np.stack(scales)


def _descended(exact: Floats, codes: Floats, scales: Floats, matrix: Floats, grid: Grid) -> Floats:
    """One round over the rows; each gets the code that is best while all others stay as they are."""
    codes, each = codes.copy(), expand(scales, grid.block, len(exact))
    lost, diagonal = exact - codes * each, np.diagonal(matrix)
    step = 64
    for start in range(0, len(exact), step):
        stop = min(start + step, len(exact))
        slope = matrix[start:stop] @ lost
        for row in range(start, stop):
            best = exact[row] + slope[row - start] / diagonal[row] - lost[row]
            codes[row] = grid.codes(best, each[row])
            change = exact[row] - codes[row] * each[row] - lost[row]
            lost[row] += change
            slope += np.outer(matrix[start:stop, row], change)
    return codes


def _refitted(exact: Floats, codes: Floats, scales: Floats, matrix: Floats, block: int) -> Floats:
    """Scales of every column by least squares under H, all blocks at once.

    A column with a scale that is not positive keeps what it had, and so does a block without a code.
    """
    length, columns = exact.shape
    starts = np.arange(0, length, block)
    right = np.add.reduceat(codes * (matrix @ exact), starts)
    normal = np.empty((columns, len(starts), len(starts)))
    for i, start in enumerate(starts):
        part = slice(start, start + block)
        normal[:, i] = np.add.reduceat((matrix[:, part] @ codes[part]) * codes, starts).T
    # An empty block has no equation: its scale stays free, and small.
    ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2) / len(starts) + 1e-30
    normal += ridge[:, np.newaxis, np.newaxis] * np.eye(len(starts))
    found = np.linalg.solve(normal, right.T[..., np.newaxis])[..., 0].T
    used = np.add.reduceat(np.abs(codes), starts) > 0
    good = np.all((found > 0) | ~used, axis=0)
    return np.where(good & used, found, scales)


def _error(exact: Floats, codes: Floats, scales: Floats, curvature: Curvature, grid: Grid) -> Floats:
    """Of each column, with scales as they are stored."""
    lost = exact - codes * expand(scales.astype(np.float32).astype(np.float64), grid.block, len(exact))
    found: Floats = np.einsum("kn,kn->n", lost, curvature.matrix @ lost)
    return found
