"""Intervals and verdicts: never a bare number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

#: relative difference of times below which nobody is called faster, in search and finals
THETA = 0.02
#: differences below this many milliseconds never matter, whatever their share
ABSOLUTE_MS = 0.020
#: what a reader must know wherever `ABSOLUTE_MS` decided
COUNTS_AS_EQUAL = f"differences under {ABSOLUTE_MS * 1000:.0f} µs count as equal"


class Verdict(StrEnum):
    """The outcome of comparing a candidate's time with a reference's.

    With the ratio's interval [low, high] and a threshold θ: FASTER high < 1 − θ; SLOWER
    low > 1 + θ; EQUIVALENT [low, high] inside [1 − θ, 1 + θ]; POLLUTED when telemetry left too few
    pairs; else UNRESOLVED. Noise widens the interval, never θ: FASTER and SLOWER also ask that 1 lies
    outside the interval made half as wide again, so that equal models are called in 1 of 100 at most.
    """

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    EQUIVALENT = "EQUIVALENT"
    UNRESOLVED = "UNRESOLVED"
    POLLUTED = "POLLUTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and the range that holds the truth with the stated confidence."""

    value: float
    low: float
    high: float
    #: the coverage the procedure reaches, 0.95 unless few data allow only less
    confidence: float = 0.95

    def inverse(self) -> Interval:
        """The interval of 1/x: a time ratio becomes a speed-up. All bounds must be positive."""
        return Interval(value=1 / self.value, low=1 / self.high, high=1 / self.low, confidence=self.confidence)

    def overlaps(self, other: Interval, slack: float = 0.0) -> bool:
        """Whether the two ranges meet, each widened by the fraction `slack` of itself."""
        return self.low * (1 - slack) <= other.high * (1 + slack) and other.low * (1 - slack) <= self.high * (1 + slack)


def theta(reference_ms: float, threshold: float = THETA) -> float:
    """The relative difference that matters: `threshold`, and never less than `ABSOLUTE_MS` of the reference's time.

    Args:
        reference_ms: median of the arm that the other is compared with; one that is no time asks only `threshold`.
        threshold: 0.02 = 2 %.
    """
    if not (math.isfinite(reference_ms) and reference_ms > 0):
        return threshold
    return max(threshold, ABSOLUTE_MS / reference_ms)


def rests_on_absolute(verdict: Verdict, reference_ms: float) -> bool:
    """Whether `ABSOLUTE_MS`, and no share of the time, is why nobody was called faster or slower."""
    return verdict in (Verdict.EQUIVALENT, Verdict.UNRESOLVED) and theta(reference_ms) > THETA
