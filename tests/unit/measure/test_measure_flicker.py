"""What separates two sittings of unlike files, on simulated machines where it is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from test_measure_latency import simulate
from test_measure_noise import other_file

from qsearch.contracts.measurement import Tier
from qsearch.contracts.noise import Repeat, SessionLuck, Wander
from qsearch.contracts.verdict import Interval
from qsearch.measure.flicker import (
    FLICKER,
    FLICKER_WEIGHT,
    LEAST,
    flicker_of,
    over_sittings,
    wander_of,
    with_flicker,
)
from qsearch.measure.latency import summarise
from qsearch.measure.statistics import believed_luck, over_sessions

Rng = np.random.Generator
#: what a screen's pairs differ by on a busy host
PAIR_SD = 0.05
LUCK = SessionLuck(machine_key="m", runtime_key="r", sd=0.005, weight=30, sessions=40, sittings=20)


def screen(rng: Rng, flicker: float, *, pair_sd: float = PAIR_SD, truth: float = 0.0) -> list[list[float]]:
    """The pairs of one sitting of two sessions; all of them share what happened to it."""
    moved = truth + rng.normal(0, flicker * pair_sd)
    return [(moved + rng.normal(0, LUCK.sd) + rng.normal(0, pair_sd, 12)).tolist() for _ in range(2)]


def judged(pairs: list[list[float]], luck: SessionLuck | None = LUCK) -> tuple[Interval, Wander]:
    believed = believed_luck(pairs, luck)
    return over_sessions(pairs, believed), wander_of(pairs, luck, believed)


def repeats(rng: Rng, flicker: float, count: int, sittings: int = 2) -> list[Repeat]:
    """So many files, each in so many sittings, on a machine that moves them by `flicker`."""
    found = []
    for _ in range(count):
        seen = [judged(screen(rng, flicker, pair_sd=rng.uniform(0.5, 1.5) * PAIR_SD)) for _ in range(sittings)]
        found.append(
            Repeat(
                machine_key="m",
                runtime_key="r",
                shifts=tuple(interval.value for interval, _ in seen),
                wanders=tuple(wander for _, wander in seen),
            )
        )
    return found


def meet(one: Interval, other: Interval) -> bool:
    return one.low <= other.high and other.low <= one.high


@pytest.mark.parametrize("flicker", [0.0, 0.5, 1.0])
def test_many_repeats_tell_what_moves_between_sittings(flicker: float) -> None:
    found = [flicker_of(repeats(np.random.default_rng(seed), flicker, 60))[0] ** 2 for seed in range(12)]
    assert np.mean(found) == pytest.approx(flicker**2, rel=0.15, abs=0.06)


def test_a_repeat_counts_half_and_a_noisy_one_less() -> None:
    rng = np.random.default_rng(0)
    _, weight = flicker_of(repeats(rng, 0.7, 30))
    assert 5 < weight < 15
    quiet = [Repeat(machine_key="m", runtime_key="r", shifts=(0.1, 0.1), wanders=(Wander(
        pair_sd=0.001, within_sd=0.05, between_sd=0.0, repeats=0),) * 2)] * 30  # fmt: skip
    assert flicker_of(quiet)[1] < 0.1
    assert flicker_of([]) == (0.0, 0.0)
    still = replace(quiet[0], wanders=(replace(quiet[0].wanders[0], pair_sd=0.0),) * 2)
    assert flicker_of([still]) == (0.0, 0.0)


@pytest.mark.parametrize("flicker", [0.5, 0.7])
def test_two_sittings_of_one_file_meet_and_hold_the_truth(flicker: float) -> None:
    rng = np.random.default_rng(1)
    (known,) = with_flicker([LUCK], repeats(rng, flicker, 40))
    bare, whole, held = 0, 0, 0
    for _ in range(300):
        seen = [judged(screen(rng, flicker, truth=0.3), known) for _ in range(2)]
        outer = [over_sittings(interval, wander, known) for interval, wander in seen]
        bare += meet(seen[0][0], seen[1][0])
        whole += meet(*outer)
        held += outer[0].low <= 0.3 <= outer[0].high
    assert bare < 240 if flicker > 0.6 else bare < 275
    assert whole >= 294
    assert held >= 276


def test_before_anything_was_repeated_a_share_is_assumed() -> None:
    pairs = screen(np.random.default_rng(2), 0.0)
    interval, wander = judged(pairs, None)
    assert wander.between_sd == pytest.approx(FLICKER * wander.pair_sd)
    assert wander.repeats == 0
    outer = over_sittings(interval, wander, None)
    assert outer.value == interval.value
    assert outer.high - outer.value == pytest.approx(
        math.hypot(interval.high - interval.value, 2.776 * wander.between_sd)
    )
    assert wander_of([[0.1]], None, None).between_sd == 0
    apart = wander_of([[0.1], [0.2], [], [0.3]], None, None)
    assert apart.pair_sd == pytest.approx(1.4826 * 0.1 * math.sqrt(3 / 2))


def test_a_spike_does_not_widen() -> None:
    pairs = screen(np.random.default_rng(8), 0.5)
    spiked = [[pairs[0][0] + 0.4, *pairs[0][1:]], pairs[1]]
    assert judged(spiked, None)[1].between_sd < 1.3 * judged(pairs, None)[1].between_sd


def test_one_file_that_moved_for_a_reason_of_its_own_is_a_rare_draw_and_no_more() -> None:
    found = repeats(np.random.default_rng(9), 0.5, 30)
    moved = replace(found[0], shifts=(0.0, 0.5))
    (before,), (after,) = with_flicker([LUCK], found), with_flicker([LUCK], [*found, moved])
    assert before.flicker < after.flicker < 1.5 * before.flicker


def test_a_machine_that_stands_still_gets_narrower_intervals_back() -> None:
    rng = np.random.default_rng(3)
    (known,) = with_flicker([LUCK], repeats(rng, 0.0, 60))
    assert known.repeats == 120
    pairs = screen(rng, 0.0)
    (interval, learned), (_, assumed) = judged(pairs, known), judged(pairs, None)
    # another model may be moved more than those that were seen
    assert learned.between_sd == pytest.approx(math.sqrt(LEAST) * assumed.between_sd)
    assert over_sittings(interval, learned, known).high < over_sittings(interval, assumed, None).high


def test_machines_and_runtimes_learn_apart_and_need_no_equal_sittings() -> None:
    mine = repeats(np.random.default_rng(4), 0.8, 5)
    other = [replace(repeat, runtime_key="o") for repeat in mine[:2]]
    found = {luck.runtime_key: luck for luck in with_flicker([LUCK], [*mine, *other])}
    assert (found["r"].sd, found["r"].sessions, found["r"].repeats) == (LUCK.sd, 40, 10)
    assert (found["o"].sessions, found["o"].weight, found["o"].repeats) == (0, 0, 4)
    assert found["r"].flicker_weight < FLICKER_WEIGHT
    assert with_flicker([LUCK], []) == (LUCK,)


def test_unlike_arms_are_widened_and_equal_ones_are_not() -> None:
    equal = simulate({"fp32": 1, "again": 1}, Tier.SCREEN, seed=5, pairs=8)
    assert summarise(equal, "again").wander is None
    found = summarise(other_file(equal, "again"), "again")
    bare = summarise(equal, "again").ratio
    assert found.wander is not None
    assert found.ratio.value == bare.value
    assert found.ratio.low < bare.low < bare.high < found.ratio.high
    assert found.detectable > summarise(equal, "again").detectable


def test_six_sessions_of_one_sitting_are_one_sitting() -> None:
    final = other_file(simulate({"fp32": 1, "int8": 0.5}, Tier.FINAL, seed=6), "int8")
    (known,) = with_flicker([], repeats(np.random.default_rng(6), 1.0, 30))
    assumed, learned = summarise(final, "int8"), summarise(final, "int8", luck=[known])
    assert assumed.luck is learned.luck is None
    assert learned.wander is not None
    assert assumed.wander is not None
    assert learned.wander.repeats == 60
    assert learned.wander.between_sd > assumed.wander.between_sd


def test_repeats_alone_are_no_luck_of_sessions() -> None:
    (known,) = with_flicker([], repeats(np.random.default_rng(7), 0.5, 4))
    sitting = other_file(simulate({"fp32": 1, "int8": 0.5}, Tier.SCREEN, seed=7, pairs=6), "int8")
    found = summarise(sitting, "int8", luck=[known])
    assert found.luck is None
    assert "session_effect_assumed" in found.flags
