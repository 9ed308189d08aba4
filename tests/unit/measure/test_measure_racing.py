"""Racing: the bounds are exact where they say so, and a good candidate is hardly ever stopped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qsearch.contracts.job import DropLimit
from qsearch.contracts.measurement import Accuracy
from qsearch.contracts.racing import Racing
from qsearch.contracts.task import Scores
from qsearch.measure.accuracy import judge, part_of
from qsearch.measure.racing import is_hopeless, least_of, looks, most_of

ONE_PERCENT = DropLimit(amount=0.01, relative=True)


def fp32(
    outcomes: np.ndarray, *, higher: bool = True, weights: np.ndarray | None = None, how: str = "mean"
) -> Accuracy:
    scores = Scores(outcomes=outcomes, weights=weights, aggregate=how)
    return judge(scores, metric="m", higher_is_better=higher, split="search", reference=None)


def raced(reference: Accuracy, outcomes: np.ndarray, racing: Racing, *, batch: int = 1) -> int:
    """Samples scored until it was stopped; all of them when it was not."""
    units = np.arange(outcomes.size) // batch
    seen = np.zeros(0, int)
    for look in looks(int(units.max()) + 1, racing):
        seen = np.concatenate([seen, np.flatnonzero(np.isin(units, look.batches))])
        if not look.last and is_hopeless(reference, outcomes[seen], seen, units, racing):
            return int(seen.size)
    return int(outcomes.size)


def stopped(reference: Accuracy, outcomes: np.ndarray, limit: DropLimit, *, batch: int = 1, races: int = 300) -> float:
    """Share of the orders in which the candidate is stopped."""
    found = [raced(reference, outcomes, Racing(limit=limit, seed=s), batch=batch) for s in range(races)]
    return sum(n < outcomes.size for n in found) / races


@pytest.mark.parametrize(("seen", "drawn", "population"), [(0, 5, 40), (3, 5, 40), (5, 5, 40), (7, 50, 360), (2, 2, 2)])
@pytest.mark.parametrize("error", [0.008, 0.05])
def test_bounds_are_those_of_the_hypergeometric_distribution(
    seen: int, drawn: int, population: int, error: float
) -> None:
    low, high = least_of(seen, drawn, population, error), most_of(seen, drawn, population, error)
    assert seen <= low <= high <= population - (drawn - seen) if seen else low == 0
    assert stats.hypergeom.sf(seen - 1, population, low, drawn) > error
    if low > seen:
        assert stats.hypergeom.sf(seen - 1, population, low - 1, drawn) <= error
    assert stats.hypergeom.cdf(seen, population, high, drawn) > error
    if high < population - (drawn - seen):
        assert stats.hypergeom.cdf(seen, population, high + 1, drawn) <= error


def test_the_looks_cover_the_split_once_in_an_order_that_follows_from_the_seed() -> None:
    racing = Racing(limit=ONE_PERCENT, seed=3)
    found = looks(250, racing)
    assert [len(look.batches) for look in found] == [32, 93, 125]
    assert [look.last for look in found] == [False, False, True]
    assert sorted(b for look in found for b in look.batches) == list(range(250))
    assert found == looks(250, racing) != looks(250, replace(racing, seed=4))
    assert [len(look.batches) for look in looks(12, racing)] == [12]


def right_or_wrong(n: int, right: int, lost: int, won: int) -> tuple[Accuracy, np.ndarray]:
    reference = np.repeat([1.0, 0.0], [right, n - right])
    candidate = reference.copy()
    candidate[:lost] = 0
    candidate[right : right + won] = 1
    return fp32(reference), candidate


@pytest.mark.parametrize(
    ("right", "lost", "won"), [(360, 3, 0), (360, 40, 37), (360, 100, 40), (200, 60, 58), (400, 4, 0), (390, 12, 9)]
)
def test_what_just_keeps_the_limit_is_stopped_no_more_often_than_stated(right: int, lost: int, won: int) -> None:
    reference, candidate = right_or_wrong(400, right, lost, won)
    limit = DropLimit(amount=(lost - won) / right, relative=True)
    assert stopped(reference, candidate, limit) <= 0.05
    turned = fp32(1 - np.asarray(reference.outcomes), higher=False)
    points = DropLimit(amount=(lost - won) / 400, relative=False)
    assert stopped(turned, 1 - candidate, points, races=100) <= 0.05


@pytest.mark.parametrize("shape", ["rare losses", "normal", "weighted", "batches", "perplexity", "decibel"])
def test_the_same_for_other_outcomes(shape: str) -> None:
    rng = np.random.default_rng(21)
    n, batch, weights, how, higher = 480, 1, None, "mean", True
    base = rng.uniform(0.6, 1, n)
    change = rng.normal(0.01, 0.05, n)
    if shape == "rare losses":
        change = np.where(rng.random(n) < 0.03, 0.4, 0.0)
    if shape == "weighted":
        weights = rng.integers(1, 40, n).astype(np.float64)
    if shape == "batches":
        # sorted data: batches are more alike inside than among each other
        batch, change = 4, np.sort(change)
    if shape in ("perplexity", "decibel"):
        weights, higher = rng.integers(10, 60, n).astype(np.float64), shape == "decibel"
        base, change, how = base * weights, -change * weights, {"perplexity": "exp-ratio"}.get(shape, shape)
    reference = fp32(base, higher=higher, weights=weights, how=how)
    candidate = base - change
    full = judge(
        Scores(outcomes=candidate, weights=weights, aggregate=how),
        metric="m",
        higher_is_better=higher,
        split="search",
        reference=reference,
    )
    limit = DropLimit(amount=full.drop.value, relative=True)
    assert stopped(reference, candidate, limit, batch=batch) <= 0.05


def test_what_is_ruined_is_stopped_at_the_first_look() -> None:
    racing = Racing(limit=ONE_PERCENT, seed=5)
    reference, candidate = right_or_wrong(400, 360, 220, 2)
    assert raced(reference, candidate, racing) == 50
    reference, candidate = right_or_wrong(100, 97, 50, 0)
    assert raced(reference, candidate, racing) == 13
    cosine = fp32(np.ones(400))
    assert raced(cosine, np.random.default_rng(6).uniform(0.3, 0.9, 400), racing) == 50
    # 13 are too few for Student's bound
    assert raced(fp32(np.ones(100)), np.random.default_rng(6).uniform(0.3, 0.9, 100), racing) == 50


def test_what_keeps_the_limit_well_is_never_stopped() -> None:
    reference, candidate = right_or_wrong(400, 360, 1, 1)
    assert stopped(reference, candidate, ONE_PERCENT, races=100) == 0
    assert stopped(reference, np.asarray(reference.outcomes), DropLimit(amount=0.0, relative=True), races=50) == 0


def test_fp32_on_a_part_is_what_scoring_the_part_would_have_given() -> None:
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    whole = fp32(np.array([1.0, 5.0, 2.0, 0.0]), weights=weights, how="ratio", higher=False)
    part = part_of(whole, np.array([1, 2]))
    assert (part.n, part.score, part.reference_score) == (2, 7 / 5, 7 / 5)
    assert (part.outcomes, part.weights) == ((5.0, 2.0), (2.0, 3.0))
    assert not replace(part, of=2).truncated
    assert replace(part, of=4).truncated
