import math
from dataclasses import replace

import pytest

from qsearch.contracts.choices import DEFAULT
from qsearch.contracts.codec import canonical, from_data, to_data
from qsearch.contracts.errors import Incomparable, NotFound, UsageError
from qsearch.contracts.front import Best, Proof
from qsearch.contracts.job import Constraints, DropLimit, SpaceSpec
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.contracts.work import Finalist
from qsearch.search.judging import proof_of
from qsearch.search.pick import pick
from qsearch.search.space import Space
from tests.factories import (
    TARGET,
    make_accuracy,
    make_candidate,
    make_final,
    make_finalist,
    make_latency,
    make_layers,
    make_result,
)

FP32, STATIC, DYNAMIC, TERNARY = DEFAULT
LAYERS = make_layers(4)
SPACE = Space.of(LAYERS, SpaceSpec())
LIMIT = DropLimit(amount=0.01, relative=True)
ONE_PERCENT = Constraints(drop=LIMIT)

REFERENCE = make_result(0, make_candidate(LAYERS, FP32), ratio=1.0)
HISTORY = (
    REFERENCE,
    make_result(1, make_candidate(LAYERS, STATIC), ratio=0.66, drop=0.02),
    make_result(2, make_candidate(LAYERS, DYNAMIC), ratio=0.70, drop=0.004),
    make_result(3, make_candidate(LAYERS, TERNARY), ratio=0.40, drop=0.6),
    make_result(4, make_candidate(LAYERS, DYNAMIC, TERNARY, FP32), ratio=0.60, drop=0.009),
    make_result(5, make_candidate(LAYERS, STATIC, DYNAMIC), ratio=0.65, drop=0.005),
    make_result(6, make_candidate(LAYERS, DYNAMIC, FP32), ratio=0.80, drop=0.001),
)


def test_before_the_finals_the_fastest_feasible_is_taken_unproved() -> None:
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, None)
    assert (best.trial, best.rule, best.feasible) == ("J/4", "fastest-feasible", True)
    assert (best.drop, best.proof, best.tried, best.versus_uniform) == (None, Proof.NONE, 0, None)
    assert best.speedup.value == pytest.approx(1 / 0.6)
    assert best.speedup.low < best.speedup.value < best.speedup.high
    assert best.speedup.verdict is Verdict.FASTER
    assert best.latency_p50_ms == pytest.approx(6.0)
    assert best.drop_search.value == 0.009
    assert best.choices == HISTORY[4].trial.candidate.choices
    assert best.reason == (
        "J/4 is the fastest of 4 quantized candidates keeping drop ≤ 1%: 1.67× fp32 (1.64–1.69), "
        "drop 0.90 % on the search split (n=1000), not judged on the held-out split."
    )


def test_the_finals_decide_and_prove() -> None:
    final = make_final(make_finalist(4, ratio=0.62, drop=0.006), make_finalist(2, ratio=0.71, drop=0.003))
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.proof, best.tried) == ("J/4", Proof.PROVED, 1)
    assert best.drop is not None
    assert (best.drop.value, best.drop.n) == (0.006, 1500)
    assert best.speedup.value == pytest.approx(1 / 0.62)
    assert best.versus_uniform is not None
    assert (best.versus_uniform.number, best.versus_uniform.origin) == (2, "uniform int8-dynamic")
    assert best.versus_uniform.ratio.value == pytest.approx(0.62 / 0.71)
    assert best.versus_uniform.verdict is Verdict.FASTER
    assert "held-out drop 0.60 % (n=1500)" in best.reason


def test_a_finalist_that_breaks_the_limit_held_out_is_passed_over() -> None:
    final = make_final(
        make_finalist(4, ratio=0.60, drop=0.015),
        make_finalist(5, ratio=0.65, drop=0.009, drop_half=0.004),
        make_finalist(2, ratio=0.70, drop=0.003),
    )
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.proof, best.tried) == ("J/5", Proof.NOT_REFUTED, 2)
    assert "before it, 1 finalist broke the limits on the held-out split" in best.reason


