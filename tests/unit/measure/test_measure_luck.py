"""What A/A sessions teach, on simulated machines whose luck is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from qsearch.contracts.machine import Circumstances
from qsearch.contracts.noise import EqualSession, NoiseFloor, SessionLuck
from qsearch.measure.luck import (
    LUCK_WEIGHT_MOST,
    SESSION_SD,
    SESSION_SD_WEIGHT,
    SESSIONS_REMEMBERED,
    believed,
    between_sessions,
    learn,
    luck_between,
    luck_of,
    student,
)

LUCK = SessionLuck(machine_key="m", runtime_key="r", sd=0.004, weight=30, sessions=40, sittings=20)
PLACE = Circumstances(machine_key="m", host="h", runtime="memory 1", runtime_key="r")


def sat(count: int, *, luck: float, noise: float = 0.01, pairs: int = 4, seed: int = 0) -> tuple[EqualSession, ...]:
    """So many A/A sessions of a machine with this luck."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(0, luck, (count, 1)) + rng.normal(0, noise, (count, pairs))
    return tuple(EqualSession(shift=float(x.mean()), pairs=pairs, pair_sd=float(x.std(ddof=1))) for x in drawn)


def floor(sessions: Sequence[EqualSession], *, runtime_key: str = "r") -> NoiseFloor:
    return NoiseFloor(
        machine_key="m",
        host="h",
        runtime="memory 1",
        runtime_key=runtime_key,
        source="self-test",
        model="yardstick",
        model_sha256="0" * 64,
        sittings=len(sessions) // 2,
        sessions=tuple(sessions),
        session_sd=0.0,
        pair_sd=0.0,
        floor=0.0,
        median_ms=5.0,
    )


@pytest.mark.parametrize("luck", [0.005, 0.015, 0.04])
def test_many_sessions_tell_the_luck_without_the_noise_of_pairs(luck: float) -> None:
    found = [learn([sat(100, luck=luck, seed=seed)])[0] ** 2 for seed in range(60)]
    assert np.mean(found) == pytest.approx(luck**2, rel=0.1)


def test_a_machine_without_luck_has_none_and_never_less() -> None:
    found = [learn([sat(60, luck=0.0, seed=seed)])[0] for seed in range(60)]
    assert min(found) == 0
    assert np.mean(found) < 0.003


def test_noisy_sessions_weigh_less_than_quiet_ones() -> None:
    quiet, noisy = learn([sat(20, luck=0.01, noise=0.001)])[1], learn([sat(20, luck=0.01, noise=0.05)])[1]
    assert noisy < quiet / 2 < 10
    assert quiet == pytest.approx(20, rel=0.05)
    assert learn([]) == learn([[]]) == (0.0, 0.0)


def test_few_sittings_move_the_belief_and_many_replace_it() -> None:
    def believed_sd(sessions: int) -> float:
        sd, weight = learn([sat(sessions, luck=0.003, noise=0.002)])
        return math.sqrt(between_sessions(replace(LUCK, sd=sd, weight=weight))[0])

    assert between_sessions(None) == (SESSION_SD**2, SESSION_SD_WEIGHT)
    assert SESSION_SD > believed_sd(2) > 0.012
    assert believed_sd(2) > believed_sd(12) > believed_sd(100) > 0.003
    assert believed_sd(100) < 0.0045


def test_whatever_was_learned_leaves_the_sitting_a_say() -> None:
    assert between_sessions(replace(LUCK, weight=1000))[1] == LUCK_WEIGHT_MOST
    assert between_sessions(replace(LUCK, weight=2))[1] == SESSION_SD_WEIGHT + 2


def test_sessions_that_differ_by_more_than_was_learned_are_not_explained_by_it() -> None:
    assert believed(LUCK, [0.0, 0.01], 1e-5) is LUCK
    assert believed(LUCK, [0.0, 0.05], 1e-5) is None
    assert believed(LUCK, [0.0, 0.05], 4e-4) is LUCK, "noisy pairs explain it"
    assert believed(LUCK, [0.05], 1e-5) is LUCK
    assert believed(None, [0.0, 0.05], 1e-5) is None
    rng = np.random.default_rng(1)
    sd = math.sqrt(between_sessions(LUCK)[0])
    refused = [believed(LUCK, rng.normal(0, sd, 2).tolist(), 0.0) is None for _ in range(4000)]
    assert np.mean(refused) < 0.02


def test_each_runtime_has_its_own_and_the_newest_sessions_count() -> None:
    old, new = sat(SESSIONS_REMEMBERED, luck=0.05, seed=1), sat(SESSIONS_REMEMBERED, luck=0.005, seed=2)
    other = sat(8, luck=0.02, seed=3)
    found = {luck.runtime_key: luck for luck in luck_of([floor(new), floor(other, runtime_key="o"), floor(old)])}
    assert found["r"].sd == pytest.approx(0.005, rel=0.3)
    assert (found["r"].sessions, found["r"].sittings) == (SESSIONS_REMEMBERED, SESSIONS_REMEMBERED // 2)
    assert found["o"].sessions == 8
    assert luck_of([]) == luck_of([floor([])]) == ()


def test_two_runtimes_share_their_luck_and_an_unknown_one_has_none() -> None:
    fast = replace(LUCK, runtime_key="f", sd=0.012, weight=10, sessions=12)
    other = replace(PLACE, runtime_key="f")
    assert luck_between([LUCK, fast], PLACE, PLACE) == LUCK
    both = luck_between([LUCK, fast], PLACE, other)
    assert both is not None
    assert both.sd == pytest.approx(math.sqrt((0.004**2 + 0.012**2) / 2))
    assert (both.weight, both.sessions) == (10, 12)
    assert luck_between([LUCK], PLACE, other) is luck_between([LUCK], other, PLACE) is None
    assert luck_between([LUCK], replace(PLACE, machine_key="n"), PLACE) is None


@pytest.mark.parametrize("freedom", [4, 4.2, 5.5, 9, 13.7, 24, 45, 200])
def test_students_quantiles_between_whole_numbers(freedom: float) -> None:
    from scipy.stats import t

    assert student(freedom) == pytest.approx(t.ppf(0.975, freedom), rel=0.003)
