from dataclasses import replace

import pytest

from qsearch.contracts.choices import DEFAULT
from qsearch.contracts.errors import UsageError
from qsearch.contracts.job import Constraints, DropLimit, SpaceSpec
from qsearch.contracts.trial import Result
from qsearch.contracts.verdict import Verdict
from qsearch.search.finalists import choose
from qsearch.search.space import Space
from tests.factories import make_candidate, make_layers, make_result

FP32, STATIC, DYNAMIC, TERNARY = DEFAULT
LAYERS = make_layers(4)
SPACE = Space.of(LAYERS, SpaceSpec())
AXES = ("latency", "drop")
ONE_PERCENT = Constraints(drop=DropLimit(amount=0.01, relative=True))

#: fp32, the three uniform candidates and five mixtures
HISTORY = (
    make_result(0, make_candidate(LAYERS, FP32), ratio=1.0),
    make_result(1, make_candidate(LAYERS, STATIC), ratio=0.66, drop=0.02),
    make_result(2, make_candidate(LAYERS, DYNAMIC), ratio=0.70, drop=0.004),
    make_result(3, make_candidate(LAYERS, TERNARY), ratio=0.40, drop=0.6),
    make_result(4, make_candidate(LAYERS, DYNAMIC, TERNARY, FP32), ratio=0.60, drop=0.009),
    make_result(5, make_candidate(LAYERS, STATIC, DYNAMIC), ratio=0.61, drop=0.0095),
    make_result(6, make_candidate(LAYERS, DYNAMIC, FP32), ratio=0.80, drop=0.001),
    make_result(7, make_candidate(LAYERS, STATIC, FP32), ratio=1.2, drop=0.003),
    make_result(8, make_candidate(LAYERS, FP32, STATIC), ratio=0.62, drop=0.0098),
)


def test_the_fastest_feasible_comes_first_then_a_safer_and_a_runner_up_in_turn() -> None:
    assert choose(HISTORY, ONE_PERCENT, AXES, SPACE, 5) == (4, 2, 5, 6, 8)


def test_the_best_uniform_candidate_sits_beyond_the_count() -> None:
    assert choose(HISTORY, ONE_PERCENT, AXES, SPACE, 1) == (4, 2)
    assert choose(HISTORY, ONE_PERCENT, AXES, SPACE, 2) == (4, 2)


def test_what_is_clearly_slower_than_fp32_gets_no_seat() -> None:
    assert 7 not in choose(HISTORY, ONE_PERCENT, AXES, SPACE, 9)


def test_fp32_is_the_reference_arm_and_never_a_finalist() -> None:
    assert 0 not in choose(HISTORY, Constraints(), AXES, SPACE, 9)
    tight = Constraints(drop=DropLimit(amount=0.0001, relative=True))
    assert choose(HISTORY, tight, AXES, SPACE, 3) == ()


def test_a_uniform_candidate_sits_though_it_is_slower_than_fp32() -> None:
    slow = [HISTORY[0], replace(HISTORY[2], latency=make_result(2, HISTORY[2].trial.candidate, ratio=1.3).latency)]
    assert choose(slow, ONE_PERCENT, AXES, SPACE, 3) == (2,)


def test_without_a_limit_the_knee_leads() -> None:
    assert choose(HISTORY, Constraints(), AXES, SPACE, 3)[0] == 4
    assert choose(HISTORY, Constraints(), AXES, SPACE, 3, rule="fastest-feasible")[0] == 3
    with pytest.raises(UsageError, match='"slowest"'):
        choose(HISTORY, Constraints(), AXES, SPACE, 3, rule="slowest")


def test_with_nothing_feasible_the_closest_are_measured_again() -> None:
    limits = Constraints(size_bytes=400_000)
    sized: list[Result] = [replace(r, size_bytes=1_000_000 - 50_000 * n) for n, r in enumerate(HISTORY)]
    assert choose(sized, limits, AXES, SPACE, 2) == (8, 7)


def test_a_wide_guess_does_not_lead() -> None:
    """The first seat is what would be picked now, and only what is clearly faster than fp32 is picked."""
    guess = make_result(9, make_candidate(LAYERS, STATIC, TERNARY), ratio=0.5, half=0.6, drop=0.001)
    assert choose([*HISTORY, guess], ONE_PERCENT, AXES, SPACE, 3)[0] == 4


def test_polluted_trials_and_empty_histories() -> None:
    spoiled = [*HISTORY[:4], replace(HISTORY[4], latency=replace(HISTORY[4].latency, verdict=Verdict.POLLUTED))]
    assert choose(spoiled, ONE_PERCENT, AXES, SPACE, 3) == (2,)
    assert choose([], ONE_PERCENT, AXES, SPACE, 3) == ()
