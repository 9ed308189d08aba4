"""The exact distribution of Wilcoxon's signed-rank statistic, and the interval it gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from qsearch.contracts.errors import DataError
from qsearch.contracts.task import Array
from qsearch.contracts.verdict import Interval


def hodges_lehmann(x: Sequence[float], confidence: float = 0.95) -> Interval:
    """The median of all pairwise means of x, with its exact distribution-free interval.

    Exact for independent values whose distribution is symmetric about the truth (Hodges and Lehmann
    1963; Wilcoxon 1945 for the distribution). Below six values 95 % cannot be reached: the interval
    is then the whole range of the means, and `confidence` says what that is worth (n = 4: 0.875).

    Args:
        x: differences, any unit; here the logarithms of ratios.
        confidence: wanted; the reached one is at least this whenever n allows it.

    Raises:
        DataError: no values, or one that is not finite.
    """
    values = np.asarray(x, np.float64)
    if not values.size or not np.isfinite(values).all():
        raise DataError(f"an interval needs finite numbers, found {values.size}: {values[:5].tolist()}")
    means = walsh_means(values)
    outer, reached = _cut(values.size, confidence)
    return Interval(
        value=float(np.median(means)), low=float(means[outer]), high=float(means[-1 - outer]), confidence=reached
    )


def walsh_means(values: Array) -> Array:
    """All n(n+1)/2 means of two values (each with itself too), sorted."""
    first, second = np.triu_indices(len(values))
    return np.sort((values[first] + values[second]) / 2)


@cache
def signed_rank_cdf(n: int) -> tuple[float, ...]:
    """P(W ≤ w) for w = 0 ... n(n+1)/2 under symmetry about zero, n values without ties."""
    mass = np.zeros(n * (n + 1) // 2 + 1)
    mass[0] = 1.0
    for rank in range(1, n + 1):
        # Each rank joins the sum with probability one half; halving now keeps 2**n out of it.
        shifted = np.concatenate([np.zeros(rank), mass[:-rank]])
        mass = (mass + shifted) / 2
    return tuple(np.minimum(np.cumsum(mass), 1.0).tolist())


def _cut(n: int, confidence: float) -> tuple[int, float]:
    """How many extreme means to leave out on each side, and the coverage that remains."""
    below = signed_rank_cdf(n)
    outer = 0
    while 1 - 2 * below[outer + 1 if outer + 1 < len(below) else outer] >= confidence and outer + 1 < len(below):
        outer += 1
    return outer, max(0.0, 1 - 2 * below[outer])
