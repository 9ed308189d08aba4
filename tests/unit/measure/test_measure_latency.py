"""The instrument on simulated sittings, where the truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from qsearch.contracts.errors import DataError
from qsearch.contracts.machine import Circumstances
from qsearch.contracts.measurement import ArmRun, Block, Sitting, Tier
from qsearch.contracts.verdict import Verdict
from qsearch.measure.latency import half_width, summarise
from qsearch.measure.protocol import PLANS, rounds

PLACE = Circumstances(machine_key="m", host="h", runtime="memory 1", runtime_key="r")


def simulate(
    ratios: dict[str, float],
    tier: Tier = Tier.FINAL,
    *,
    seed: int = 0,
    pair_noise: float = 0.01,
    luck: float = 0.005,
    runs: int = 5,
    slow: Callable[[int, str], float] = lambda session, arm: 1.0,
) -> Sitting:
    """A sitting of arms whose true time is 5 ms × ratio, with drift all share, luck per child and spikes."""
    rng, plan = np.random.default_rng(seed), PLANS[tier]
    blocks: list[Block] = []
    for session in range(plan.sessions):
        fate = {arm: math.exp(rng.normal(0, luck)) for arm in ratios}
        for number, order in enumerate(islice(rounds(tuple(ratios), session, seed), plan.most_pairs)):
            drift = math.exp(rng.normal(0, 0.1))
            for place, arm in enumerate(order):
                base = 5e6 * ratios[arm] * fate[arm] * drift * slow(session, arm) * math.exp(rng.normal(0, pair_noise))
                samples = base * np.exp(rng.normal(0, 0.01, runs)) * np.where(rng.random(runs) < 0.05, 3, 1)
                blocks.append(
                    Block(
                        arm=arm,
                        session=session,
                        round=number,
                        order=number * len(order) + place,
                        samples_ns=tuple(int(s) for s in samples),
                    )
                )
    return Sitting(
        tier=tier, reference=next(iter(ratios)), runs=_runs(ratios, plan.sessions), blocks=tuple(blocks), seconds=1
    )


def _runs(ratios: dict[str, float], sessions: int) -> tuple[ArmRun, ...]:
    return tuple(
        ArmRun(
            arm=arm,
            session=session,
            model_sha256="0" * 64,
            load_ms=1,
            first_ms=1,
            warmup_s=0.5,
            steady=True,
            peak_rss_bytes=1,
            circumstances=PLACE,
        )
        for arm in ratios
        for session in range(sessions)
    )


@pytest.mark.parametrize("tier", [Tier.SCREEN, Tier.FINAL])
def test_a_against_a_raises_no_false_verdict(tier: Tier) -> None:
    said = [summarise(simulate({"R": 1, "A": 1}, tier, seed=s), "A").verdict for s in range(400)]
    assert sum(v in (Verdict.FASTER, Verdict.SLOWER) for v in said) <= 2
    assert said.count(Verdict.EQUIVALENT) > 200


def test_the_final_interval_covers_the_truth_as_often_as_it_says() -> None:
    intervals = [summarise(simulate({"R": 1, "C": 1.05}, seed=s, luck=0.02), "C").ratio for s in range(400)]
    assert np.mean([i.low <= 1.05 <= i.high for i in intervals]) > 0.94


def test_ten_percent_are_found_and_one_percent_is_not_called() -> None:
    slower = [summarise(simulate({"R": 1, "C": 1.10}, seed=s), "C").verdict for s in range(200)]
    assert slower.count(Verdict.SLOWER) >= 0.8 * 200
    little = [summarise(simulate({"R": 1, "C": 1.01}, seed=s), "C").verdict for s in range(200)]
    assert little.count(Verdict.SLOWER) <= 2


def test_a_machine_that_is_slow_for_a_whole_session_changes_no_ratio() -> None:
    calm = summarise(simulate({"R": 1, "C": 0.7}, seed=3), "C")
    slow = summarise(simulate({"R": 1, "C": 0.7}, seed=3, slow=lambda s, a: 3.0 if s == 2 else 1.0), "C")
    assert slow.ratio.value == pytest.approx(calm.ratio.value, rel=1e-5)
    assert slow.verdict is Verdict.FASTER


def test_load_during_one_arms_blocks_only_is_pollution_and_not_a_slowdown() -> None:
    sitting = simulate({"R": 1, "C": 1}, seed=4, slow=lambda s, a: 1.5 if a == "C" else 1.0)
    loaded = replace(
        sitting, blocks=tuple(replace(b, rejected="foreign work" if b.arm == "C" else "") for b in sitting.blocks)
    )
    found = summarise(loaded, "C")
    assert found.verdict is Verdict.POLLUTED
    assert found.pairs == found.sessions == 0
    assert "many_rejected" in found.flags


def test_a_few_polluted_pairs_are_left_out_and_counted() -> None:
    sitting = simulate({"R": 1, "C": 1}, seed=5)
    spoiled = tuple(
        replace(b, rejected="steal", samples_ns=tuple(10 * s for s in b.samples_ns))
        if (b.arm, b.session, b.round) in {("R", 0, 1), ("C", 3, 2)}
        else b
        for b in sitting.blocks
    )
    found = summarise(replace(sitting, blocks=spoiled), "C")
    assert found.pairs == 34
    assert found.verdict is Verdict.EQUIVALENT
    assert found.reference_ms < 10


def test_the_first_slot_of_a_round_may_cost_something() -> None:
    sitting = simulate({"R": 1, "C": 1}, seed=6, pair_noise=0.002, luck=0.001)
    dear = tuple(
        replace(b, samples_ns=tuple(int(1.05 * s) for s in b.samples_ns)) if b.order % 2 == 0 else b
        for b in sitting.blocks
    )
    assert summarise(replace(sitting, blocks=dear), "C").ratio.value == pytest.approx(1, abs=0.01)


def test_a_mix_of_shapes_is_compared_input_by_input() -> None:
    sitting = simulate({"R": 1, "C": 0.8}, seed=7, runs=10)
    mixed = tuple(
        replace(b, samples_ns=tuple(s * (8 if i % 2 else 1) for i, s in enumerate(b.samples_ns)))
        for b in sitting.blocks
    )
    assert summarise(replace(sitting, blocks=mixed), "C").ratio.value == pytest.approx(0.8, rel=0.02)


def test_two_hundred_equal_candidates_have_no_winner() -> None:
    highs = [summarise(simulate({"R": 1, "C": 1}, Tier.SCREEN, seed=s, luck=0.002), "C") for s in range(200)]
    assert not any(found.verdict is Verdict.FASTER for found in highs)


def test_arms_are_compared_with_each_other_from_the_same_rounds() -> None:
    sitting = simulate({"R": 1, "A": 0.8, "B": 0.6}, seed=8)
    direct = summarise(sitting, "B", against="A")
    assert direct.ratio.value == pytest.approx(0.75, rel=0.02)
    assert direct.pairs == 36
    assert summarise(sitting, "A", against="B").verdict is Verdict.SLOWER


def test_flags_say_what_weakens_the_number() -> None:
    quick = simulate({"R": 1, "C": 1}, Tier.QUICK)
    unsteady = replace(quick, runs=tuple(replace(run, steady=False) for run in quick.runs))
    assert summarise(unsteady, "C").flags == ("indicative", "session_effect_unmodelled", "no_steady_state")
    assert summarise(simulate({"R": 1, "C": 1}), "C").flags == ()


def test_microseconds_never_matter() -> None:
    sitting = simulate({"R": 1, "C": 1.3}, seed=9)
    tiny = replace(
        sitting, blocks=tuple(replace(b, samples_ns=tuple(s // 500 for s in b.samples_ns)) for b in sitting.blocks)
    )
    assert summarise(tiny, "C").verdict is Verdict.EQUIVALENT


def test_detectable_is_what_this_sitting_could_have_called() -> None:
    found = summarise(simulate({"R": 1, "C": 1}, seed=10), "C")
    assert found.detectable > 0.02
    assert found.detectable == pytest.approx(0.02 + max(found.ratio.high - 1, 1 - found.ratio.low), abs=0.005)


def test_half_width_is_that_of_the_widest_arm() -> None:
    sitting = simulate({"R": 1, "A": 0.8, "B": 0.6}, seed=11)
    wide = [max(r.high / r.value - 1, 1 - r.low / r.value) for r in (summarise(sitting, a).ratio for a in "AB")]
    assert half_width(sitting.blocks, "R") == pytest.approx(max(wide))
    assert half_width([], "R") == 0
    spoiled = [replace(b, rejected="steal") for b in sitting.blocks]
    assert half_width(spoiled, "R") == math.inf


def test_unknown_arms_are_refused() -> None:
    with pytest.raises(DataError, match="no arm X; it has C, R"):
        summarise(simulate({"R": 1, "C": 1}), "X")
