"""When a candidate's accuracy may stop being scored: looks, order, and the bound that stops it.

NOTE: how sure a stop is. Samples of a look are drawn without replacement from a split whose fp32 outcomes
are all known, and what is foreseen is the candidate's point estimate on the whole split.

- Right or wrong, equal weights, one sample per batch: exact. Of the samples that fp32 has right, so many have
  been lost; of those it has wrong, so many have been won; the hypergeometric distribution bounds what the whole
  split loses from below and what it wins from above, each with half of the look's error.
- Everything else: Student's one-sided bound of a ratio of totals over the batches seen, with the correction for
  a finite split (Cochran, "Sampling Techniques", 1977, sections 2.8 and 6.4). It is approximate. Losses that
  are rare and large, as quantization makes them, err to the safe side (fewer stops); gains that are rare and
  large would err to the other. Below `LEAST_UNITS` batches nobody is stopped by it.

Nobody is stopped for being dominated: whether a candidate reaches the front is a matter of its latency's
interval and of trials to come, and no bound on its drop can say it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.racing import Racing
from qsearch.contracts.task import Array
from qsearch.measure.aggregates import RATIOS

#: batches that Student's bound needs
LEAST_UNITS = 30
#: a split of fewer batches is not worth a look before its end
LEAST_SPLIT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One stop on the way through a split."""

    #: numbers of the batches that are scored for this look and were not before
    batches: tuple[int, ...]
    #: everything has been seen: the point estimate decides
    last: bool


def looks(count: int, racing: Racing) -> tuple[Look, ...]:
    """The batches of a split in the race's order, cut at its looks; equal for all candidates.

    Args:
        count: batches of the split.
        racing: order and looks.
    """
    order = np.random.default_rng(racing.seed).permutation(count)
    ends = [math.ceil(share * count) for share in racing.looks] if count >= LEAST_SPLIT else [count]
    ends = sorted({*ends, count})
    starts = [0, *ends[:-1]]
    return tuple(Look(batches=tuple(order[a:b].tolist()), last=b == count) for a, b in zip(starts, ends, strict=True))


def is_hopeless(reference: Accuracy, outcomes: Array, samples: Array, units: Array, racing: Racing) -> bool:
    """Whether the candidate surely breaks the limit on the whole split, judged by what was seen so far.

    Args:
        reference: fp32 on the whole split, one outcome per sample.
        outcomes: of the candidate, float64 [n].
        samples: which samples these are, int64 [n].
        units: number of the batch of every sample of the split, int64 [of].
        racing: limit and error; one look's share of it is spent.

    Returns:
        False where nothing can be said.
    """
    error = racing.alpha / len(racing.looks)
    fp32 = np.asarray(reference.outcomes, np.float64)
    if reference.aggregate not in RATIOS:
        return False
    plain = reference.aggregate == "mean" and not reference.weights and units.max() + 1 == fp32.size
    if plain and _right_or_wrong(fp32, outcomes):
        return _surely_lost(reference, outcomes, samples, error) > _room(reference, racing) * fp32.size
    return _mean_bound(reference, outcomes, samples, units, error) > _room(reference, racing)


def least_of(seen: int, drawn: int, population: int, error: float) -> int:
    """The fewest marked ones that a population may hold, where `seen` of `drawn` are marked.

    The lower end of the exact one-sided interval of the hypergeometric distribution: the true number is below
    it with probability `error` at most.
    """
    if seen == 0:
        return 0
    low, high = seen, population - (drawn - seen)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, population + 1)))])
    while low < high:
        middle = (low + high) // 2
        if _tail(seen, drawn, middle, factorials) > error:
            high = middle
        else:
            low = middle + 1
    return low


def most_of(seen: int, drawn: int, population: int, error: float) -> int:
    """The most marked ones that a population may hold: see `least_of`."""
    return population - least_of(drawn - seen, drawn, population, error)


def _right_or_wrong(*arrays: Array) -> bool:
    return all(bool(np.isin(array, (0.0, 1.0)).all()) for array in arrays)


def _surely_lost(reference: Accuracy, outcomes: Array, samples: Array, error: float) -> float:
    """Net samples lost on the whole split, at least; positive is worse."""
    fp32 = np.asarray(reference.outcomes, np.float64)
    # a right outcome of a metric where lower is better is 0
    good = fp32 if reference.higher_is_better else 1 - fp32
    mine = outcomes if reference.higher_is_better else 1 - outcomes
    was_right = good[samples] == 1
    right, drawn = int(good.sum()), int(was_right.sum())
    lost = least_of(int((mine[was_right] == 0).sum()), drawn, right, error / 2)
    won = most_of(int((mine[~was_right] == 1).sum()), samples.size - drawn, fp32.size - right, error / 2)
    return float(lost - won)


def _room(reference: Accuracy, racing: Racing) -> float:
    """How much worse the ratio behind the score may get: per unit of the denominator, positive is worse."""
    ratio = RATIOS[reference.aggregate]
    allowed = racing.limit.amount * ((abs(reference.score) or 1.0) if racing.limit.relative else 1.0)
    worst = reference.score - allowed if reference.higher_is_better else reference.score + allowed
    # from the score that was computed, so that both ends are rounded alike
    return _sign(reference) * (ratio.inverse(reference.score) - ratio.inverse(worst)) + 1e-12


def _sign(reference: Accuracy) -> float:
    """1 where a larger ratio is better."""
    return 1.0 if reference.higher_is_better is RATIOS[reference.aggregate].rising else -1.0


def _mean_bound(reference: Accuracy, outcomes: Array, samples: Array, units: Array, error: float) -> float:
    """How much worse the whole split's ratio is, at least; minus infinity where too little was seen."""
    ratio = RATIOS[reference.aggregate]
    weights = np.asarray(reference.weights, np.float64) if reference.weights else np.ones(len(reference.outcomes))
    fp32 = np.asarray(reference.outcomes, np.float64)[samples]
    change = _sign(reference) * (
        ratio.numerators(fp32, weights[samples]) - ratio.numerators(outcomes, weights[samples])
    )
    _, where = np.unique(units[samples], return_inverse=True)
    worse, size = np.bincount(where, change), np.bincount(where, weights[samples])
    n, count = worse.size, int(units.max()) + 1
    if n < LEAST_UNITS or not size.sum():
        return -math.inf
    found = worse.sum() / size.sum()
    spread = worse - found * size
    # of the whole split's mean size, which is known, and not of the seen one's
    variance = (1 - n / count) * float(spread @ spread) / (n - 1) / n / (weights.sum() / count) ** 2
    return float(found - _student(n - 1, error) * math.sqrt(variance))


def _tail(seen: int, drawn: int, marked: int, factorials: Array) -> float:
    """P(at least `seen` of `drawn` are marked), where `marked` of a population are; `factorials` are logarithms."""
    clean = factorials.size - 1 - marked
    values = np.arange(max(seen, drawn - clean), min(drawn, marked) + 1)
    logs = _log_choose(marked, values, factorials) + _log_choose(clean, drawn - values, factorials)
    every = _log_choose(factorials.size - 1, np.array([drawn]), factorials)
    return float(np.exp(logs - every).sum())


def _log_choose(n: int, k: Array, factorials: Array) -> Array:
    chosen: Array = factorials[n] - factorials[k] - factorials[n - k]
    return chosen


def _student(freedom: int, error: float) -> float:
    """The upper quantile of Student's t. Source: Abramowitz and Stegun, 26.7.5; for 29 degrees and more."""
    z = NormalDist().inv_cdf(1 - error)
    terms: Sequence[float] = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / float(freedom) ** power for power, term in enumerate(terms))