def test_a_point_estimate_over_the_limit_is_not_taken_though_not_refuted() -> None:
    final = make_final(make_finalist(4, ratio=0.60, drop=0.011, drop_half=0.005), make_finalist(2, ratio=0.70))
    assert proof_of(final.finalists[0].heldout, LIMIT) is Proof.NOT_REFUTED
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.tried, best.versus_uniform) == ("J/2", 2, None)


def test_finalists_go_in_order_of_their_final_speed() -> None:
    final = make_final(make_finalist(4, ratio=0.68), make_finalist(5, ratio=0.64))
    assert pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final).trial == "J/5"


def test_confident_wants_the_upper_bounds() -> None:
    assert pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, None, confident=True).trial == "J/5"
    final = make_final(make_finalist(5, ratio=0.65, drop=0.009), make_finalist(2, ratio=0.70, drop=0.003))
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final, confident=True)
    assert (best.trial, best.proof) == ("J/2", Proof.PROVED)


def test_do_not_quantize_when_nothing_is_clearly_faster() -> None:
    history = [REFERENCE, make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=0.985, half=0.02)]
    best = pick("J", TARGET, history, ONE_PERCENT, SPACE, None)
    assert (best.trial, best.feasible) == ("J/0", True)
    assert best.reason == (
        "Do not quantize: nothing that keeps drop ≤ 1% is faster than fp32 by more than a tie; "
        "the fastest of 1 quantized candidate, J/1, is at 1.02× fp32 (1.00–1.04), UNRESOLVED."
    )


def test_do_not_quantize_when_nothing_keeps_the_drop() -> None:
    best = pick("J", TARGET, HISTORY, Constraints(drop=DropLimit(amount=0.0005, relative=True)), SPACE, None)
    assert best.trial == "J/0"
    assert best.reason == "Do not quantize: no quantized candidate keeps drop ≤ 0.05%."


def test_a_win_that_the_finals_take_back_is_no_win() -> None:
    final = make_final(make_finalist(4, ratio=0.99), make_finalist(2, ratio=1.0))
    best = pick("J", TARGET, [HISTORY[0], HISTORY[2], HISTORY[4]], ONE_PERCENT, SPACE, final)
    assert best.trial == "J/0"
    assert "J/4, is at 1.01× fp32" in best.reason
    assert best.versus_uniform is not None
    assert best.versus_uniform.verdict is Verdict.EQUIVALENT


def test_fp32_against_the_uniform_candidate_is_its_ratio_turned_over() -> None:
    slow = [REFERENCE, make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=1.25)]
    best = pick("J", TARGET, slow, ONE_PERCENT, SPACE, make_final(make_finalist(1, ratio=1.25)))
    assert best.trial == "J/0"
    assert best.versus_uniform is not None
    assert best.versus_uniform.ratio.value == pytest.approx(0.8)
    assert best.versus_uniform.verdict is Verdict.FASTER


def test_when_every_finalist_is_refused_fp32_stays() -> None:
    final = make_final(make_finalist(4, ratio=0.60, drop=0.03), make_finalist(2, ratio=0.70, drop=0.03))
    history = [HISTORY[0], HISTORY[2], HISTORY[4]]
    best = pick("J", TARGET, history, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.tried, best.proof, best.versus_uniform) == ("J/0", 2, Proof.NONE, None)
    assert best.reason.startswith("Do not quantize: 2 finalists broke the limits on the held-out split")


def test_after_refusals_an_untested_one_must_be_safe_by_its_upper_bounds() -> None:
    final = make_final(make_finalist(4, ratio=0.60, drop=0.03), make_finalist(2, ratio=0.70, drop=0.03))
    risky = replace(HISTORY[5], accuracy=make_accuracy(0.009))
    best = pick("J", TARGET, [*HISTORY[:5], risky, HISTORY[6]], ONE_PERCENT, SPACE, final)
    assert (best.trial, best.tried, best.proof) == ("J/6", 2, Proof.NONE)
    assert best.reason.startswith("J/6 is the next of 4 quantized candidates")


