"""Finding the A/A sessions of sittings, and what they are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_measure_latency import PLACE, simulate

from qsearch.contracts.measurement import Sitting, Tier
from qsearch.measure.latency import summarise
from qsearch.measure.luck import luck_of
from qsearch.measure.noise import equal_sessions, noise_of, screen_floor


def screen(seed: int, *, luck: float = 0.004, ratio: float = 1.0) -> Sitting:
    return simulate({"fp32": 1, "again": ratio}, Tier.SCREEN, seed=seed, luck=luck, pairs=4, pair_noise=0.004)


def other_file(sitting: Sitting, arm: str) -> Sitting:
    return replace(sitting, runs=tuple(replace(r, model_sha256="1" * 64) if r.arm == arm else r for r in sitting.runs))


def test_equal_files_are_found_and_different_ones_are_not() -> None:
    sitting = screen(0)
    found = equal_sessions(sitting)
    assert [session.pairs for session in found] == [4, 4]
    assert all(abs(session.shift) < 0.03 and 0 < session.pair_sd < 0.03 for session in found)
    assert equal_sessions(other_file(sitting, "again")) == ()
    elsewhere = replace(PLACE, runtime_key="other")
    runs = tuple(replace(r, circumstances=elsewhere) if r.arm == "again" else r for r in sitting.runs)
    assert equal_sessions(replace(sitting, runs=runs)) == ()
    assert equal_sessions(replace(sitting, blocks=())) == ()


def test_of_several_equal_arms_one_counts_because_they_share_the_reference() -> None:
    sitting = simulate({"fp32": 1, "a": 0.5, "b": 1, "c": 1}, seed=1)
    assert len(equal_sessions(other_file(sitting, "a"))) == 6


def test_polluted_pairs_teach_nothing() -> None:
    sitting = screen(0)
    spoiled = tuple(replace(b, rejected="steal") if b.session == 0 and b.round < 3 else b for b in sitting.blocks)
    assert [session.pairs for session in equal_sessions(replace(sitting, blocks=spoiled))] == [4]


def test_a_series_says_what_a_screen_can_see() -> None:
    sittings = [screen(seed) for seed in range(20)]
    found = noise_of(sittings, source="self-test", model="yardstick")
    assert found is not None
    assert (found.sittings, len(found.sessions), found.machine_key) == (20, 40, "m")
    # two children with a luck of 0.4 % each
    assert found.session_sd == pytest.approx(0.004 * 2**0.5, rel=0.4)
    assert found.median_ms == pytest.approx(5, rel=0.2)
    luck = luck_of([found])
    ratios = [summarise(screen(seed), "again", luck=luck).ratio for seed in range(100, 160)]
    halves = [(ratio.high - ratio.low) / 2 for ratio in ratios]
    assert found.floor == pytest.approx(np.median(halves), rel=0.15)
    assert np.mean([abs(ratio.value - 1) < found.floor for ratio in ratios]) > 0.9
    assert noise_of([other_file(s, "again") for s in sittings], source="J/1", model="m") is None


def test_what_is_known_already_narrows_the_floor() -> None:
    known = noise_of([screen(seed) for seed in range(20)], source="self-test", model="yardstick")
    assert known is not None
    alone = noise_of([screen(50)], source="J/0", model="fp32")
    joined = noise_of([screen(50)], source="J/0", model="fp32", known=[known, replace(known, source="J/0")])
    assert alone is not None
    assert joined is not None
    assert joined.floor < 0.8 * alone.floor
    assert joined.sessions == alone.sessions


def test_learned_luck_narrows_what_a_screen_says_and_is_told() -> None:
    known = noise_of([screen(seed) for seed in range(20)], source="self-test", model="yardstick")
    assert known is not None
    luck = luck_of([known])
    sitting = screen(99, ratio=1.05)
    assumed, learned = summarise(sitting, "again"), summarise(sitting, "again", luck=luck)
    assert assumed.ratio.value == learned.ratio.value
    assert learned.ratio.high - learned.ratio.low < 0.7 * (assumed.ratio.high - assumed.ratio.low)
    assert (assumed.luck, assumed.flags) == (None, ("session_effect_assumed",))
    assert (learned.luck, learned.flags) == (luck[0], ())
    assert learned.luck is not None
    assert learned.luck.sessions == 40
    strange = (replace(luck[0], machine_key="another"),)
    assert summarise(sitting, "again", luck=strange) == assumed
    few = (replace(luck[0], weight=2.0),)
    assert summarise(sitting, "again", luck=few).flags == ("session_effect_assumed",)
    final = simulate({"R": 1, "A": 1}, seed=3)
    assert summarise(final, "A", luck=luck) == summarise(final, "A"), "six sessions show their own"


def test_sessions_that_contradict_what_was_learned_are_judged_as_without_it() -> None:
    known = noise_of([screen(seed, luck=0.001) for seed in range(30)], source="self-test", model="yardstick")
    assert known is not None
    torn = simulate(
        {"fp32": 1, "again": 1}, Tier.SCREEN, luck=0.001, slow=lambda s, a: 1.06 if s and a == "again" else 1.0
    )
    assert summarise(torn, "again", luck=luck_of([known])) == summarise(torn, "again")


def test_the_floor_of_an_unknown_machine_is_what_is_assumed() -> None:
    assert screen_floor(None, 0.005, 4) == pytest.approx(0.0281, abs=0.001)
