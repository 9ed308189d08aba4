"""Candidates for the interval of an activation, found in its histogram.

| method              | interval                                                                             |
|---------------------|--------------------------------------------------------------------------------------|
| `minmax`            | all values                                                                           |
| `percentile-99.999` | all but the outermost 0.001 % of the values, half of them on each side               |
| `percentile-99.99`  | all but 0.01 %                                                                       |
| `entropy`           | the least Kullback–Leibler divergence of the values from their codes                 |
| `mse`               | the least squared error of the tensor                                                |

Entropy is the rule of Migacz, "8-bit Inference with TensorRT", GTC 2017, with values
beyond the interval counted at its ends; here for affine codes, so that one side may end before the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qsearch.quantize.ranges import Histogram, Range

#: Shares of the values, in percent, that a percentile range keeps.
_PERCENTILES = (99.999, 99.99)
#: how far from 0 an interval reaches, as shares of the largest magnitude
_SHRINKS = tuple(float(s) for s in np.geomspace(1.0, 0.02, 40))
#: then each end alone
_ENDS = (0.8, 0.9, 1.1, 1.25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One candidate and what it costs."""

    range: Range
    #: squared error of the tensor by its squared values, uint8 codes
    tensor_error: float
    #: squared error of what the layers that read it give, by its squared values, on calibration rows held
    #: back; None where no rows of this tensor were kept
    output_error: float | None = None


def intervals(histogram: Histogram) -> tuple[Interval, ...]:
    """The candidates, min-max first; equal ranges once, under the first name."""
    low, high = min(histogram.low, 0.0), max(histogram.high, 0.0)
    if not low < high:
        return (Interval(range=Range(low=0.0, high=0.0, method="minmax"), tensor_error=0.0),)
    values, counts = histogram.seen()
    judged = _Judge(values, counts)
    whole = Range(low=low, high=high, method="minmax")
    found = [whole]
    if counts.size:
        found += [_percentile(histogram, share, low, high) for share in _PERCENTILES]
        found.append(judged.entropy(low, high))
        found.append(judged.least(low, high))
    distinct: dict[tuple[float, float], Range] = {}
    for one in found:
        distinct.setdefault((one.low, one.high), one)
    return tuple(Interval(range=r, tensor_error=judged.error(r)) for r in distinct.values())


def best(candidates: tuple[Interval, ...]) -> Range:
    """The least output error where it is known, else the least tensor error; the first of equals."""
    if all(c.output_error is not None for c in candidates):
        return min(candidates, key=lambda c: c.output_error or 0.0).range
    return min(candidates, key=lambda c: c.tensor_error).range


def fake_quantized(values: NDArray[np.float32], found: Range) -> NDArray[np.float32]:
    """The values as their uint8 codes say, float32."""
    scale, zero = found.parameters()
    codes = np.clip(np.round(values / scale) + np.float32(zero), 0, 255)
    return np.asarray((codes - np.float32(zero)) * scale, dtype=np.float32)


class _Judge:
    """Values of a tensor with how often each was seen."""

    def __init__(self, values: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
        self._values, self._counts = values, counts.astype(np.float64)
        self._energy = float(np.sum(self._counts * np.square(values)))

    def error(self, found: Range) -> float:
        """Squared error by squared values; 0 for a tensor of zeros."""
        if not self._energy:
            return 0.0
        scale, zero = (float(part) for part in found.parameters())
        codes = np.clip(np.round(self._values / scale) + zero, 0, 255)
        lost = self._values - (codes - zero) * scale
        return float(np.sum(self._counts * np.square(lost))) / self._energy

    def least(self, low: float, high: float) -> Range:
        """One reach for both sides, then each end alone until neither helps."""
        best = min(self._shrunk(low, high, "mse"), key=self.error)
        while True:
            moved = min(_moved(best, low, high), key=self.error)
            if self.error(moved) >= self.error(best):
                return best
            best = moved

    def entropy(self, low: float, high: float) -> Range:
        """The least divergence of the values, clipped to the interval, from the mean of each code's values."""
        return min(self._shrunk(low, high, "entropy"), key=self._divergence)

    def _divergence(self, found: Range) -> float:
        scale, zero = (float(part) for part in found.parameters())
        inside = (self._values >= found.low) & (self._values <= found.high)
        if not inside.any():
            return float("inf")
        counts = np.where(inside, self._counts, 0.0)
        # the ends take what lies beyond them; the codes do not know of it, which is what clipping costs
        real = counts.copy()
        first, last = np.flatnonzero(inside)[[0, -1]]
        real[first] += self._counts[:first].sum()
        real[last] += self._counts[last + 1 :].sum()
        codes = np.clip(np.round(self._values / scale) + zero, 0, 255).astype(np.int64)
        per_code = np.bincount(codes, weights=counts, minlength=256)
        distinct = np.bincount(codes, weights=inside.astype(np.float64), minlength=256)
        spread = np.divide(per_code, distinct, out=np.zeros(256), where=distinct > 0)[codes]
        seen = inside & (real > 0) & (spread > 0)
        p, q = real[seen] / real.sum(), spread[seen] / counts.sum()
        return float(np.sum(p * np.log(p / q)))

    def _shrunk(self, low: float, high: float, method: str) -> Iterator[Range]:
        for share in _SHRINKS:
            reach = share * max(-low, high)
            yield Range(low=max(low, -reach), high=min(high, reach), method=method)


def _moved(found: Range, low: float, high: float) -> Iterator[Range]:
    for factor in _ENDS:
        yield Range(low=max(found.low * factor, low), high=found.high, method=found.method)
        yield Range(low=found.low, high=min(found.high * factor, high), method=found.method)


def _percentile(histogram: Histogram, share: float, low: float, high: float) -> Range:
    tail = (1.0 - share / 100.0) / 2.0
    below, above = histogram.quantiles(tail)
    return Range(low=min(max(below, low), 0.0), high=max(min(above, high), 0.0), method=f"percentile-{share}")
