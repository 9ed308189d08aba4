"""The instrument's promises, counted over thousands of simulated screens and finals whose truth is known.

Each session has its luck, normal or a rare jump; each pair its noise. The design rate is 1 % of equal models
called FASTER or SLOWER.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from qsearch.contracts.noise import EqualSession, SessionLuck
from qsearch.contracts.verdict import Interval, Verdict
from qsearch.measure.luck import learn
from qsearch.measure.statistics import believed_luck, over_sessions, verdict

Rng = np.random.Generator
#: between sessions and between pairs, standard deviations of ln ratio
PAIR_NOISE = 0.01
CALLED = (Verdict.FASTER, Verdict.SLOWER)


def sessions(
    rng: Rng, luck: float, count: int, pairs: int, truth: float = 0.0, jumps: float = 0.0
) -> list[list[float]]:
    """One sitting; a share of `jumps` sessions is off by another 5 %."""
    shifts = truth + rng.normal(0, luck, count) + np.where(rng.random(count) < jumps, 0.05, 0.0)
    return [(shift + rng.normal(0, PAIR_NOISE, pairs)).tolist() for shift in shifts]


def learned(rng: Rng, luck: float, sittings: int, jumps: float = 0.0) -> SessionLuck:
    """What so many A/A screens of four pairs teach."""
    seen = [np.array(pairs) for _ in range(sittings) for pairs in sessions(rng, luck, 2, 4, jumps=jumps)]
    sd, weight = learn([[EqualSession(shift=float(x.mean()), pairs=4, pair_sd=float(x.std(ddof=1))) for x in seen]])
    return SessionLuck(machine_key="m", runtime_key="r", sd=sd, weight=weight, sessions=len(seen), sittings=sittings)


def said(pairs: list[list[float]], luck: SessionLuck | None) -> Verdict:
    log = over_sessions(pairs, believed_luck(pairs, luck))
    low, value, high = (math.exp(x) for x in (log.low, log.value, log.high))
    return verdict(Interval(value=value, low=low, high=high, confidence=log.confidence), 0.02)


def rate(
    luck: float,
    *,
    sittings: int,
    count: int = 2,
    pairs: int = 4,
    ratio: float = 1.0,
    jumps: float = 0.0,
    draws: int = 600,
) -> float:
    """Share of so many sittings that called a difference, the machine's luck learned anew every 40."""
    rng, called = np.random.default_rng(7), 0
    for _ in range(draws // 40):
        known = learned(rng, luck, sittings, jumps) if sittings else None
        drawn = [sessions(rng, luck, count, pairs, math.log(ratio), jumps) for _ in range(40)]
        called += sum(said(sitting, known) in CALLED for sitting in drawn)
    return called / draws


@pytest.mark.parametrize(
    ("luck", "sittings"), [(0.002, 6), (0.007, 30), (0.015, 6), (0.03, 6), (0.04, 30), (0.08, 30), (0.12, 30)]
)
def test_equal_models_are_called_in_one_of_a_hundred_screens_at_most(luck: float, sittings: int) -> None:
    # 0.02 allows for the count: of 600 draws at 1 %, more than 12 come up once in a hundred such tests
    assert rate(luck, sittings=sittings) <= 0.02


@pytest.mark.parametrize("luck", [0.002, 0.007, 0.015, 0.025])
def test_an_assumption_keeps_the_rate_while_the_machine_is_no_more_than_half_again_as_bad(luck: float) -> None:
    assert rate(luck, sittings=0) <= 0.02


def test_a_machine_twice_as_bad_as_assumed_is_why_it_is_learned() -> None:
    assert rate(0.06, sittings=0) > 5 * rate(0.06, sittings=30)


@pytest.mark.parametrize("luck", [0.002, 0.015, 0.06, 0.12])
def test_finals_keep_the_rate_without_knowing_anything(luck: float) -> None:
    assert rate(luck, sittings=0, count=6, pairs=6) <= 0.02


def test_rare_jumps_of_whole_sessions_keep_the_rate() -> None:
    assert rate(0.003, sittings=30, jumps=0.05) <= 0.02


@pytest.mark.parametrize(("count", "pairs", "sittings"), [(2, 4, 0), (2, 4, 6), (2, 12, 6), (6, 6, 0)])
def test_ten_percent_are_found_at_the_tiers_pairs_and_one_percent_is_not_called(
    count: int, pairs: int, sittings: int
) -> None:
    for luck in (0.005, 0.015):
        assert rate(luck, sittings=sittings, count=count, pairs=pairs, ratio=1.10, draws=160) >= 0.8
        assert rate(luck, sittings=sittings, count=count, pairs=pairs, ratio=1.01, draws=160) <= 0.02


def test_five_percent_are_found_where_the_floor_is_low_and_was_learned() -> None:
    found = rate(0.005, sittings=6, ratio=1.05, draws=200)
    assert found >= 0.8
    assert rate(0.005, sittings=6, ratio=1 / 1.05, draws=200) >= 0.8
    assert rate(0.005, sittings=0, ratio=1.05, draws=200) < found


@pytest.mark.parametrize("luck", [0.003, 0.015, 0.04])
def test_intervals_of_learned_luck_hold_the_truth_as_often_as_they_say(luck: float) -> None:
    rng, held = np.random.default_rng(11), 0
    for _ in range(20):
        known = learned(rng, luck, 20)
        for _ in range(20):
            pairs = sessions(rng, luck, 2, 4)
            log = over_sessions(pairs, believed_luck(pairs, known))
            held += log.low <= 0 <= log.high
    assert held / 400 >= 0.94
