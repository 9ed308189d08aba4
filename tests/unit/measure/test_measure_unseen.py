"""Few differing samples prove little, whatever the metric is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from qsearch.contracts.front import Proof
from qsearch.contracts.job import DropLimit
from qsearch.contracts.task import CELL, Array, Scores
from qsearch.measure.accuracy import judge
from qsearch.measure.drop import paired_drop
from qsearch.measure.unseen import FEW, most_share
from qsearch.search.judging import proof_of


def made_up(aggregate: str, n: int) -> tuple[Array, Array | None, bool]:
    """Outcomes of fp32, their weights, and whether higher is better."""
    rng = np.random.default_rng(n)
    weights = rng.integers(10, 20, n).astype(np.float64)
    classes = rng.integers(0, 2, n)
    cells = (classes * CELL + np.where(rng.random(n) < 0.9, classes, 1 - classes)).astype(np.float64)
    return {
        "mean": (1 / rng.integers(1, 5, n), None, True),
        "weighted": (rng.random(n), weights, True),
        "ratio": (rng.integers(0, 3, n).astype(np.float64), weights, False),
        "exp-ratio": (rng.gamma(8, 0.2, n) * weights, weights, False),
        "decibel": (np.zeros(n), weights, True),
        "f1-binary": (cells, None, True),
        "f1-macro": (cells, None, True),
    }[aggregate]


KINDS = ("mean", "weighted", "ratio", "exp-ratio", "decibel", "f1-binary", "f1-macro")


@pytest.mark.parametrize("kind", KINDS)
def test_no_difference_on_few_samples_is_no_proof_of_none(kind: str) -> None:
    found = []
    for n in (20, 200, 2000):
        outcomes, weights, higher = made_up(kind, n)
        aggregate = "mean" if kind == "weighted" else kind
        relative, points, detectable = paired_drop(outcomes, outcomes, weights, higher, 0, aggregate)
        assert relative.value == points.value == 0
        assert relative.low <= 0 < relative.high
        assert points.low <= 0 < points.high
        # what shows is more than what is ruled out, but for scores that can lose no more than all
        assert detectable > relative.high or detectable == pytest.approx(1, abs=0.1)
        found.append((relative.high, points.high, detectable))
    assert found == sorted(found, reverse=True)
    assert all(few > many for few, many in zip(found[0], found[-1], strict=True))


@pytest.mark.parametrize("n", [50, 300, 3000])
def test_a_graded_metric_is_as_sure_as_one_of_right_and_wrong(n: int) -> None:
    binary = (np.arange(n) % 10 > 0).astype(np.float64)
    graded = binary.copy()
    graded[:10] = 0.9 * binary[:10]
    _, wanted, least = paired_drop(binary, binary, None, True, 0)
    _, found, visible = paired_drop(graded, graded, None, True, 0)
    assert found.high == pytest.approx(wanted.high, rel=0.1)
    assert visible == pytest.approx(least, rel=0.05)


@pytest.mark.parametrize("share", [0.003, 0.01, 0.03])
def test_the_interval_holds_rare_and_large_losses_as_often_as_it_says(share: float) -> None:
    rng = np.random.default_rng(21)
    n, rounds, hits = 150, 400, 0
    for _ in range(rounds):
        reference = 1 / rng.integers(1, 3, n)
        candidate = np.where(rng.random(n) < share, 0.0, reference)
        if (candidate != reference).sum() >= FEW:
            hits += 1  # the bootstrap's own affair, not looked at here
            continue
        _, points, _ = paired_drop(candidate, reference, None, True, 0)
        hits += points.low <= 0.75 * share <= points.high
    assert hits / rounds >= 0.95


def test_the_smallest_visible_drop_shows_four_times_in_five() -> None:
    rng = np.random.default_rng(22)
    reference = np.ones(300)
    reference[:3] = 0.5
    _, _, detectable = paired_drop(reference, reference, None, True, 0)
    lost, seen = detectable * reference.mean(), 0
    for _ in range(200):
        _, points, _ = paired_drop(np.where(rng.random(300) < lost, 0.0, reference), reference, None, True, 0)
        seen += points.low > 0
    assert 0.7 < seen / 200 < 0.92


def test_fidelity_can_be_lost_and_not_won() -> None:
    weights = np.full(100, 3.0)
    relative, _, _ = paired_drop(np.zeros(100), np.zeros(100), weights, True, 0, "decibel")
    assert relative.low == 0
    near = np.full(100, 0.99)
    near[:1] = 0.5
    _, points, _ = paired_drop(near, np.full(100, 0.99), None, True, 0)
    assert points.low == 0
    assert points.value == pytest.approx(0.0049)


def test_from_six_differing_samples_on_resampling_stands_alone() -> None:
    reference = np.linspace(0.5, 0.9, 400)
    widths = []
    for differing in range(FEW + 1):
        candidate = reference.copy()
        candidate[:differing] -= 0.01
        _, points, _ = paired_drop(candidate, reference, None, True, 0)
        widths.append(points.high - points.low)
    assert min(widths[:FEW]) > 0.01
    assert widths[:FEW] == sorted(widths[:FEW])
    assert widths[FEW] < 0.001


def test_samples_of_unlike_weight_count_as_fewer() -> None:
    outcomes, equal, heavy = np.linspace(0.4, 0.9, 200), np.ones(200), np.ones(200)
    heavy[:5] = 100.0
    widths = [paired_drop(outcomes, outcomes, weights, True, 0)[1].high for weights in (equal, heavy)]
    assert widths[1] > 10 * widths[0]
    assert widths[0] == pytest.approx(paired_drop(outcomes, outcomes, None, True, 0)[1].high)


def test_a_score_that_says_nothing_differs_is_proved_from_many_samples_only() -> None:
    limit = DropLimit(amount=0.01, relative=True)
    proofs = []
    for n in (100, 2000):
        scores = Scores(outcomes=1 / (1.0 + np.arange(n) % 4))
        fp32 = judge(scores, metric="mrr", higher_is_better=True, split="heldout", reference=None)
        same = judge(scores, metric="mrr", higher_is_better=True, split="heldout", reference=fp32)
        proofs.append(proof_of(same, limit))
        assert proof_of(fp32, replace(limit, amount=0.0)) is Proof.PROVED, "fp32 is itself"
    assert proofs == [Proof.NOT_REFUTED, Proof.PROVED]


@pytest.mark.parametrize(("seen", "n"), [(0, 1), (0, 30), (0, 60_000), (1, 10), (5, 40), (9, 10), (10, 10)])
def test_the_share_of_all_data_is_scipys_exact_interval(seen: int, n: int) -> None:
    wanted = stats.binomtest(seen, n).proportion_ci(0.95, "exact").high
    assert most_share(seen, n) == pytest.approx(wanted, rel=1e-6)
