"""What is rejected and flagged: by telemetry and the canary only, and never the wrong verdict for it."""

from __future__ import annotations

import inspect
import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from polluted_sittings import CALM, sit

from qsearch.contracts.limits import FLAGGED, Limits, Thresholds
from qsearch.contracts.measurement import Readiness, Sitting, Tier
from qsearch.contracts.verdict import Verdict
from qsearch.measure.latency import summarise
from qsearch.measure.pollution import judged, rejection, unrest

NEVER = Thresholds(**dict.fromkeys(Thresholds.__dataclass_fields__))


def _rejected(sitting: Sitting) -> set[tuple[int, int]]:
    return {(b.session, b.round) for b in sitting.blocks if b.rejected}


@pytest.mark.parametrize(
    ("telemetry", "said"),
    [
        ({"elapsed_ms": 60.0}, ""),
        ({"elapsed_ms": 60.0, "steal_ms": 10.0, "foreign_ms": 20.0, "wait_ms": 4.0}, ""),
        ({"elapsed_ms": 60.0, "foreign_ms": -10.0}, ""),
        ({"elapsed_ms": 60.0, "steal_ms": 20.0}, "steal 33.3 % > 3 %"),
        ({"elapsed_ms": 60.0, "wait_ms": 12.0}, "run-queue wait 20.0 % > 3 %"),
        ({"elapsed_ms": 100.0, "foreign_ms": 50.0}, "foreign work 50.0 % > 10 %"),
        ({"elapsed_ms": 100.0, "pressure_ms": 90.0, "memory_pressure_ms": 90.0}, ""),
        ({"elapsed_ms": 100.0, "major_faults": 11.0}, "major faults 11 > 10"),
        ({"elapsed_ms": 100.0, "throttled_ms": 0.5}, "held back by a quota 0.5 % > 0 %"),
        ({"elapsed_ms": 100.0, "gpu_clock_lost": 0.3}, "GPU clock lost 0.3 > 0.25"),
        ({"elapsed_ms": 100.0, "gpu_foreign": 1.0}, "others on the GPU 1 > 0"),
    ],
)
def test_sustained_trouble_rejects_and_one_tick_does_not(telemetry: dict[str, float], said: str) -> None:
    assert rejection(telemetry, Limits(), 1) == said
    assert rejection(telemetry, Limits(reject=NEVER), 1) == ""


def test_shares_are_of_all_pinned_cpus() -> None:
    telemetry = {"elapsed_ms": 100.0, "foreign_ms": 45.0}
    assert rejection(telemetry, Limits(), 1)
    assert not rejection(telemetry, Limits(), 4)


def test_thresholds_are_the_callers() -> None:
    telemetry = {"elapsed_ms": 100.0, "foreign_ms": 50.0}
    assert not rejection(telemetry, Limits(reject=Thresholds(foreign=0.4)), 1)
    assert rejection({**CALM, "steal_ms": 11.0}, Limits(reject=Thresholds(steal=0.0)), 1)


def test_only_the_pinned_cpus_can_keep_a_session_waiting() -> None:
    quiet = {"elapsed_ms": 100.0, "pressure_ms": 90.0, "wait_ms": 50.0, "foreign_ms": 20.0, "steal_ms": 10.0}
    assert unrest(quiet, Limits(), 1) == ""
    assert unrest({**quiet, "foreign_ms": 30.0}, Limits(), 1) == "foreign work 30.0 % > 3 %"
    assert unrest({**quiet, "steal_ms": 20.0}, Limits(), 1) == "steal 20.0 % > 1 %"


def test_rejection_cannot_see_latencies() -> None:
    assert list(inspect.signature(rejection).parameters) == ["telemetry", "limits", "cpus"]


def _now_and_then(arm: str, session: int, number: int) -> tuple[float, Mapping[str, float]]:
    return (2.0, {"foreign_ms": 40.0}) if (session + number) % 3 == 0 and arm == "C" else (1.0, {})


@pytest.mark.parametrize("seed", range(5))
def test_the_rejected_set_does_not_change_when_latencies_are_permuted(seed: int) -> None:
    def canary(session: int, done: int) -> int:
        return 120_000 if (session, done) == (1, 4) else 80_000

    sitting = sit(_now_and_then, seed=seed, canary=canary)
    samples = [block.samples_ns for block in sitting.blocks]
    random.Random(seed).shuffle(samples)
    shuffled = [replace(b, samples_ns=s) for b, s in zip(sitting.blocks, samples, strict=True)]
    again = judged(shuffled, sitting.canary, sitting.limits, 1)
    assert [b.rejected for b in again] == [b.rejected for b in sitting.blocks]
    assert _rejected(sitting)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tier", [Tier.SCREEN, Tier.FINAL])
def test_load_during_cs_blocks_only_is_never_a_slowdown(seed: int, tier: Tier) -> None:
    # a busy process on the same CPU takes half of it: twice the time, as much foreign work as our own
    def always(arm: str, session: int, number: int) -> tuple[float, Mapping[str, float]]:
        return (2.0, {"foreign_ms": 30.0, "wait_ms": 30.0}) if arm == "C" else (1.0, {})

    def sometimes(arm: str, session: int, number: int) -> tuple[float, Mapping[str, float]]:
        return always(arm, session, number) if (number + seed) % 4 == 0 else (1.0, {})

    assert summarise(sit(always, seed=seed, tier=tier), "C").verdict is Verdict.POLLUTED
    found = summarise(sit(sometimes, seed=seed, tier=tier), "C")
    assert found.verdict is not Verdict.SLOWER
    assert tier is Tier.SCREEN or found.verdict is Verdict.EQUIVALENT


