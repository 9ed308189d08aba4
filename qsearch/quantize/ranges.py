"""Ranges of activations: collected in one pass, judged by what they would cost."""

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
#: Shares of the values, in percent, that a percentile range keeps.
_PERCENTILES = (99.999, 99.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What an activation's real values are clipped to; 0 is inside."""

    low: float
    high: float
    #: minmax or percentile-99.999, percentile-99.99
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

    def best_range(self) -> Range:
        """The candidate range with the smallest expected squared quantization error.

        NOTE: min-max keeps outliers and makes every step coarse; a percentile clips them. Which is
        right differs by tensor, so each tensor gets the one whose error, summed over the histogram
        with uint8 codes, is smaller; min-max wins ties.
        """
        if self._low > self._high:
            return Range(low=0.0, high=0.0, method="minmax")
        low, high = min(self._low, 0.0), max(self._high, 0.0)
        candidates = [Range(low=low, high=high, method="minmax")]
        if self._counts.any():
            candidates += [self._percentile(share, low, high) for share in _PERCENTILES]
        return min(candidates, key=self._error)

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

    def _percentile(self, share: float, low: float, high: float) -> Range:
        cumulated = np.cumsum(self._counts) / self._counts.sum()
        tail = (1.0 - share / 100.0) / 2.0
        edges = np.linspace(-self._limit, self._limit, _BINS + 1)
        below = int(np.searchsorted(cumulated, tail, side="right"))
        above = int(np.searchsorted(cumulated, 1.0 - tail, side="left"))
        clipped_low = min(max(float(edges[below]), low), 0.0)
        clipped_high = max(min(float(edges[min(above + 1, _BINS)]), high), 0.0)
        return Range(low=clipped_low, high=clipped_high, method=f"percentile-{share}")

    def _error(self, candidate: Range) -> float:
        scale, zero = candidate.parameters()
        edges = np.linspace(-self._limit, self._limit, _BINS + 1)
        centres = np.clip((edges[:-1] + edges[1:]) / 2, self._low, self._high)
        codes = np.clip(np.round(centres / float(scale)) + int(zero), 0, 255)
        return float(np.sum(self._counts * np.square(centres - (codes - int(zero)) * float(scale))))
