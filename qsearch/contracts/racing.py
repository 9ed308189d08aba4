"""How a candidate's accuracy is raced: when it is looked at, and what stops it."""

from __future__ import annotations

from dataclasses import dataclass

from qsearch.contracts.job import DropLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Racing:
    """The terms of a race; equal for every candidate of a job.

    NOTE: what a race must foresee is the point estimate on the whole search split, because that is what
    feasible means. The split is finite and fp32's outcomes on it are known, so a look is a sample drawn
    without replacement, and the error is exact where outcomes are right or wrong. A candidate that would
    have kept the limit on the whole split is stopped with probability `alpha` at most, over the order of
    the samples; each look spends an equal share of it. The last look sees everything and decides by the
    point estimate: it cannot err, and its share is a reserve.
    """

    #: what the candidate must keep
    limit: DropLimit
    #: of the order of the samples
    seed: int
    #: largest probability that a candidate which keeps the limit is stopped
    alpha: float = 0.05
    #: shares of the split, rising; the last is 1
    looks: tuple[float, ...] = (0.125, 0.5, 1.0)