def test_a_looser_limit_than_the_finals_were_for_finds_the_untested_faster_one() -> None:
    final = make_final(make_finalist(4, ratio=0.60, drop=0.006), make_finalist(2, ratio=0.70, drop=0.003))
    loose = Constraints(drop=DropLimit(amount=0.7, relative=True))
    best = pick("J", TARGET, HISTORY, loose, SPACE, final)
    assert (best.trial, best.proof, best.tried) == ("J/3", Proof.NONE, 0)


def polluted(result: Result) -> Result:
    return replace(result, latency=replace(result.latency, verdict=Verdict.POLLUTED))


def polluted_finalist(number: int, *, ratio: float, drop: float = 0.0) -> Finalist:
    seen = make_finalist(number, ratio=ratio, drop=drop)
    return replace(seen, latency=replace(seen.latency, verdict=Verdict.POLLUTED))


def test_a_polluted_final_says_nothing_and_the_finalists_own_screening_stands() -> None:
    final = make_final(polluted_finalist(4, ratio=0.9), polluted_finalist(5, ratio=0.66))
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.proof, best.tried) == ("J/4", Proof.PROVED, 1)
    assert best.speedup.value == pytest.approx(1 / 0.6)
    assert best.latency_p50_ms == pytest.approx(6.0)
    assert "1.67× fp32 (1.64–1.69), as screened, its final being polluted, held-out drop" in best.reason


def test_a_polluted_final_does_not_break_a_limit_in_milliseconds() -> None:
    final = make_final(polluted_finalist(4, ratio=3.0))
    best = pick("J", TARGET, HISTORY, Constraints(drop=LIMIT, latency_ms=7), SPACE, final)
    assert (best.trial, best.tried) == ("J/4", 1)


def test_an_unclear_final_makes_room_for_other_finalists_and_not_for_the_untested() -> None:
    final = make_final(make_finalist(4, ratio=1.0), make_finalist(6, ratio=0.80, drop=0.001))
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.proof, best.tried) == ("J/6", Proof.PROVED, 1)
    assert best.reason.startswith("J/6 is the fastest of 2 finalists from 4 quantized candidates keeping drop ≤ 1%")
    assert pick("J", TARGET, HISTORY, Constraints(), SPACE, final).trial == "J/6"


def test_when_no_final_is_clear_and_none_was_refused_the_answer_is_fp32() -> None:
    final = make_final(make_finalist(4, ratio=0.97, half=0.05), make_finalist(2, ratio=1.0))
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert (best.trial, best.tried) == ("J/0", 0)
    assert best.reason == (
        "Do not quantize: no finalist that keeps drop ≤ 1% is faster than fp32 by more than a tie; "
        "the fastest of 2 finalists, J/4, is at 1.03× fp32 (0.98–1.09), UNRESOLVED."
    )


def test_a_lucky_untested_one_must_beat_the_screening_of_finalists_that_lost_their_win_too() -> None:
    final = make_final(make_finalist(4, ratio=1.0), make_finalist(2, ratio=0.71))
    assert pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final).trial == "J/2"
    lucky = [*HISTORY, make_result(7, make_candidate(LAYERS, STATIC, FP32), ratio=0.5, drop=0.001)]
    assert pick("J", TARGET, lucky, ONE_PERCENT, SPACE, final).trial == "J/7"


def test_limits_that_no_finalist_keeps_are_judged_as_before_the_finals() -> None:
    final = make_final(make_finalist(4, ratio=0.62))
    tight = Constraints(drop=DropLimit(amount=0.002, relative=True))
    assert pick("J", TARGET, HISTORY, tight, SPACE, final).trial == "J/6"
    assert pick("J", TARGET, HISTORY, tight, SPACE, final, rule="knee").trial == "J/6"


