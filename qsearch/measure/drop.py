"""How much a candidate loses against fp32 on the same samples, with an interval."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from qsearch.contracts.task import Array
from qsearch.contracts.verdict import Interval
from qsearch.measure.aggregates import resampled_scores, score_of
from qsearch.measure.unseen import FEW, Outcomes, most_share

_CONFIDENCE = 0.95
_Z = NormalDist().inv_cdf(0.5 + _CONFIDENCE / 2)
#: two-sided 5 % error and 80 % power: what an experiment can be expected to show
_Z_POWER = _Z + NormalDist().inv_cdf(0.8)
#: Numbers held at once while resampling: 32 MB of float64.
_HELD = 4_000_000


def paired_drop(
    outcomes: Array,
    reference: Array,
    weights: Array | None,
    higher_is_better: bool,
    seed: int,
    aggregate: str = "mean",
) -> tuple[Interval, Interval, float]:
    """The drop against the reference, positive is worse.

    Right/wrong outcomes (0 or 1, equal weights): Newcombe's score interval for paired proportions
    (1998, method 10), opened to include 0 unless the exact McNemar test rejects at 5 %, so that the
    interval never claims a difference that the exact test does not. Everything else: the percentile
    interval of a paired bootstrap, where both scores are computed again from the same resampled samples,
    widened where fewer than six outcomes differ (see the note of `qsearch.measure.unseen`).

    Args:
        outcomes: float64 [m] of the candidate, finite.
        reference: float64 [m] of fp32 on the same samples, in the same order.
        weights: float64 [m], not negative, not all 0; None = equal.
        higher_is_better: direction of the metric.
        seed: of the resampling; equal seeds give equal intervals.
        aggregate: how outcomes make a score; see `Scores`.

    Returns:
        The relative drop (a reference score of 0 has no relative change: then the drop in points),
        the drop in points of the metric, and the smallest relative drop that this many samples show
        with 80 % power.
    """
    both = Outcomes(
        mine=outcomes, theirs=reference, weights=weights, higher_is_better=higher_is_better, aggregate=aggregate
    )
    if aggregate != "mean":
        return _widened(_aggregated(outcomes, reference, weights, higher_is_better, seed, aggregate), both)
    if not higher_is_better:
        outcomes, reference = -outcomes, -reference
    share = np.full(outcomes.size, 1 / outcomes.size) if weights is None else weights / weights.sum()
    scale = abs(float(share @ reference)) or 1.0
    change = reference - outcomes
    if weights is None and _is_binary(outcomes) and _is_binary(reference):
        points = _binary_interval(change, reference - min(0.0, float(reference.min()), float(outcomes.min())))
        relative = Interval(value=points.value / scale, low=points.low / scale, high=points.high / scale)
        lost, won = int((change > 0).sum()), int((change < 0).sum())
        return relative, points, _least_lost(2 * min(lost, won)) / change.size / scale
    relative, points = _bootstrap(np.stack([outcomes, reference]), share, scale, seed)
    spread = math.sqrt(float(share**2 @ (change - share @ change) ** 2))
    return _widened((relative, points, _Z_POWER * spread / scale), both)


def mcnemar_p(lost: int, won: int) -> float:
    """Exact two-sided McNemar test.

    Args:
        lost: samples that only the reference got right.
        won: samples that only the candidate got right.
    """
    trials = lost + won
    tail: int = sum(math.comb(trials, i) for i in range(min(lost, won) + 1))
    return min(1.0, tail / 2 ** (trials - 1)) if trials else 1.0


def _least_lost(noise: int) -> float:
    """Net samples lost that McNemar's test finds with 80 % power, beside `noise` discordant ones that cancel out.

    NOTE: the lost samples are discordant themselves, so that m of them must stand out of a spread of
    √(noise + m): m² = z²·(noise + m). Without that the least would be 2.8 samples where nothing
    differs, and the exact test cannot reject with fewer than six.
    """
    square = _Z_POWER**2
    return (square + math.sqrt(square**2 + 4 * square * noise)) / 2


def _aggregated(
    outcomes: Array, reference: Array, weights: Array | None, higher_is_better: bool, seed: int, aggregate: str
) -> tuple[Interval, Interval, float]:
    """Both scores are made again from the same resampled samples, whatever they are made by."""
    turn = 1.0 if higher_is_better else -1.0
    mine, theirs = score_of(outcomes, weights, aggregate), score_of(reference, weights, aggregate)
    scale = abs(theirs) or 1.0
    candidate, fp32 = resampled_scores((outcomes, reference), weights, aggregate, _resamples(outcomes.size), seed)
    points = turn * (fp32 - candidate)
    relative = points / np.where(fp32 == 0, scale, np.abs(fp32))
    value = turn * (theirs - mine)
    return (
        _percentile(relative, value / scale),
        _percentile(points, value),
        _Z_POWER * float(relative.std(ddof=1)),
    )


def _widened(found: tuple[Interval, Interval, float], both: Outcomes) -> tuple[Interval, Interval, float]:
    """Room for losses that too few differing outcomes cannot rule out."""
    relative, points, detectable = found
    lost, won = both.differing
    if lost + won >= FEW:
        return found
    scale = abs(score_of(both.theirs, both.weights, both.aggregate)) or 1.0
    high = both.drop_of(both.samples * most_share(lost, both.samples))
    low = both.drop_of(-both.samples * most_share(won, both.samples))
    return (
        _holding(relative, low / scale, high / scale),
        _holding(points, low, high),
        max(detectable, both.drop_of(_least_lost(2 * min(lost, won))) / scale),
    )


def _holding(interval: Interval, low: float, high: float) -> Interval:
    return replace(interval, low=min(interval.low, low), high=max(interval.high, high))


def _resamples(n: int) -> int:
    return min(4000, max(1000, 20_000_000 // n))


def _is_binary(values: Array) -> bool:
    """0 and 1, or 0 and −1 once the sign of a lower-is-better metric is turned."""
    return bool(np.isin(values, (0.0, 1.0)).all() or np.isin(values, (0.0, -1.0)).all())


def _binary_interval(change: Array, reference: Array) -> Interval:
    """Interval of mean(change); `reference` is 1 where fp32 was right, change 1 where only fp32 was."""
    n = change.size
    lost, won = int((change > 0).sum()), int((change < 0).sum())
    both = int((reference > 0).sum()) - lost
    neither = n - both - lost - won
    first, second = (both + lost) / n, (both + won) / n
    (low1, high1), (low2, high2) = _wilson(first, n), _wilson(second, n)
    phi = _correlation(both, lost, won, neither)
    down = (first - low1) ** 2 - 2 * phi * (first - low1) * (high2 - second) + (high2 - second) ** 2
    up = (high1 - first) ** 2 - 2 * phi * (high1 - first) * (second - low2) + (second - low2) ** 2
    value = (lost - won) / n
    low, high = value - math.sqrt(max(0.0, down)), value + math.sqrt(max(0.0, up))
    if mcnemar_p(lost, won) > 1 - _CONFIDENCE:
        low, high = min(low, 0.0), max(high, 0.0)
    return Interval(value=value, low=low, high=high, confidence=_CONFIDENCE)


def _correlation(both: int, lost: int, won: int, neither: int) -> float:
    """φ of the paired table, with Newcombe's continuity correction."""
    product = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    if not product:
        return 0.0
    cross = float(both * neither - lost * won)
    if cross > 0:
        cross = max(cross - (both + lost + won + neither) / 2, 0.0)
    return cross / math.sqrt(product)


