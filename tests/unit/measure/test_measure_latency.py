"""The instrument on simulated sittings, where the truth is known."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from qsearch.contracts.errors import DataError
from qsearch.contracts.limits import Limits, Thresholds
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
    pairs: int = 0,
) -> Sitting:
    """A sitting of arms whose true time is 5 ms × ratio, with drift all share, luck per child and spikes."""
    rng, plan = np.random.default_rng(seed), PLANS[tier]
    blocks: list[Block] = []
    for session in range(plan.sessions):
        fate = {arm: math.exp(rng.normal(0, luck)) for arm in ratios}
        for number, order in enumerate(islice(rounds(tuple(ratios), session, seed), pairs or plan.most_pairs)):
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
            # equal files take equal time
            model_sha256=hashlib.sha256(f"{ratio:g}".encode()).hexdigest(),
            load_ms=1,
            first_ms=1,
            warmup_s=0.5,
            steady=True,
            peak_rss_bytes=1,
            circumstances=PLACE,
        )
        for arm, ratio in ratios.items()
        for session in range(sessions)
    )


@pytest.mark.parametrize("luck", [0.005, 0.01, 0.02])
@pytest.mark.parametrize(("tier", "pairs"), [(Tier.SCREEN, 2), (Tier.SCREEN, 4), (Tier.FINAL, 6)])
def test_a_against_a_raises_no_false_verdict(tier: Tier, pairs: int, luck: float) -> None:
    sittings = (simulate({"R": 1, "A": 1}, tier, seed=s, luck=luck, pairs=pairs) for s in range(200))
    said = [summarise(sitting, "A").verdict for sitting in sittings]
    assert sum(v in (Verdict.FASTER, Verdict.SLOWER) for v in said) <= 0.05 * 200


def test_equal_models_are_found_equal_once_the_sessions_show_their_luck() -> None:
    said = [summarise(simulate({"R": 1, "A": 1}, seed=s), "A").verdict for s in range(200)]
    assert said.count(Verdict.EQUIVALENT) > 100


def test_the_final_interval_covers_the_truth_as_often_as_it_says() -> None:
    intervals = [summarise(simulate({"R": 1, "C": 1.05}, seed=s, luck=0.02), "C").ratio for s in range(400)]
    assert np.mean([i.low <= 1.05 <= i.high for i in intervals]) > 0.94


@pytest.mark.parametrize(
    ("tier", "pairs", "found"),
    # two pairs a session are what is left when time is up
    [(Tier.SCREEN, 2, 65), (Tier.SCREEN, 4, 80), (Tier.FINAL, 6, 80)],
)
def test_ten_percent_are_found_and_one_percent_is_not_called(tier: Tier, pairs: int, found: int) -> None:
    def said(ratio: float) -> list[Verdict]:
        sittings = (simulate({"R": 1, "C": ratio}, tier, seed=s, luck=0.01, pairs=pairs) for s in range(100))
        return [summarise(sitting, "C").verdict for sitting in sittings]

    assert said(1.10).count(Verdict.SLOWER) >= found
    assert said(1.01).count(Verdict.SLOWER) <= 1


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


@pytest.mark.parametrize("left", [0, 1])
def test_one_surviving_session_is_no_screen(left: int) -> None:
    sitting = simulate({"R": 1, "C": 0.5}, Tier.SCREEN, seed=5, pairs=4)
    spoiled = tuple(replace(b, rejected="" if b.session == left else "steal") for b in sitting.blocks)
    found = summarise(replace(sitting, blocks=spoiled), "C")
    assert (found.verdict, found.pairs, found.sessions) == (Verdict.POLLUTED, 4, 1)
    quick = simulate({"R": 1, "C": 0.5}, Tier.QUICK, seed=5)
    assert summarise(quick, "C").verdict is Verdict.FASTER


def test_two_hurried_pairs_a_session_still_reach_what_they_say() -> None:
    found = [
        summarise(simulate({"R": 1, "C": 0.9}, Tier.SCREEN, seed=s, luck=0.01, pairs=2), "C").ratio for s in range(300)
    ]
    assert {i.confidence for i in found} == {0.95}
    assert np.mean([i.low <= 0.9 <= i.high for i in found]) >= 0.95


def _mixed(sitting: Sitting, *, steps: tuple[dict[str, float], ...]) -> Sitting:
    """Sample i of an arm takes steps[i % cycle][arm] times as long."""
    cycle = len(steps)
    return replace(
        sitting,
        blocks=tuple(
            replace(
                b,
                cycle=cycle,
                samples_ns=tuple(int(s * steps[i % cycle][b.arm]) for i, s in enumerate(b.samples_ns)),
            )
            for b in sitting.blocks
        ),
    )


@pytest.mark.parametrize("runs", [4, 6, 10, 12])
def test_the_ratio_of_a_mix_of_shapes_is_that_of_its_total_work(runs: int) -> None:
    sitting = simulate({"R": 1, "C": 1}, seed=7, runs=runs)
    found = summarise(_mixed(sitting, steps=({"R": 1, "C": 0.5}, {"R": 1, "C": 1})), "C")
    assert found.ratio.value == pytest.approx(0.75, rel=0.01)
    assert found.ratio.high - found.ratio.low < 0.05
    skewed = summarise(_mixed(sitting, steps=({"R": 1, "C": 0.5}, {"R": 4, "C": 4})), "C")
    assert skewed.ratio.value == pytest.approx(4.5 / 5, rel=0.01)
    assert skewed.median_ms / skewed.reference_ms == pytest.approx(4.5 / 5, rel=0.03)


def test_a_long_cycle_holds_each_input_once_and_spikes_are_outvoted_all_the_same() -> None:
    """Every twentieth sample takes three times as long: a plain sum over the block would scatter by some percent."""
    steps = tuple({"R": 1 + i / 16, "C": (1 + i / 16) * (0.6 if i % 2 else 0.8)} for i in range(32))
    truth = sum(s["C"] for s in steps) / sum(s["R"] for s in steps)
    calm = {"pair_noise": 0.001, "luck": 0.0}
    for seed in range(5):
        sitting = simulate({"R": 1, "C": 1}, Tier.SCREEN, seed=seed, runs=32, **calm)
        found = summarise(_mixed(sitting, steps=steps), "C")
        assert found.ratio.value == pytest.approx(truth, rel=0.01)
        assert half_width(_mixed(sitting, steps=steps).blocks, "R") < 0.005


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
    assert summarise(unsteady, "C").flags == ("indicative", "session_effect_assumed", "no_steady_state")
    assert summarise(simulate({"R": 1, "C": 1}), "C").flags == ()


def test_a_spec_that_rejects_less_than_usual_marks_every_number() -> None:
    sitting = simulate({"R": 1, "C": 1})
    never = replace(sitting, limits=Limits(reject=Thresholds(foreign=None)))
    stricter = replace(sitting, limits=Limits(reject=Thresholds(foreign=0.01, pressure=0.1)))
    assert [summarise(each, "C").flags for each in (never, stricter)] == [("lenient_limits",), ()]


def test_an_arm_that_could_not_have_ordinary_niceness_is_flagged() -> None:
    sitting = simulate({"R": 1, "A": 1, "B": 1})
    lowered = replace(PLACE, details={"nice": "5"})
    runs = tuple(replace(r, circumstances=lowered) if r.arm == "A" and r.session == 3 else r for r in sitting.runs)
    nice = replace(sitting, runs=runs)
    assert [summarise(nice, arm).flags for arm in "AB"] == [("lowered_priority",), ()]
    assert summarise(nice, "B", against="A").flags == ("lowered_priority",)


def test_tails_are_told_where_the_samples_give_them_and_else_what_they_need() -> None:
    sitting = simulate({"R": 1, "C": 1}, seed=12, runs=3)
    found = summarise(sitting, "C")
    assert found.tails_need == {"p50": 11, "p90": 64, "p95": 130, "p99": 662}
    assert found.tails["p95"] is None
    assert found.tails["p99"] is None
    assert found.tails["p50"] is not None
    assert found.tails["p90"] is not None
    assert found.median_ms <= found.tails["p50"] < found.tails["p90"]
    spoiled = replace(sitting, blocks=tuple(replace(b, rejected="steal") for b in sitting.blocks))
    assert set(summarise(spoiled, "C").tails.values()) == {None}
    grouped = replace(sitting, blocks=tuple(replace(b, group=20) for b in sitting.blocks))
    assert set(summarise(grouped, "C").tails.values()) == {None}


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


def test_half_width_is_that_of_the_widest_arm_and_leaves_out_the_luck_of_sessions() -> None:
    sitting = simulate({"R": 1, "A": 0.8, "B": 0.6}, Tier.SCREEN, seed=11)
    arms = [[b for b in sitting.blocks if b.arm in {"R", arm}] for arm in "AB"]
    assert half_width(sitting.blocks, "R") == max(half_width(blocks, "R") for blocks in arms) > 0
    calm = simulate({"R": 1, "C": 1}, Tier.SCREEN, seed=11, luck=0.03, pair_noise=0.002, pairs=4)
    assert half_width(calm.blocks, "R") < PLANS[Tier.SCREEN].half_width
    ratio = summarise(calm, "C").ratio
    assert ratio.high / ratio.value - 1 > PLANS[Tier.SCREEN].half_width
    assert half_width([], "R") == 0
    spoiled = [replace(b, rejected="steal") for b in sitting.blocks]
    assert half_width(spoiled, "R") == math.inf


def test_unknown_arms_are_refused() -> None:
    with pytest.raises(DataError, match="no arm X; it has C, R"):
        summarise(simulate({"R": 1, "C": 1}), "X")