def test_when_nothing_could_be_judged_nothing_is_said_against_quantizing() -> None:
    spoiled = [REFERENCE, *map(polluted, HISTORY[1:])]
    for limits in (ONE_PERCENT, Constraints()):
        best = pick("J", TARGET, spoiled, limits, SPACE, None)
        assert best.trial == "J/0"
        assert best.reason == (
            "fp32 for want of anything to compare: 6 quantized trials were polluted, so nothing could be judged."
        )
    alone = pick("J", TARGET, [REFERENCE], ONE_PERCENT, SPACE, None)
    assert alone.reason == "fp32 for want of anything to compare: no quantized trial has finished."


def test_what_could_not_be_judged_is_told_beside_what_could() -> None:
    broken = replace(HISTORY[4], accuracy=make_accuracy(math.nan))
    some = [REFERENCE, HISTORY[1], polluted(HISTORY[2]), broken]
    assert pick("J", TARGET, some, ONE_PERCENT, SPACE, None).reason == (
        "Do not quantize: none of 1 quantized candidate keeps drop ≤ 1%; besides, 1 quantized trial was polluted "
        "and 1 quantized trial has numbers that are not finite and could not be judged."
    )
    tie = make_result(6, make_candidate(LAYERS, DYNAMIC, FP32), ratio=0.99)
    assert pick("J", TARGET, [REFERENCE, tie, polluted(HISTORY[2])], ONE_PERCENT, SPACE, None).reason.endswith(
        "EQUIVALENT; besides, 1 quantized trial was polluted and could not be judged."
    )


def test_infeasible_is_the_closest_and_says_so() -> None:
    sized = [replace(r, size_bytes=2**20 * (10 - r.trial.number)) for r in HISTORY]
    best = pick("J", TARGET, sized, Constraints(size_bytes=2 * 2**20), SPACE, None)
    assert (best.trial, best.feasible) == ("J/6", False)
    assert best.reason.startswith(
        "Nothing keeps size ≤ 2.0 MiB; J/6 is the closest and exceeds its worst limit by 100 %"
    )


def test_when_fp32_breaks_a_limit_a_slower_candidate_may_be_the_answer() -> None:
    small = replace(make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=1.1), size_bytes=100)
    best = pick("J", TARGET, [REFERENCE, small], Constraints(size_bytes=500), SPACE, None)
    assert (best.trial, best.feasible, best.speedup.verdict) == ("J/1", True, Verdict.SLOWER)


def test_without_constraints_the_knee_is_taken() -> None:
    best = pick("J", TARGET, HISTORY, Constraints(), SPACE, None)
    assert (best.trial, best.rule, best.proof) == ("J/4", "knee", Proof.NONE)
    assert best.reason.startswith("J/4 is the knee of 6 quantized candidates: 1.67× fp32")
    assert pick("J", TARGET, HISTORY, Constraints(), SPACE, None, rule="fastest-feasible").trial == "J/3"
    assert pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, None, rule="knee").rule == "knee"


def test_a_dominated_outlier_does_not_move_the_knee() -> None:
    """A candidate that is slow and inaccurate would stretch both axes until the fastest looks like the knee."""
    history = [
        REFERENCE,
        make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=0.70, drop=0.001),
        make_result(2, make_candidate(LAYERS, STATIC), ratio=0.55, drop=0.010),
    ]
    assert pick("J", TARGET, history, Constraints(), SPACE, None).trial == "J/1"
    outlier = make_result(3, make_candidate(LAYERS, TERNARY), ratio=1.1, drop=0.9)
    assert pick("J", TARGET, [*history, outlier], Constraints(), SPACE, None).trial == "J/1"
    infeasible = make_result(3, make_candidate(LAYERS, TERNARY), ratio=0.50, drop=0.9)
    limits = Constraints(drop=DropLimit(amount=0.02, relative=True))
    assert pick("J", TARGET, [*history, infeasible], limits, SPACE, None, rule="knee").trial == "J/1"


