"""Two arms that may never have met: their times through fp32, their outcomes sample by sample."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from qsearch.contracts.comparison import AccuracyCompared, Basis, PairedTest, TimeCompared
from qsearch.contracts.errors import Incomparable
from qsearch.contracts.measurement import Accuracy, Latency
from qsearch.contracts.task import Array
from qsearch.contracts.verdict import Interval, Verdict, theta
from qsearch.measure.drop import mcnemar_p, paired_drop
from qsearch.measure.statistics import verdict

#: θ of the verdict, as in the search
THRESHOLD = 0.02
#: Resampling is seeded with a constant: the same outcomes have the same interval, on every machine.
_SEED = 20_230_917


def met(latency: Latency, basis: Basis) -> TimeCompared:
    """Two arms of one sitting: what the sitting says of the second against the first."""
    return TimeCompared(
        basis=basis,
        ratio=latency.ratio,
        verdict=latency.verdict,
        detectable=latency.detectable,
        flags=latency.flags,
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
        detectable=matters + max(ratio.high - ratio.value, ratio.value - ratio.low) / ratio.value,
        flags=tuple(dict.fromkeys((*first.flags, *second.flags))),
    )


def paired(first: Accuracy, second: Accuracy) -> AccuracyCompared:
    """The second's outcomes against the first's on the same samples; see `paired_drop` for the intervals.

    Whether the samples are the same is the caller's to know; that they are as many is looked at here.

    Raises:
        Incomparable: other metrics, splits, numbers of outcomes or weights, or outcomes that were not kept;
            names both values.
    """
    for what, mine, theirs in (
        ("metric", first.metric, second.metric),
        ("split", first.split, second.split),
        ("number of outcomes", len(first.outcomes), len(second.outcomes)),
    ):
        if mine != theirs:
            raise Incomparable(f"scores cannot be paired: {what} is {mine} here and {theirs} there")
    if not first.outcomes:
        raise Incomparable("scores cannot be paired: no outcome of a sample was kept")
    if first.weights != second.weights:
        raise Incomparable("scores cannot be paired: the weights of the samples differ")
    weights = np.asarray(first.weights, np.float64) if first.weights else None
    one, two = np.asarray(first.outcomes, np.float64), np.asarray(second.outcomes, np.float64)
    drop, points, detectable = paired_drop(two, one, weights, first.higher_is_better, _SEED)
    told = AccuracyCompared(
        metric=first.metric,
        split=first.split,
        n=one.size,
        first=first.score,
        second=second.score,
        drop=drop,
        drop_points=points,
        detectable=detectable,
        test=PairedTest.BOOTSTRAP,
    )
    return told if weights is not None or not (_binary(one) and _binary(two)) else _exact(told, first, one, two)


def _exact(told: AccuracyCompared, first: Accuracy, one: Array, two: Array) -> AccuracyCompared:
    right_one, right_two = (one, two) if first.higher_is_better else (1 - one, 1 - two)
    lost, won = int((right_one > right_two).sum()), int((right_two > right_one).sum())
    return replace(told, test=PairedTest.MCNEMAR, only_first=lost, only_second=won, p=mcnemar_p(lost, won))


def _binary(outcomes: Array) -> bool:
    return bool(np.isin(outcomes, (0.0, 1.0)).all())
