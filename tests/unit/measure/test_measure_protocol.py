"""The schedule and the warm-up as pure functions: balance, stopping, clocks that are injected."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest

from qsearch.contracts.measurement import Tier
from qsearch.measure.protocol import (
    BLOCK_NS,
    LONGEST_BLOCK_NS,
    PLANS,
    block_runs,
    group_runs,
    load_order,
    plan_for,
    rounds,
    settle,
    timed,
    warm_up,
)


class Clock:
    """Moves only when work is done."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize("seed", range(4))
def test_two_arms_go_r_c_c_r_and_both_alternate_over_sessions(seed: int) -> None:
    for session in range(6):
        for first, second in list(pairwise(islice(rounds("RC", session, seed), 12)))[::2]:
            assert sorted(first) == ["C", "R"]
            assert second == first[::-1]
    assert {load_order("RC", s, seed)[0] for s in (0, 1)} == {"R", "C"}
    assert {next(rounds("RC", s, seed))[0] for s in (0, 1)} == {"R", "C"}
    assert Counter(load_order("RC", s, seed)[0] for s in range(6)) == {"R": 3, "C": 3}


def test_seeds_decide_who_begins() -> None:
    assert {load_order("RC", 0, seed)[0] for seed in range(4)} == {"R", "C"}
    assert {(load_order("RC", 0, s)[0], next(rounds("RC", 0, s))[0]) for s in range(4)} == {
        (a, b) for a in "RC" for b in "RC"
    }


@pytest.mark.parametrize("arms", ["RAB", "RABC", "RABCDEF"])
def test_many_arms_stand_everywhere_equally_often(arms: str) -> None:
    places = Counter(
        (arm, place) for order in islice(rounds(arms, 0, 0), 2 * len(arms)) for place, arm in enumerate(order)
    )
    assert set(places.values()) == {2}
    loaded = {load_order(arms, session, 1) for session in range(6)}
    assert len(loaded) == 6
    assert all(sorted(order) == sorted(arms) for order in loaded)


def test_blocks_are_long_enough_for_the_fast_and_not_endless_for_the_slow() -> None:
    assert block_runs([10_000_000, 10_000_000]) == 5
    assert block_runs([60_000_000, 30_000_000]) == 3
    assert block_runs([1_000, 1_000]) * 1_000 >= BLOCK_NS
    assert block_runs([100_000, 100_000_000]) * 100_000_000 <= LONGEST_BLOCK_NS
    assert block_runs([10**9, 10**9]) == 3
    assert block_runs([0, 0]) > 0


def test_blocks_of_a_mix_are_whole_cycles_even_where_they_get_long() -> None:
    assert block_runs([10_000_000, 10_000_000], 2) == 6
    assert block_runs([100_000_000, 100_000_000], 64) == 64
    assert block_runs([1_000, 1_000], 7) % 7 == 0
    assert group_runs([50_000, 10_000], 3) == 21
    assert group_runs([10_000_000], 3) == 1


def test_plans_are_the_table() -> None:
    quick, screen, final = PLANS[Tier.QUICK], PLANS[Tier.SCREEN], PLANS[Tier.FINAL]
    assert (quick.sessions, quick.most_pairs) == (1, 6)
    assert (screen.sessions, screen.least_pairs, screen.most_pairs, screen.half_width) == (2, 4, 12, 0.02)
    assert (screen.cap_s, final.sessions, final.most_pairs) == (20, 6, 6)


def test_many_arms_get_the_time_that_loading_them_takes() -> None:
    assert plan_for(Tier.FINAL, 2) == PLANS[Tier.FINAL] == plan_for(Tier.FINAL, 7)
    assert plan_for(Tier.FINAL, 14).cap_s == 600
    quick = plan_for(Tier.QUICK, 14)
    assert quick.cap_s == 35
    # fourteen arms that warm up for a second each are not hurried, as two are not
    assert not quick.enough(0, 4, 4, 1.0, 14 * 1.5)
    assert PLANS[Tier.QUICK].enough(0, 4, 4, 1.0, 14 * 1.5)


