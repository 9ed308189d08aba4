"""What a drop may still be where hardly any outcome differs: losses that none of the samples has shown.

NOTE: a bootstrap draws what was seen, and nothing else. Where no outcome differs, every draw gives a drop of 0,
and the interval would be [0, 0] from three samples as from three thousand. So with fewer than `FEW` differing
outcomes the interval of a resampled drop is widened by what holds without resampling:

- of n samples, `lost` did worse than the reference and `won` did better. The share of all data that does worse is
  below Clopper and Pearson's (1934) upper end of lost / n at 97.5 %, likewise what does better. Where nothing
  differs that is 3.7 / n, the two-sided rule of three.
- each of those loses at most what a sample may lose: from the best outcome of the reference to the worst that
  either arm shows, and that is at least one whole mean score away from the mean (for a positive score where more
  is better: to 0; an error rate of 0 to 1). Nothing tells how bad an outcome may be that has no bound; one that
  is worse than all this is not allowed for. It gains at most from the worst outcome of the reference to the best of
  either arm.
- a score over classes: a class with S members, true and predicted ones together, has an F1 of 2·hits / S, so that
  one sample moves it by 2 / S; the smallest class says how much that may be.
- the smallest drop that shows is that of so many samples as McNemar's test needs, each losing that much: 7.8
  where nothing differs, as with right and wrong.

Samples of unlike weight count as (Σ w)² / Σ w² (Kish 1965). From `FEW` on the bootstrap stands alone: fewer cannot
be called a difference by any exact test of signs either. fp32 against itself is not judged here: its drop is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from qsearch.contracts.task import CELL, Array
from qsearch.measure.aggregates import RATIOS

#: differing outcomes from which resampling can tell what they may be
FEW = 6
#: each end of a two-sided interval of 95 %
_ERROR = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Two arms on the same samples."""

    #: float64 [m] of the candidate, finite
    mine: Array
    #: float64 [m] of the reference on the same samples, in the same order
    theirs: Array
    #: float64 [m], not negative, not all 0; None = equal
    weights: Array | None
    higher_is_better: bool
    #: how outcomes make a score; see `Scores`
    aggregate: str

    @property
    def samples(self) -> float:
        """What the samples count as."""
        if self.weights is None:
            return float(self.theirs.size)
        return float(self.weights.sum() ** 2 / (self.weights @ self.weights))

    @property
    def differing(self) -> tuple[int, int]:
        """Samples on which the candidate did worse, and on which it did better."""
        if self.aggregate in RATIOS:
            ratio = RATIOS[self.aggregate]
            change = ratio.numerators(self.mine, self.weights) - ratio.numerators(self.theirs, self.weights)
            worse = change * self._worse
            return int((worse > 0).sum()), int((worse < 0).sum())
        differ, right = self.mine != self.theirs, self.mine // CELL == self.mine % CELL
        return int((differ & ~right).sum()), int((differ & right).sum())

    def drop_of(self, lost: float) -> float:
        """Points that the reference's score loses, at most, by so many lost samples; gains of won ones below 0."""
        if self.aggregate not in RATIOS:
            return self._f1_drop_of(lost)
        ratio, weights = RATIOS[self.aggregate], np.ones(self.theirs.size) if self.weights is None else self.weights
        whole = float(ratio.numerators(self.theirs, self.weights).sum() / (weights.sum() or 1.0))
        counted = weights > 0
        rates, others = (ratio.numerators(arm, self.weights)[counted] for arm in (self.theirs, self.mine))
        rates, others = rates / weights[counted] * self._worse, others / weights[counted] * self._worse
        least, most = float(min(rates.min(), others.min())), float(max(rates.max(), others.max()))
        most = max(most, whole * self._worse + (abs(whole) or 1.0))
        one = most - float(rates.min()) if lost > 0 else float(rates.max()) - least
        moved = whole + self._worse * one * lost / self.samples
        before, after = ratio.score(np.array([whole, moved]), np.ones(2))
        return float(before - after) * (1.0 if self.higher_is_better else -1.0)

    @property
    def _worse(self) -> float:
        """1 where a larger ratio behind the score is worse."""
        return -1.0 if self.higher_is_better is RATIOS[self.aggregate].rising else 1.0

    def _f1_drop_of(self, lost: float) -> float:
        true, predicted = self.theirs // CELL, self.theirs % CELL
        classes = np.array([1.0]) if self.aggregate == "f1-binary" else np.unique(np.concatenate([true, predicted]))
        members = [int((true == one).sum() + (predicted == one).sum()) for one in classes]
        moved = 2 * lost / max(1, min(members)) / classes.size
        return max(-1.0, min(1.0, moved))


def most_share(seen: int, samples: float) -> float:
    """The share of all data that is marked, at most, where `seen` of so many samples are marked.

    Clopper and Pearson's upper end at 97.5 %.
    """
    n = math.floor(samples)
    if seen >= n:
        return 1.0
    low, high = seen / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        tail = math.fsum(math.comb(n, i) * middle**i * (1 - middle) ** (n - i) for i in range(seen + 1))
        low, high = (middle, high) if tail > _ERROR else (low, middle)
    return high