def test_a_machine_that_is_slow_for_a_whole_session_changes_no_ratio_and_rejects_nothing() -> None:
    def slow(arm: str, session: int, number: int) -> tuple[float, Mapping[str, float]]:
        return (3.0 if session == 1 else 1.0), {}

    usual = summarise(sit(seed=3, tier=Tier.FINAL), "C")
    sitting = sit(slow, seed=3, tier=Tier.FINAL, canary=lambda session, done: 240_000 if session == 1 else 80_000)
    found = summarise(sitting, "C")
    assert found.ratio.value == pytest.approx(usual.ratio.value, rel=1e-5)
    assert not _rejected(sitting)
    assert "canary_drift" not in found.flags


def test_a_canary_that_changes_rejects_the_rounds_between_its_readings() -> None:
    def canary(session: int, done: int) -> int:
        return 80_000 if done < 4 else 104_000

    sitting = sit(canary=canary)
    assert _rejected(sitting) == {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert {b.rejected for b in sitting.blocks} == {"", "canary changed by 30.0 % > 25 %"}
    assert summarise(sitting, "C").pairs == 12


def test_a_canary_that_changes_a_little_is_a_flag() -> None:
    def found(change: float) -> tuple[str, ...]:
        sitting = sit(canary=lambda session, done: 80_000 if done < 4 else round(80_000 * (1 - change)))
        assert not _rejected(sitting)
        return summarise(sitting, "C").flags

    assert "canary_drift" in found(0.10)
    assert "canary_drift" not in found(0.03)


def test_without_a_canary_nothing_is_said_of_it() -> None:
    sitting = sit()
    assert judged(sitting.blocks, (), sitting.limits, 1) == sitting.blocks


def test_a_reading_that_failed_once_is_no_zero() -> None:
    sitting = sit()
    holes = tuple(
        replace(b, telemetry={n: v for n, v in b.telemetry.items() if n != "steal_ms"} if b.order == 2 else b.telemetry)
        for b in sitting.blocks
    )
    found = judged(holes, (), sitting.limits, 1)
    assert [(b.session, b.order, b.rejected) for b in found if b.rejected] == [
        (session, 2, "steal could not be read") for session in (0, 1)
    ]
    assert not any(b.rejected for b in judged(holes, (), Limits(reject=NEVER), 1))
    absent = tuple(replace(b, telemetry={"elapsed_ms": 60.0}) for b in sitting.blocks)
    assert not any(b.rejected for b in judged(absent, (), sitting.limits, 1)), "nowhere there: said in unavailable"


def test_clocks_are_compared_with_the_same_arms_own() -> None:
    def wide(arm: str, session: int, number: int) -> tuple[float, Mapping[str, float]]:
        mhz = 2400.0 if arm == "C" else 3000.0
        return 1.0, {"clock_mhz": mhz * (0.8 if (session, number, arm) == (0, 3, "C") else 1.0)}

    sitting = sit(wide)
    assert [b.rejected for b in sitting.blocks if b.rejected] == ["clock 20.0 % below this arm's usual > 15 %"]
    assert _rejected(sitting) == {(0, 3)}
    assert "clock_changed" not in summarise(sitting, "C").flags
    told = sit(wide, limits=Limits(reject=Thresholds(clock=0.3)))
    assert not _rejected(told)
    assert "clock_changed" in summarise(told, "C").flags


@pytest.mark.parametrize(
    ("seen", "flag"),
    [
        ({"steal_ms": 1.5}, "steal"),
        ({"wait_ms": 1.5}, "run_queue_wait"),
        ({"foreign_ms": 4.0}, "foreign_work"),
        ({"pressure_ms": 6.0}, "cpu_pressure"),
        ({"memory_pressure_ms": 2.0}, "memory_pressure"),
        ({"major_faults": 1.0}, "major_faults"),
        ({"gpu_clock_lost": 0.2}, "gpu_clock"),
    ],
)
def test_what_is_told_is_summed_over_the_blocks_and_rejects_nothing(seen: dict[str, float], flag: str) -> None:
    sitting = sit(lambda arm, session, number: (1.0, seen))
    assert not _rejected(sitting)
    assert flag in summarise(sitting, "C").flags
    assert flag not in summarise(sit(), "C").flags
    deaf = replace(sitting, limits=Limits(flag=NEVER))
    assert flag not in summarise(deaf, "C").flags


def test_the_rounding_of_ticks_cancels() -> None:
    sitting = sit(lambda arm, session, number: (1.0, {"foreign_ms": 10.0 if (number + session) % 2 else -10.0}))
    assert "foreign_work" not in summarise(sitting, "C").flags


def test_a_session_that_began_in_unrest_is_told() -> None:
    sitting = replace(sit(), readiness=(Readiness(session=0, waited_s=2.0, unrest="steal 9.0 % > 1 %"),))
    assert "not_ready" in summarise(sitting, "C").flags


def test_flags_come_before_rejections_by_default() -> None:
    for name in Thresholds.__dataclass_fields__:
        flag, reject = getattr(FLAGGED, name), getattr(Thresholds(), name)
        assert flag is not None
        assert reject is None or flag <= reject
