"""Two trials that may never have met."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qsearch.contracts.comparison import Basis, PairedTest
from qsearch.contracts.errors import Incomparable
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.verdict import Verdict
from qsearch.measure.comparison import met, paired, through_fp32
from tests.factories import make_accuracy, make_latency


def scored(outcomes: list[float], **changes: object) -> Accuracy:
    score = float(np.mean(outcomes)) if outcomes else 0.0
    made = replace(make_accuracy(n=len(outcomes)), outcomes=tuple(outcomes), score=score)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_ratio_through_fp32_is_wider_than_either_and_turns_over_with_the_order() -> None:
    a, b = make_latency(0.8, 0.02), make_latency(0.6, 0.02)
    there, back = through_fp32(a, b), through_fp32(b, a)
    assert there.basis is Basis.INDIRECT
    assert there.ratio.value == pytest.approx(0.75)
    assert there.verdict is Verdict.FASTER
    assert back.ratio.value == pytest.approx(1 / there.ratio.value)
    assert (back.ratio.low, back.ratio.high) == pytest.approx((1 / there.ratio.high, 1 / there.ratio.low))
    width = math.log(there.ratio.high / there.ratio.low)
    for own in (a.ratio, b.ratio):
        assert width > math.log(own.high / own.low)
    assert width < math.log(a.ratio.high / a.ratio.low) + math.log(b.ratio.high / b.ratio.low)


def test_the_propagated_interval_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(11)
    sd, truth, rounds = 0.01, math.log(0.7 / 0.9), 2000
    half = 1.959964 * sd

    def seen(log: float):
        latency = make_latency(math.exp(log))
        ratio = replace(latency.ratio, low=math.exp(log - half), high=math.exp(log + half))
        return replace(latency, ratio=ratio)

    hits = 0
    for _ in range(rounds):
        first, second = draw.normal([math.log(0.9), math.log(0.7)], sd)
        found = through_fp32(seen(float(first)), seen(float(second))).ratio
        hits += found.low <= math.exp(truth) <= found.high
    assert hits / rounds == pytest.approx(0.95, abs=0.015)


def test_equal_trials_are_never_told_apart_and_pollution_is_inherited() -> None:
    same = make_latency(0.8, 0.05)
    assert through_fp32(same, same).verdict is Verdict.UNRESOLVED
    dirty = make_latency(0.5, 0.01, verdict=Verdict.POLLUTED)
    assert through_fp32(same, dirty).verdict is Verdict.POLLUTED
    flagged = replace(same, flags=("indicative",))
    assert through_fp32(flagged, same).flags == ("indicative",)


def test_twenty_microseconds_never_matter() -> None:
    tiny = replace(make_latency(1.0, 0.001), median_ms=0.05)
    assert through_fp32(tiny, make_latency(0.9, 0.001)).verdict is Verdict.EQUIVALENT


def test_arms_that_met_are_told_as_their_sitting_told_them() -> None:
    latency = make_latency(0.9, 0.01)
    told = met(latency, Basis.FINALS)
    assert (told.ratio, told.verdict, told.detectable) == (latency.ratio, latency.verdict, latency.detectable)


def test_right_and_wrong_are_compared_by_the_exact_test_on_discordant_samples() -> None:
    told = paired(scored([1.0] * 90 + [0.0] * 10), scored([1.0] * 80 + [0.0] * 10 + [1.0] + [0.0] * 9))
    assert told.test is PairedTest.MCNEMAR
    assert (told.only_first, told.only_second, told.n) == (10, 1, 100)
    # two-sided: twice the tail of Binomial(11, ½) at 1
    assert told.p == pytest.approx(2 * 12 / 2**11)
    assert told.drop_points.value == pytest.approx(0.09)
    assert told.drop.value == pytest.approx(0.09 / 0.9)
    assert 0 < told.drop.low < told.drop.high
    assert told.detectable > 0


def test_where_less_is_better_a_sample_that_only_the_first_got_right_still_counts_as_lost() -> None:
    first, second = [0.0] * 9 + [1.0], [0.0] * 5 + [1.0] * 5
    told = paired(scored(first, higher_is_better=False), scored(second, higher_is_better=False))
    assert (told.only_first, told.only_second) == (4, 0)
    assert told.drop_points.value > 0


def test_other_outcomes_are_resampled_in_pairs() -> None:
    draw = np.random.default_rng(3)
    base = draw.random(200)
    told = paired(scored(base.tolist()), scored((base - 0.05).tolist()))
    assert told.test is PairedTest.BOOTSTRAP
    assert (told.p, told.only_first) == (None, None)
    assert told.drop_points.value == pytest.approx(0.05)
    # paired: what samples have in common is gone
    assert told.drop_points.high - told.drop_points.low < 1e-9
    weighted = {"weights": tuple([1.0, 2.0] * 100)}
    assert paired(scored(base.tolist(), **weighted), scored(base.tolist(), **weighted)).drop.value == 0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"metric": "f1"}, "metric is top1 here and f1 there"),
        ({"split": "heldout"}, "split is search here and heldout there"),
        ({"outcomes": (1.0,)}, "number of outcomes is 2 here and 1 there"),
        ({"weights": (1.0, 2.0)}, "weights"),
    ],
)
def test_what_cannot_be_paired_is_refused_with_both_values(changes: dict[str, object], what: str) -> None:
    with pytest.raises(Incomparable, match=what):
        paired(scored([1.0, 0.0]), replace(scored([1.0, 0.0]), **changes))  # type: ignore[arg-type]
    with pytest.raises(Incomparable, match="no outcome"):
        paired(scored([]), scored([]))