def test_held_out_drops_do_not_choose_the_knee() -> None:
    history = [
        REFERENCE,
        make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=0.70, drop=0.001),
        make_result(2, make_candidate(LAYERS, STATIC), ratio=0.55, drop=0.010),
    ]
    final = make_final(make_finalist(1, ratio=0.70, drop=0.010), make_finalist(2, ratio=0.55, drop=0.0))
    assert pick("J", TARGET, history, Constraints(), SPACE, final).trial == "J/1"
    faster = make_final(make_finalist(1, ratio=0.90), make_finalist(2, ratio=0.45))
    assert pick("J", TARGET, history, Constraints(), SPACE, faster).trial == "J/2"


def test_the_knee_of_other_objectives_need_not_be_faster() -> None:
    sized = [
        replace(REFERENCE, size_bytes=1000),
        make_result(1, make_candidate(LAYERS, DYNAMIC), ratio=1.1, drop=0.001, size=300),
        make_result(2, make_candidate(LAYERS, TERNARY), ratio=1.2, drop=0.5, size=100),
    ]
    best = pick("J", TARGET, sized, Constraints(), SPACE, None, objectives=("size", "drop"))
    assert best.trial == "J/1"


def test_finals_that_the_history_carries_already_count_too() -> None:
    carried = list(HISTORY)
    carried[4] = replace(HISTORY[4], final_latency=make_latency(0.61), heldout=make_accuracy(0.05, split="heldout"))
    carried[2] = replace(HISTORY[2], final_latency=make_latency(0.71), heldout=make_accuracy(0.001, split="heldout"))
    best = pick("J", TARGET, carried, ONE_PERCENT, SPACE, None)
    assert (best.trial, best.tried, best.proof) == ("J/2", 2, Proof.PROVED)


@pytest.mark.parametrize(
    ("drop", "half", "proof"),
    [
        (0.004, 0.006, Proof.PROVED),
        (0.006, 0.006, Proof.NOT_REFUTED),
        (0.015, 0.006, Proof.NOT_REFUTED),
        (0.02, 0.006, Proof.REFUTED),
    ],
)
def test_proof_is_about_the_interval_and_the_limit(drop: float, half: float, proof: Proof) -> None:
    heldout = make_accuracy(drop, half, split="heldout")
    assert proof_of(heldout, LIMIT) is proof
    assert proof_of(heldout, None) is proof_of(None, LIMIT) is Proof.NONE


def test_a_limit_in_points_is_proved_in_points() -> None:
    heldout = make_accuracy(0.011, 0.001, split="heldout")
    assert proof_of(heldout, DropLimit(amount=0.0095, relative=True)) is Proof.REFUTED
    assert proof_of(heldout, DropLimit(amount=0.0097, relative=False)) is Proof.PROVED


def test_the_answer_survives_the_codec_and_does_not_depend_on_the_order() -> None:
    final = make_final(make_finalist(4, ratio=0.62, drop=0.006), make_finalist(2, ratio=0.71, drop=0.003))
    best = pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, final)
    assert from_data(Best, to_data(best)) == best
    assert canonical(pick("J", TARGET, HISTORY[::-1], ONE_PERCENT, SPACE, final)) == canonical(best)


def test_refusals() -> None:
    with pytest.raises(NotFound, match="no finished trial on there"):
        pick("J", "there", HISTORY, ONE_PERCENT, SPACE, None)
    with pytest.raises(UsageError, match='"best"'):
        pick("J", TARGET, HISTORY, ONE_PERCENT, SPACE, None, rule="best")
    with pytest.raises(Incomparable, match="runtime_key"):
        pick("J", TARGET, [*HISTORY, replace(HISTORY[2], runtime_key="other")], ONE_PERCENT, SPACE, None)
