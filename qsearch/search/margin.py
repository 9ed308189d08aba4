"""How far two times must lie apart to be told apart: one rule for ties, verdicts and the finals.

NOTE: a verdict's θ is 2 %, and never less than 20 µs of the reference's time. Here the two times are both
ratios to fp32, so the 20 µs are a share of fp32's time, and the gap between the two intervals must exceed it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qsearch.contracts.verdict import ABSOLUTE_MS, THETA, Interval


@dataclass(frozen=True, slots=True)
class Margin:
    """What two intervals of time ratios must have between them."""

    #: fraction by which each interval is widened
    relative: float = THETA
    #: gap that is none, in ratios: 20 µs of fp32's time
    absolute: float = 0.0

    @classmethod
    def of(cls, reference_ms: float | None) -> Margin:
        """For ratios to an fp32 of that pooled median; None, while it is not known, asks the 2 % only."""
        if reference_ms is None or not (math.isfinite(reference_ms) and reference_ms > 0):
            return cls()
        return cls(absolute=ABSOLUTE_MS / reference_ms)

    def clear(self, high: float, low: float) -> bool:
        """Whether a time that is at most `high` is surely below one that is at least `low`."""
        return high * (1 + self.relative) < low * (1 - self.relative) and high + self.absolute < low

    def tied(self, one: Interval, other: Interval) -> bool:
        """Whether neither is clear of the other."""
        return not (self.clear(one.high, other.low) or self.clear(other.high, one.low))
