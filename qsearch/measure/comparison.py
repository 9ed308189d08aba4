"""Two arms that may never have met: their times through fp32, their outcomes sample by sample."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from qsearch.contracts.comparison import AccuracyCompared, Basis, PairedTest, TimeCompared
from qsearch.contracts.errors import Incomparable
from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.task import CELL, Array
from qsearch.contracts.verdict import Interval, Verdict, theta
from qsearch.measure.accuracy import part_of
from qsearch.measure.aggregates import CLASSES
from qsearch.measure.drop import mcnemar_p, paired_drop
from qsearch.measure.statistics import detectable, verdict

#: θ of the verdict, as in the search
THRESHOLD = 0.02
#: Resampling is seeded with a constant: the same outcomes have the same interval, on every machine.
_SEED = 20_230_917
#: samples that two scores which were stopped early must share: fewer cannot show any difference by an exact test
LEAST_SHARED = 6


def met(latency: Latency, basis: Basis) -> TimeCompared:
    """Two arms of one sitting: what the sitting says of the second against the first."""
    return TimeCompared(
        basis=basis,
        ratio=latency.ratio,
        verdict=latency.verdict,
        detectable=latency.detectable,
        flags=latency.flags,
        reference_ms=latency.reference_ms,
    )


def through_fp32(first: Latency, second: Latency) -> TimeCompared:
    """The ratio of two ratios to fp32, of two sittings.

    NOTE: the sittings are independent (other processes, another time), so that the halves of their
    intervals in logarithms add in quadrature, each side by the ends that push it that way (Zou and Donner
    2008, recovery of variance estimates). The result is always wider than either. It rests on fp32 having
    been the same work in both sittings; the caller sees to that.

    Args:
        first, second: each against fp32 of its own sitting.

    Returns:
        POLLUTED where either sitting was; the verdict's θ is 2 %, never less than 20 µs of the first's time.
    """
    a, b = first.ratio, second.ratio
    value = math.log(b.value / a.value)
    down = math.hypot(math.log(b.value / b.low), math.log(a.high / a.value))
    up = math.hypot(math.log(b.high / b.value), math.log(a.value / a.low))
    ratio = Interval(
        value=math.exp(value),
        low=math.exp(value - down),
        high=math.exp(value + up),
        confidence=min(a.confidence, b.confidence),
    )
    matters = theta(first.median_ms, THRESHOLD)
    polluted = Verdict.POLLUTED in (first.verdict, second.verdict)
    return TimeCompared(
        basis=Basis.INDIRECT,
        ratio=ratio,
        verdict=verdict(ratio, matters, polluted=polluted),
        detectable=detectable(ratio, matters),
        flags=tuple(dict.fromkeys((*first.flags, *second.flags))),
        reference_ms=first.median_ms,
    )


def paired(first: Accuracy, second: Accuracy) -> AccuracyCompared:
    """The second's outcomes against the first's on the same samples; see `paired_drop` for the intervals.

    Whether the splits are the same is the caller's to know; that they are as large is looked at here. Of scores
    that were stopped early, the samples that both have seen are compared, and both scores are made of those.

    Raises:
        Incomparable: other metrics, splits, sizes, weights or ways to make a score, too few samples in common,
            or outcomes that were not kept; names both values.
    """
    for what, mine, theirs in (
        ("metric", first.metric, second.metric),
        ("split", first.split, second.split),
        ("what makes the score", first.aggregate, second.aggregate),
        ("direction", _direction(first), _direction(second)),
        ("number of outcomes", _whole(first), _whole(second)),
    ):
        if mine != theirs:
            raise Incomparable(f"scores cannot be paired: {what} is {mine} here and {theirs} there")
    of = _whole(first)
    first, second = _shared(first, second)
    if first.weights != second.weights:
        raise Incomparable("scores cannot be paired: the weights of the samples differ")
    weights = np.asarray(first.weights, np.float64) if first.weights else None
    one, two = np.asarray(first.outcomes, np.float64), np.asarray(second.outcomes, np.float64)
    if first.aggregate in CLASSES and (one // CELL != two // CELL).any():
        raise Incomparable("scores cannot be paired: the true classes of the samples differ")
    drop, points, least = paired_drop(two, one, weights, first.higher_is_better, _SEED, first.aggregate)
    told = AccuracyCompared(
        metric=first.metric,
        split=first.split,
        n=one.size,
        of=of,
        first=first.score,
        second=second.score,
        drop=drop,
        drop_points=points,
        detectable=least,
        test=PairedTest.BOOTSTRAP,
    )
    exact = first.aggregate == "mean" and weights is None and _binary(one) and _binary(two)
    return _exact(told, first, one, two) if exact else told


def _direction(accuracy: Accuracy) -> str:
    return "higher is better" if accuracy.higher_is_better else "lower is better"


def _whole(accuracy: Accuracy) -> int:
    """Outcomes of the whole split."""
    return accuracy.of or len(accuracy.outcomes)


def _shared(first: Accuracy, second: Accuracy) -> tuple[Accuracy, Accuracy]:
    """Both on the samples that both have; as they are where neither was stopped early."""
    here, there = _samples(first), _samples(second)
    common, mine, theirs = np.intersect1d(here, there, assume_unique=True, return_indices=True)
    if common.size == _whole(first):
        return first, second
    if common.size < LEAST_SHARED:
        raise Incomparable(
            f"scores cannot be paired: of {_whole(first)} samples, the first was scored on {here.size}, the "
            f"second on {there.size}, and both on {common.size}; {LEAST_SHARED} are needed",
            "search: {racing: false} scores every trial on all samples.",
        )
    return part_of(first, mine), part_of(second, theirs)


def _samples(accuracy: Accuracy) -> Array:
    """Numbers of the outcomes within the split, int64 [n]."""
    if not accuracy.outcomes:
        raise Incomparable("scores cannot be paired: no outcome of a sample was kept")
    numbers = np.asarray(accuracy.samples or range(_whole(accuracy)), np.int64)
    if numbers.size != len(accuracy.outcomes):
        raise Incomparable(
            f"scores cannot be paired: {len(accuracy.outcomes)} of {_whole(accuracy)} samples were scored, and "
            "which ones was not kept"
        )
    return numbers


def _exact(told: AccuracyCompared, first: Accuracy, one: Array, two: Array) -> AccuracyCompared:
    right_one, right_two = (one, two) if first.higher_is_better else (1 - one, 1 - two)
    lost, won = int((right_one > right_two).sum()), int((right_two > right_one).sum())
    return replace(told, test=PairedTest.MCNEMAR, only_first=lost, only_second=won, p=mcnemar_p(lost, won))


def _binary(outcomes: Array) -> bool:
    return bool(np.isin(outcomes, (0.0, 1.0)).all())
