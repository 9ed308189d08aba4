"""Second moments of layers' inputs: collected in the pass that finds ranges, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.errors import DataError
from qsearch.quantize.input_rows import InputRows

#: Rows of all batches together that enter a moment, and that are held back to judge by.
ROWS, HELD_BACK = 8192, 1024
#: Every so many batches one is held back; of fewer batches, the same share of each one's rows.
_EVERY = 4
#: Longest row: its moment takes 128 MiB.
LONGEST = 4096


class Moment:
    """Σ x xᵀ over the rows that one or several nodes read, and rows held back from it.

    NOTE: rows of a held-back batch belong to other samples than those of the moment. With fewer batches
    than four there is no such batch; then the last quarter of the rows of each is held back, which in a
    collated batch are mostly other samples, too.
    """

    def __init__(self, rows: InputRows, batches: int) -> None:
        """Of `batches` batches to come: no batch may crowd out the others, so each gives an equal share."""
        self.rows = rows
        self.sum = np.zeros((rows.groups, rows.length, rows.length))
        #: rows that entered the sum
        self.count = 0
        self._whole = batches >= _EVERY
        self._seen = 0
        self._most = -(-ROWS // batches)
        holding = batches // _EVERY if self._whole else batches
        self._most_held = -(-HELD_BACK // holding)
        self._held = np.zeros((rows.groups, self._most_held * holding, rows.length), dtype=np.float32)
        self._filled = 0

    def update(self, values: NDArray[Any]) -> None:
        """Add one batch of the activation.

        Raises:
            DataError: NaN or infinity, naming the tensor.
        """
        hold = self._whole and self._seen % _EVERY == _EVERY - 1
        self._seen += 1
        rows = self.rows.of(values, self._most_held if hold else self._most)
        if not np.isfinite(rows).all():
            raise DataError(
                f"calibration: the tensor {self.rows.tensor!r} holds NaN or infinity in fp32",
                "Check the calibration samples, or the model itself: it does so without quantization.",
            )
        if hold:
            self._hold(rows)
            return
        if not self._whole:
            cut = rows.shape[1] - rows.shape[1] // _EVERY
            self._hold(rows[:, cut:][:, : self._most_held])
            rows = rows[:, :cut]
        self._add(rows)

    def held_back(self) -> NDArray[np.float32]:
        """The rows to judge by, float32 [groups, rows, length]; there may be none."""
        return self._held[:, : self._filled]

    def _hold(self, rows: NDArray[np.float32]) -> None:
        # More batches than were announced change nothing: the room is what it was.
        end = min(self._filled + rows.shape[1], self._held.shape[1])
        self._held[:, self._filled : end] = rows[:, : end - self._filled]
        self._filled = end

    def _add(self, rows: NDArray[np.float32]) -> None:
        """Products in float32 of rows scaled to 1, which cannot overflow; sums in float64."""
        largest = float(np.abs(rows).max()) if rows.size else 0.0
        self.count += rows.shape[1]
        if largest > 0.0:
            scaled = rows / np.float32(largest)
            self.sum += (np.swapaxes(scaled, 1, 2) @ scaled).astype(np.float64) * largest**2


def moment_bytes(rows: InputRows) -> int:
    """Memory that a moment and its held-back rows take, in bytes."""
    return rows.groups * rows.length * (8 * rows.length + 4 * HELD_BACK)
