"""Trials whose scoring was stopped early: known to be bad, never an answer, and still told to the search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qsearch.contracts.choices import Choice
from qsearch.contracts.job import Constraints, DropLimit, SearchSpec, SpaceSpec
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.trial import Result
from qsearch.search.feasible import TRUNCATED, exceedances, excess
from qsearch.search.finalists import choose
from qsearch.search.pareto import front
from qsearch.search.pick import pick
from qsearch.search.proposing import SampledProposer, _Seen
from qsearch.search.sensitivity import sensitivity_of
from qsearch.search.space import Space
from tests.factories import TARGET, make_candidate, make_layers, make_result

LAYERS = make_layers(3)
SPACE = Space.of(LAYERS, SpaceSpec())
ONE_PERCENT = Constraints(drop=DropLimit(amount=0.01, relative=True))
HALF = Constraints(drop=DropLimit(amount=0.5, relative=True))
OBJECTIVES = ("latency", "drop")
FP32 = make_result(0, make_candidate(LAYERS, Choice.FP32), origin="uniform fp32")
GOOD = make_result(1, make_candidate(LAYERS, Choice.INT8_DYNAMIC), ratio=0.8, drop=0.005)


def truncated(number: int, *got: Choice, drop: float = 0.2, ratio: float = 0.3) -> Result:
    result = make_result(number, make_candidate(LAYERS, *got), ratio=ratio, drop=drop)
    return replace(result, accuracy=replace(result.accuracy, n=125, of=1000, looks=(125,)))


BAD = truncated(2, Choice.TERNARY)


def test_it_keeps_no_limit_not_even_a_loose_one() -> None:
    assert excess(BAD, ONE_PERCENT, None) == pytest.approx(19)
    assert excess(BAD, HALF, None) == TRUNCATED > 0
    assert exceedances(BAD, Constraints(size_bytes=10**9), None)["size"] < 0


@pytest.mark.parametrize("limits", [ONE_PERCENT, HALF])
def test_it_is_nowhere_on_the_front_and_takes_nobodys_place(limits: Constraints) -> None:
    entries = {e.number: e for e in front([FP32, GOOD, BAD], limits, OBJECTIVES)}
    assert (entries[2].rank, entries[2].feasible, entries[2].tied_with) == (2, False, None)
    assert entries[0].rank == entries[1].rank == 0


def test_it_gets_no_seat_in_the_finals_not_even_as_the_closest() -> None:
    assert choose([FP32, GOOD, BAD], HALF, OBJECTIVES, SPACE, 3) == (1,)
    # fp32 is too large, so that nothing is feasible and the closest would be taken
    small = Constraints(drop=HALF.drop, size_bytes=10)
    assert choose([FP32, BAD], small, OBJECTIVES, SPACE, 3) == ()
    assert choose([FP32, replace(GOOD, size_bytes=900), BAD], small, OBJECTIVES, SPACE, 3) == (1,)


def test_it_is_no_pick_while_anything_else_was_measured() -> None:
    assert pick("J", TARGET, [FP32, GOOD, BAD], HALF, SPACE, None).trial == "J/1"
    small = Constraints(drop=HALF.drop, size_bytes=10)
    assert pick("J", TARGET, [FP32, BAD], small, SPACE, None).trial == "J/0"


def test_samplers_see_its_drop() -> None:
    history = [FP32, GOOD, BAD]
    told = SampledProposer(SPACE, SearchSpec(trials=20), TARGET, OBJECTIVES, ONE_PERCENT)
    finished, _ = told._rows(_Seen(SPACE, TARGET, history, []))
    assert [row.values for row in finished][2] == (0.3, 0.2)
    assert dict(finished[2].exceedances)["drop"] == pytest.approx(19)
    assert told.propose(1, history, [], number=3)


def test_the_effects_of_layers_weigh_it_by_its_samples() -> None:
    mixed = [
        make_result(n, make_candidate(LAYERS, *(Choice.TERNARY if n >> i & 1 else Choice.FP32 for i in range(3))))
        for n in range(8)
    ] * 3
    history = [
        replace(r, accuracy=_drop(r, 0.04 * (i % 8 & 1) + 0.01 * (i % 8 >> 1 & 1) + 0.001 * (i % 5)))
        for i, r in enumerate(mixed)
    ]
    wrong = [replace(r, accuracy=_drop(r, 0.5)) if i == 1 else r for i, r in enumerate(history)]
    # the same strange drop, known from few samples only
    vague = replace(wrong[1].accuracy, n=12, of=1000, drop=replace(wrong[1].accuracy.drop, low=-0.4, high=1.4))
    weighed = [replace(r, accuracy=vague) if i == 1 else r for i, r in enumerate(wrong)]
    site = (LAYERS[0].id, Choice.TERNARY)
    true, believed, doubted = (sensitivity_of(seen).effects.get(site) for seen in (history, wrong, weighed))
    assert true is not None
    assert doubted is not None
    assert doubted.value == pytest.approx(true.value, abs=0.01)
    assert believed is None or abs(believed.value - true.value) > abs(doubted.value - true.value)


def test_confident_fronts_ask_the_upper_bound() -> None:
    near = make_result(3, make_candidate(LAYERS, Choice.INT8_STATIC), ratio=0.6, drop=0.009)
    by_estimate = {e.number: e.feasible for e in front([FP32, GOOD, near], ONE_PERCENT, OBJECTIVES)}
    by_bound = {e.number: e.feasible for e in front([FP32, GOOD, near], ONE_PERCENT, OBJECTIVES, confident=True)}
    assert by_estimate == {0: True, 1: True, 3: True}
    assert by_bound == {0: True, 1: True, 3: False}
    # and what it does not keep holds nobody back
    ranks = {e.number: e.rank for e in front([FP32, GOOD, near], ONE_PERCENT, OBJECTIVES, confident=True)}
    assert ranks[1] == 0


def _drop(result: Result, drop: float) -> Accuracy:
    seen = result.accuracy
    return replace(seen, drop=replace(seen.drop, value=drop, low=drop - 0.002, high=drop + 0.002))