def test_a_session_ends_on_width_or_time_or_number_and_never_in_the_middle_of_an_abba() -> None:
    plan = PLANS[Tier.SCREEN]
    assert not plan.enough(0, 4, 4, 0.03, 1)
    assert plan.enough(0, 4, 4, 0.02, 1)
    assert not plan.enough(0, 5, 5, 0.001, 1)
    assert not plan.enough(0, 4, 3, 0.001, 1)
    assert plan.enough(0, 12, 12, 1.0, 1)
    assert plan.enough(0, 2, 2, 1.0, 10)
    assert not plan.enough(1, 2, 2, 1.0, 10)
    assert plan.enough(1, 2, 0, 1.0, 20)
    assert not plan.enough(0, 12, 8, 1.0, 1)
    assert plan.enough(0, 18, 8, 1.0, 1)


def test_warm_up_doubles_and_ends_when_two_windows_agree() -> None:
    clock, calls = Clock(), []

    def run(index: int) -> None:
        calls.append(index)
        clock.now += 20_000_000 if len(calls) < 5 else 10_000_000

    warmth = warm_up(run, clock, cap_s=5)
    assert warmth.steady
    assert warmth.typical_ns == 10_000_000
    assert 0.5 <= warmth.seconds < 2
    assert calls[:7] == [0, 0, 1, 0, 1, 2, 3]


def test_warm_up_that_never_agrees_says_so() -> None:
    clock = Clock()

    def run(index: int) -> None:
        clock.now = int(clock.now * 1.03) + 5_000_000

    warmth = warm_up(run, clock, cap_s=1.5)
    assert not warmth.steady
    assert 1.5 <= warmth.seconds < 2.5


@pytest.mark.parametrize("cycle", [2, 3])
def test_a_mix_of_shapes_is_steady_though_windows_end_in_its_middle(cycle: int) -> None:
    """One long shape among short ones: medians of windows of unlike length differ by far more than 2 %."""
    clock = Clock()

    def run(index: int) -> None:
        clock.now += 90_000_000 if index % cycle == 0 else 10_000_000

    warmth = warm_up(run, clock, 1.5, cycle)
    assert warmth.steady
    assert warmth.typical_ns == pytest.approx((90e6 + (cycle - 1) * 10e6) / cycle)


def test_warm_up_has_run_every_shape_unless_the_cap_comes_first() -> None:
    clock, seen = Clock(), set()

    def run(index: int) -> None:
        seen.add(index)
        clock.now += 10_000_000

    assert warm_up(run, clock, 4.0, 64).steady
    assert seen >= set(range(64))
    assert warm_up(run, clock, 1.0, 400).seconds < 1.5


def test_one_slow_inference_does_not_overrun_the_cap_by_much() -> None:
    clock = Clock()

    def run(index: int) -> None:
        clock.now += 1_000_000_000

    warmth = warm_up(run, clock, cap_s=1.5)
    assert warmth.seconds <= 3


def test_timing_numbers_its_inputs_and_settling_has_both_floors() -> None:
    clock, calls = Clock(), []

    def run(index: int) -> None:
        calls.append(index)
        clock.now += 6_000_000

    assert timed(run, clock, 7, 3) == [6_000_000] * 3
    assert calls == [7, 8, 9]
    calls.clear()
    settle(run, clock, 7)
    assert calls == [7, 7]


def test_very_short_inferences_are_timed_in_groups() -> None:
    assert group_runs([10_000_000, 300_000]) == 1
    assert group_runs([50_000, 10_000]) == 20
    ran: list[int] = []
    ticks = iter(range(0, 10_000, 1_000))
    assert timed(ran.append, lambda: next(ticks), 5, 7, group=4) == [250, 250]
    assert ran == list(range(5, 13))
