"""The part of an axis that a plot shows: chosen by what must be seen, the rest lies beyond it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: room left around what must be seen, as a share of its extent
_PAD = 0.04
#: estimate, low, high
Span = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, low < high, both finite."""

    low: float
    high: float

    @classmethod
    def over(cls, spans: Sequence[Span]) -> Range:
        """All finite ends of the spans with a little room; around a single value a little more."""
        ends = [value for span in spans for value in span if math.isfinite(value)]
        low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
        pad = (high - low) * _PAD or max(abs(high) * 0.05, 1e-3)
        return cls(low - pad, high + pad)

    def holds(self, value: float) -> bool:
        """Whether it is shown; not-a-number never is."""
        return self.low <= value <= self.high

    def clamped(self, value: float) -> float:
        """The nearest value that is shown; not-a-number goes to the high end."""
        return self.high if math.isnan(value) else min(max(value, self.low), self.high)

    def share(self, value: float) -> float:
        """Where it stands between the ends, 0 … 1 inside."""
        return (value - self.low) / (self.high - self.low)
