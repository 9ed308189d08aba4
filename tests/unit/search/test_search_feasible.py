import math
from dataclasses import replace

import pytest

from qsearch.contracts.choices import Choice
from qsearch.contracts.errors import NotFound
from qsearch.contracts.job import Constraints, DropLimit
from qsearch.contracts.trial import Result
from qsearch.search.feasible import HOPELESS, exceedances, excess, pooled_reference_ms
from tests.factories import make_accuracy, make_candidate, make_latency, make_layers, make_result

CANDIDATE = make_candidate(make_layers(2), Choice.TERNARY)
ONE_PERCENT = Constraints(drop=DropLimit(amount=0.01, relative=True))


def result(**numbers: float) -> Result:
    return make_result(0, CANDIDATE, **numbers)  # type: ignore[arg-type]


def test_nothing_asked_is_kept() -> None:
    assert excess(result(drop=0.9, ratio=5.0), Constraints(), None) == 0
    assert exceedances(result(), Constraints(), None) == {}


@pytest.mark.parametrize(("drop", "expected"), [(0.0, 0.0), (0.01, 0.0), (0.010000000000000002, 0.0), (0.015, 0.5)])
def test_a_relative_drop(drop: float, expected: float) -> None:
    assert excess(result(drop=drop), ONE_PERCENT, None) == pytest.approx(expected)


def test_a_drop_in_points_is_read_from_the_points() -> None:
    limit = Constraints(drop=DropLimit(amount=0.005, relative=False))
    assert excess(result(drop=0.006), limit, None) == 0  # 0.48 points of a score of 0.8
    assert excess(result(drop=0.0125), limit, None) == pytest.approx(1.0)


def test_a_limit_of_nothing_counts_what_is_above_it() -> None:
    limit = Constraints(drop=DropLimit(amount=0.0, relative=True))
    assert excess(result(drop=0.03), limit, None) == pytest.approx(0.03)
    assert excess(result(drop=-0.01), limit, None) == 0


def test_confident_uses_upper_bounds() -> None:
    assert excess(result(drop=0.009), ONE_PERCENT, None) == 0
    assert excess(result(drop=0.009), ONE_PERCENT, None, confident=True) == pytest.approx(0.1)
    slow = Constraints(latency_ms=6.0)
    assert excess(result(ratio=0.595), slow, 10.0) == 0
    assert excess(result(ratio=0.595), slow, 10.0, confident=True) > 0


def test_milliseconds_are_the_ratio_times_the_pooled_reference() -> None:
    limit = Constraints(latency_ms=6.0)
    assert excess(result(ratio=0.6), limit, 10.0) == 0
    assert excess(result(ratio=0.6), limit, 20.0) == pytest.approx(1.0)
    assert excess(result(ratio=0.9), limit, None) == pytest.approx(0.5)


def test_the_worst_constraint_counts() -> None:
    limits = Constraints(drop=DropLimit(amount=0.01, relative=True), size_bytes=500_000, memory_bytes=10_000_000)
    found = exceedances(result(drop=0.015), limits, None)
    assert found == pytest.approx({"drop": 0.5, "size": 1.0, "memory": -0.5})
    assert excess(result(drop=0.015), limits, None) == pytest.approx(1.0)


def test_held_out_is_judged_by_the_finals() -> None:
    finalist = replace(
        result(drop=0.005, ratio=0.5), final_latency=make_latency(0.7), heldout=make_accuracy(0.02, split="heldout")
    )
    limits = Constraints(drop=DropLimit(amount=0.01, relative=True), latency_ms=6.0)
    assert excess(finalist, limits, 10.0) == 0
    assert exceedances(finalist, limits, 10.0, heldout=True) == pytest.approx({"drop": 1.0, "latency": 1 / 6})


def test_held_out_of_no_finalist_is_refused() -> None:
    with pytest.raises(NotFound, match="trial 0 has no held-out score"):
        excess(result(), ONE_PERCENT, None, heldout=True)


def test_what_is_not_a_number_is_hopeless_but_finite() -> None:
    assert excess(result(drop=math.nan), ONE_PERCENT, None) == HOPELESS
    assert math.isfinite(excess(result(drop=math.inf), ONE_PERCENT, None))


def test_the_pooled_reference_is_a_median_over_trials() -> None:
    history = [result() for _ in range(3)]
    times = (10.0, 38.0, 11.0)
    history = [replace(r, latency=replace(r.latency, reference_ms=t)) for r, t in zip(history, times, strict=True)]
    assert pooled_reference_ms(history) == 11.0
    with pytest.raises(NotFound):
        pooled_reference_ms([])
