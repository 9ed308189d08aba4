"""Ranges of activations, and what is collected of a tensor in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsearch.contracts.errors import DataError

#: Bins over [-limit, limit], limit a power of two not below the largest magnitude.
_BINS = 16384
#: Elements of one tensor and batch that enter the histogram; larger ones are strided.
_SAMPLE = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What an activation's real values are clipped to; 0 is inside."""

    low: float
    high: float
    #: how it was found, see `intervals`
    method: str

    def parameters(self) -> tuple[np.float32, np.uint8]:
        """Scale and zero point of affine uint8 quantization, real = scale · (code − zero point).

        NOTE: the arithmetic (float64 quotient, zero point from the unrounded scale, scale 1 for an
        empty range) is that of ONNX Runtime's own quantizer, so equal ranges give equal bits.
        """
        low, high = np.float32(min(self.low, 0.0)), np.float32(max(self.high, 0.0))
        scale = (np.float64(high) - np.float64(low)) / 255.0
        if scale < np.finfo(np.float32).tiny:
            return np.float32(1.0), np.uint8(0)
        return np.float32(scale), np.uint8(np.round(0.0 - np.float64(low) / scale))


class Histogram:
    """Minimum, maximum and a histogram of one tensor, in constant memory.

    When a value exceeds the limit, the limit doubles and neighbouring bins are merged, so one pass
    is enough and the order of batches changes nothing but the stride's sample.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts = np.zeros(_BINS, dtype=np.int64)
        self._limit = 0.0
        self._low, self._high = np.inf, -np.inf

    def update(self, values: NDArray[Any]) -> None:
        """Add one batch.

        Raises:
            DataError: NaN or infinity, naming the tensor.
        """
        flat = np.asarray(values, dtype=np.float32).ravel()
        if flat.size == 0:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(
                f"calibration: the tensor {self._name!r} holds NaN or infinity in fp32",
                "Check the calibration samples, or the model itself: it does so without quantization.",
            )
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._grow(max(abs(low), abs(high)))
        # An odd stride does not fall into step with even channel counts.
        sample = flat[:: (flat.size // _SAMPLE) | 1] if flat.size > _SAMPLE else flat
        if self._limit > 0.0:
            bins = np.floor(sample.astype(np.float64) * (_BINS / 2 / self._limit)).astype(np.int64) + _BINS // 2
            self._counts += np.bincount(np.clip(bins, 0, _BINS - 1), minlength=_BINS)

    @property
    def low(self) -> float:
        """The smallest value; infinite while there is none."""
        return self._low

    @property
    def high(self) -> float:
        """The largest value; minus infinite while there is none."""
        return self._high

    def seen(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The centres of bins that hold values, ascending, and how many each holds."""
        filled = np.flatnonzero(self._counts)
        edges = self._edges()
        centres = np.clip((edges[:-1] + edges[1:])[filled] / 2, self._low, self._high)
        return centres, self._counts[filled]

    def quantiles(self, tail: float) -> tuple[float, float]:
        """Between which numbers all values lie but this share on either side. There are values."""
        cumulated = np.cumsum(self._counts) / self._counts.sum()
        edges = self._edges()
        below = int(np.searchsorted(cumulated, tail, side="right"))
        above = int(np.searchsorted(cumulated, 1.0 - tail, side="left"))
        return float(edges[below]), float(edges[min(above + 1, _BINS)])

    def _edges(self) -> NDArray[np.float64]:
        return np.linspace(-self._limit, self._limit, _BINS + 1)

    def _grow(self, magnitude: float) -> None:
        if magnitude <= self._limit:
            return
        limit = float(2.0 ** np.ceil(np.log2(magnitude)))
        # Rounding of the logarithm must not leave the largest value outside.
        limit = limit if limit >= magnitude else 2 * limit
        if self._limit > 0.0:
            factor = round(limit / self._limit) if limit / self._limit < _BINS else _BINS
            bins = (np.arange(_BINS) - _BINS // 2) // factor + _BINS // 2
            self._counts = np.bincount(bins, weights=self._counts, minlength=_BINS).astype(np.int64)
        self._limit = limit
