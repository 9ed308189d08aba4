"""Ties, verdicts and the finals share one rule: 2 %, and never less than 20 µs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import Constraints, DropLimit, SpaceSpec
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Interval, Verdict, rests_on_absolute, theta
from qsearch.measure.statistics import verdict
from qsearch.search.margin import Margin
from qsearch.search.pareto import front
from qsearch.search.pick import pick
from qsearch.search.space import Space
from tests.factories import TARGET, make_candidate, make_layers, make_result

LAYERS = make_layers(2)
FP32, TERNARY = make_candidate(LAYERS, Choice.FP32), make_candidate(LAYERS, Choice.TERNARY)
SPACE = Space.of(LAYERS, SpaceSpec())
LIMIT = Constraints(drop=DropLimit(amount=0.5, relative=True))


def of(value: float, half: float = 0.0) -> Interval:
    return Interval(value=value, low=value - half, high=value + half)


def timed(number: int, ratio: float, reference_ms: float, *, drop: float = 0.0) -> Result:
    """A trial whose verdict is that of a sitting with this reference."""
    made = make_result(number, TERNARY if number else FP32, drop=drop, ratio=ratio)
    said = verdict(made.latency.ratio, theta(reference_ms))
    return replace(made, latency=replace(made.latency, reference_ms=reference_ms, verdict=said))


def test_theta_is_two_percent_and_never_less_than_20_microseconds() -> None:
    assert theta(10.0) == 0.02
    assert theta(0.1) == pytest.approx(0.2)
    assert theta(10.0, 0.05) == 0.05
    assert theta(math.nan) == theta(0.0) == 0.02


def test_a_verdict_rests_on_the_20_microseconds_where_it_calls_nothing() -> None:
    assert rests_on_absolute(Verdict.EQUIVALENT, 0.006)
    assert rests_on_absolute(Verdict.UNRESOLVED, 0.5)
    assert not rests_on_absolute(Verdict.EQUIVALENT, 1.5)
    assert not rests_on_absolute(Verdict.FASTER, 0.006)


def test_a_gap_of_less_than_20_microseconds_is_a_tie_and_of_more_is_none() -> None:
    margin = Margin.of(0.1)
    assert margin.tied(of(1.0), of(0.81))
    assert not margin.tied(of(1.0), of(0.79))
    assert margin.tied(of(1.0, 0.02), of(0.79)), "between the intervals, not the estimates"
    assert Margin.of(None) == Margin.of(math.nan) == Margin(absolute=0.0)
    assert not Margin().tied(of(1.0), of(0.95))


@pytest.mark.parametrize(("reference_ms", "ratio"), [(0.006, 1.21), (0.006, 0.5), (0.1, 0.9), (10.0, 0.99)])
def test_what_a_verdict_calls_equivalent_to_fp32_is_tied_with_it(reference_ms: float, ratio: float) -> None:
    fp32, other = timed(0, 1.0, reference_ms), timed(1, ratio, reference_ms, drop=0.1)
    assert other.latency.verdict is Verdict.EQUIVALENT
    places = {entry.number: entry for entry in front([fp32, other], LIMIT, ("latency", "drop"))}
    assert (places[1].rank, places[1].tied_with) == (1, 0)


@pytest.mark.parametrize(("ratio", "rank"), [(0.5, 0), (1.5, 2)])
def test_what_a_verdict_calls_faster_or_slower_is_no_tie(ratio: float, rank: int) -> None:
    fp32, other = timed(0, 1.0, 0.1), timed(1, ratio, 0.1, drop=0.1)
    assert other.latency.verdict in (Verdict.FASTER, Verdict.SLOWER)
    assert {entry.number: entry.rank for entry in front([fp32, other], LIMIT, ("latency", "drop"))}[1] == rank


def test_the_reason_names_the_20_microseconds_and_finals_are_told_apart_from_none() -> None:
    history = [timed(0, 1.0, 0.006), timed(1, 0.83, 0.006)]
    best = pick("J", TARGET, history, LIMIT, SPACE, None)
    assert best.reason.endswith("EQUIVALENT (differences under 20 µs count as equal).")
    assert best.finals is False