def _wilson(p: float, n: int) -> tuple[float, float]:
    centre = p + _Z * _Z / (2 * n)
    spread = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    scale = 1 + _Z * _Z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def _bootstrap(scores: Array, share: Array, scale: float, seed: int) -> tuple[Interval, Interval]:
    """Relative and absolute drop of [2, m] (candidate, reference), resampled as pairs."""
    n = share.size
    resamples = _resamples(n)
    weighted = np.vstack([scores * share, share])
    generator, rows = np.random.default_rng(seed), max(1, _HELD // (3 * n))
    drawn = []
    for start in range(0, resamples, rows):
        picks = generator.integers(0, n, (min(rows, resamples - start), n))
        drawn.append(np.stack([part[picks].sum(axis=1) for part in weighted]))
    candidate, reference, total = np.concatenate(drawn, axis=1)
    total = np.where(total > 0, total, 1.0)
    candidate, reference = candidate / total, reference / total
    points = reference - candidate
    against = np.where(reference == 0, scale, np.abs(reference))
    value = float(share @ scores[1] - share @ scores[0])
    return _percentile(points / against, value / scale), _percentile(points, value)


def _percentile(drawn: Array, value: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Interval(value=value, low=min(float(low), value), high=max(float(high), value), confidence=_CONFIDENCE)
