"""Intervals against brute force, verdicts against their rule, tails against LoadGen's floors."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from qsearch.contracts.errors import DataError
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.measure.luck import SESSION_SD
from qsearch.measure.signed_rank import signed_rank_cdf
from qsearch.measure.statistics import (
    detectable,
    hodges_lehmann,
    over_sessions,
    samples_needed,
    tail_percentile,
    verdict,
    within_sessions,
)


@pytest.mark.parametrize("n", range(1, 11))
def test_the_distribution_is_that_of_all_sign_patterns(n: int) -> None:
    sums = [
        sum(r for r, s in zip(range(1, n + 1), signs, strict=True) if s)
        for signs in itertools.product((0, 1), repeat=n)
    ]
    expected = [np.mean([total <= w for total in sums]) for w in range(n * (n + 1) // 2 + 1)]
    np.testing.assert_allclose(signed_rank_cdf(n), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "reached"), [(1, 0.0), (4, 0.875), (5, 0.9375), (6, 0.96875), (8, 0.9609375)])
def test_few_values_say_what_they_can_reach(n: int, reached: float) -> None:
    assert hodges_lehmann(list(range(n))).confidence == pytest.approx(reached)


def test_the_interval_is_the_set_of_shifts_that_the_exact_test_keeps() -> None:
    x = np.random.default_rng(0).normal(0.3, 1, 9)
    interval = hodges_lehmann(x.tolist())
    below = signed_rank_cdf(9)

    def p_value(shift: float) -> float:
        d = x - shift
        ranks = np.abs(d).argsort().argsort() + 1
        w = min(int(ranks[d > 0].sum()), int(ranks[d < 0].sum()))
        return 2 * below[w]

    assert p_value(interval.low - 1e-9) <= 0.05 < p_value(interval.low + 1e-9)
    assert p_value(interval.high + 1e-9) <= 0.05 < p_value(interval.high - 1e-9)
    assert interval.low < interval.value < interval.high


def test_coverage_over_many_simulations_is_what_is_said() -> None:
    rng = np.random.default_rng(1)
    hits = [(i := hodges_lehmann(rng.standard_t(3, 12).tolist())).low <= 0 <= i.high for _ in range(2000)]
    assert 0.94 < np.mean(hits) < 0.98


def test_shift_and_scale_move_the_interval_with_the_data() -> None:
    x = np.random.default_rng(2).normal(size=10)
    one, other = hodges_lehmann(x.tolist()), hodges_lehmann((3 * x + 2).tolist())
    assert (other.value, other.low, other.high) == pytest.approx((3 * one.value + 2, 3 * one.low + 2, 3 * one.high + 2))


@pytest.mark.parametrize("bad", [[], [float("nan"), 1.0], [float("inf")]])
def test_no_interval_from_nothing(bad: list[float]) -> None:
    with pytest.raises(DataError, match="finite numbers"):
        hodges_lehmann(bad)


def test_few_sessions_have_the_luck_that_is_assumed_and_more_when_they_disagree() -> None:
    calm, moved = [0.0, 0.001, -0.001, 0.0005], [0.05, 0.051, 0.049, 0.0505]
    one, two, torn = over_sessions([calm, []]), over_sessions([calm, calm]), over_sessions([calm, moved])
    assert one.high - one.low > two.high - two.low > 2 * SESSION_SD
    assert torn.high - torn.low > 1.5 * (two.high - two.low)
    assert torn.low <= 0.0
    assert torn.high >= 0.05
    lopsided = over_sessions([[0.0] * 11, [0.0]])
    assert two.high < lopsided.high <= one.high


def test_the_interval_within_sessions_does_not_see_how_sessions_differ() -> None:
    rng = np.random.default_rng(5)
    pairs = [rng.normal(0, 0.01, 6).tolist() for _ in range(2)]
    apart = [pairs[0], [x + 0.1 for x in pairs[1]]]
    near, far = within_sessions(pairs), within_sessions(apart)
    assert far.high - far.low == pytest.approx(near.high - near.low)
    assert far.low <= far.value <= far.high


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_an_interval_of_few_pairs_is_stretched_to_what_it_says(n: int) -> None:
    rng = np.random.default_rng(6)
    found = [within_sessions([rng.normal(0, 1, n).tolist()]) for _ in range(2000)]
    assert all(i.confidence >= 0.95 for i in found)
    # Residuals are centred and widened again, so a hair is lost to the exact interval.
    assert np.mean([i.low <= 0 <= i.high for i in found]) > 0.94


def test_the_quantiles_are_those_of_student() -> None:
    from scipy.stats import t

    from qsearch.measure import luck, statistics

    for freedom, quantile in luck._T.items():
        assert quantile == pytest.approx(t.ppf(0.975, freedom), abs=6e-4)
    for n, stretch in statistics._STRETCH.items():
        reached = hodges_lehmann(list(range(n))).confidence
        assert stretch == pytest.approx(t.ppf(0.975, n - 1) / t.ppf((1 + reached) / 2, n - 1), abs=6e-4)


def test_a_wide_interval_must_also_keep_away_from_one() -> None:
    def said(low: float, value: float, high: float) -> Verdict:
        return verdict(Interval(value=value, low=low, high=high), 0.02)

    assert said(1.03, 1.05, 1.07) is Verdict.SLOWER
    assert said(1.03, 1.13, 1.23) is Verdict.UNRESOLVED, "1 is in an interval half as wide again"
    assert said(1.06, 1.16, 1.26) is Verdict.SLOWER
    assert said(0.77, 0.87, 0.97) is Verdict.UNRESOLVED
    assert said(0.74, 0.84, 0.94) is Verdict.FASTER


@pytest.mark.parametrize("half", [0.005, 0.03, 0.08])
def test_detectable_is_where_the_verdict_turns(half: float) -> None:
    def said(value: float) -> Verdict:
        return verdict(Interval(value=value, low=value - half, high=value + half), 0.02)

    edge = detectable(Interval(value=1.0, low=1 - half, high=1 + half), 0.02)
    assert said(1 + 1.001 * edge) is Verdict.SLOWER
    assert said(1 + 0.999 * edge) is not Verdict.SLOWER


def test_six_sessions_are_the_sample_and_pairs_are_not() -> None:
    rng = np.random.default_rng(3)
    luck = rng.normal(0, 0.02, 6)
    sessions = [(shift + rng.normal(0, 0.001, 6)).tolist() for shift in luck]
    interval = over_sessions(sessions)
    assert interval.confidence == pytest.approx(0.96875)
    assert interval.low == pytest.approx(min(luck), abs=0.002)
    assert interval.high == pytest.approx(max(luck), abs=0.002)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.90, 0.97, Verdict.FASTER),
        (1.03, 1.10, Verdict.SLOWER),
        (0.99, 1.01, Verdict.EQUIVALENT),
        (0.98, 1.02, Verdict.EQUIVALENT),
        (0.90, 0.985, Verdict.UNRESOLVED),
        (0.5, 2.0, Verdict.UNRESOLVED),
    ],
)
def test_verdicts_follow_the_rule(low: float, high: float, said: Verdict) -> None:
    interval = Interval(value=(low + high) / 2, low=low, high=high)
    assert verdict(interval, 0.02) is said
    assert verdict(interval, 0.02, polluted=True) is Verdict.POLLUTED
    assert verdict(replace(interval, confidence=0.875), 0.02) is Verdict.UNRESOLVED


@pytest.mark.parametrize(("p", "floor"), [(0.5, 11), (0.9, 64), (0.95, 130), (0.99, 662)])
def test_tails_have_the_floors_of_loadgen(p: float, floor: int) -> None:
    # Seven losses of eleven tosses: LoadGen's own tables begin with one sample above the quantile.
    assert samples_needed(p) == floor
    assert tail_percentile([1.0] * (floor - 1), p) is None
    assert tail_percentile([1.0] * floor, p) == 1.0


@pytest.mark.parametrize(("n", "rank"), [(100, 3), (200, 10), (400, 26)])
def test_p90_is_the_stated_order_statistic(n: int, rank: int) -> None:
    samples = np.random.default_rng(4).permutation(n).tolist()
    assert tail_percentile(samples, 0.9) == n - rank


def test_a_tail_outside_its_range_is_refused() -> None:
    with pytest.raises(DataError):
        tail_percentile([1.0] * 100, 1.0)
